import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, it } from 'node:test'
import { CLAIMS, CONSUMER, KEPT_FIELD } from '../../../src/policy/attribute.ts'
import type { CachePlan } from '../../../src/policy/cache/plan.ts'
import { hasCredential, KEY, RequestKeys } from '../../../src/policy/cache/request-key.ts'
import type { Exchange } from '../../../src/policy/exchange.ts'
import type { HeaderEdits } from '../../../src/policy/policy-set.ts'
import { PLAIN, TestExchange } from '../exchange.ts'

const CACHE_PLAN: CachePlan = {
  ...{ mode: 'Standard', ttlByCode: [], version: '', by: [], bypass: [], maxObjectBytes: 1_000, store: 'Memory' },
}

interface Client {
  readonly claims?: Readonly<Record<string, unknown>>
  readonly consumer?: string
  readonly certificate?: string
}

function client({ claims, consumer, certificate }: Client = {}): TestExchange {
  const clientCertificate =
    certificate === undefined ? null : ({ fingerprint: certificate } as Exchange['clientCertificate'])
  const x = new TestExchange({ clientCertificate })
  if (claims !== undefined) x.set(CLAIMS, claims)
  if (consumer !== undefined) x.set(CONSUMER, consumer)
  return x
}

function keyOf(by: readonly string[], given: Client = {}): { readonly key: string; readonly named: boolean } {
  const keys = new RequestKeys({ ...CACHE_PLAN, by }, PLAIN)
  const x = client(given)
  assert.ok(keys.write(x, keys.rule(x, 'shop/up'), null))
  return { key: KEY.copy().toString('latin1'), named: keys.identifies(x) }
}

const ALICE = { claims: { iss: 'https://id.example', sub: 'alice' } }
const BOB = { claims: { iss: 'https://id.example', sub: 'bob' } }

describe('who a key is of', () => {
  it('RFC 9111 §3.5: nobody, unless it is by consumer or subject; and yet apart from those without a credential', () => {
    for (const by of [[], ['claim:tenant'], ['header:authorization']]) {
      assert.deepEqual([keyOf(by, ALICE).named, keyOf(by).named], [false, false])
      assert.equal(keyOf(by, ALICE).key, keyOf(by, BOB).key)
      assert.notEqual(keyOf(by, ALICE).key, keyOf(by).key)
    }
  })

  it('RFC 9111 §3.5: one issuer and subject, one consumer, one certificate', () => {
    const clients: readonly Client[] = [
      ALICE,
      BOB,
      { claims: { ...ALICE.claims, iss: 'https://other.example' } },
      { claims: { sub: 'alice' } },
      { claims: {}, consumer: 'alice' },
      { claims: {}, consumer: 'bob' },
      { certificate: 'alice' },
      { certificate: 'bob' },
      { ...ALICE, certificate: 'bob' },
      { claims: { iss: 'https://id.example', sub: 42 } },
      { claims: { iss: 'https://id.example', sub: '42' } },
      { claims: { iss: 'https://id.example', sub: '#42' } },
    ]
    for (const by of [['claim:sub'], ['consumer']]) {
      const keys = clients.map((one) => keyOf(by, one))
      assert.ok(keys.every(({ named }) => named))
      assert.equal(new Set(keys.map(({ key }) => key)).size, clients.length)
    }
  })

  it('RFC 9111 §3.5: of none of which a version that knew less of whose it is may have stored something', () => {
    const { rewrite, requestHeaders, withheld, pathEncoding, policies } = PLAIN
    const { by, query, tags } = CACHE_PLAN
    const shape = [rewrite, requestHeaders, withheld, pathEncoding, policies?.auth, by, query, tags]
    const former = hash('sha256', JSON.stringify(shape), 'base64url').slice(0, 22)
    assert.equal(keyOf([]).key.includes(former), false)
  })

  it('RFC 9111 §3.5: nobody where the credential has neither subject nor consumer nor certificate', () => {
    const unnamed = [
      {},
      { iss: 'https://id.example' },
      { sub: '' },
      { sub: ['alice'] },
      { sub: null, name: 'alice' },
      { sub: 2 ** 53 },
    ]
    for (const claims of unnamed) {
      assert.ok(hasCredential(client({ claims })))
      assert.equal(keyOf(['claim:sub'], { claims }).named, false, JSON.stringify(claims))
      assert.equal(keyOf(['consumer'], { claims }).named, false)
    }
    assert.equal(keyOf(['claim:sub']).named, false)
  })

  it('RFC 9111 §3.5: nor by the certificate of the connection, on which others may come', () => {
    for (const by of [['claim:sub'], ['consumer']]) {
      assert.equal(keyOf(by, { claims: {}, certificate: 'proxy' }).named, false)
      assert.equal(keyOf(by, { claims: { tenant: 'a' }, certificate: 'proxy' }).named, false)
    }
  })

  it('RFC 9111 §3.5: an Authorization that the origin reads and the key lacks is that of somebody else', () => {
    const set = (value: string): HeaderEdits => ({ set: [{ name: 'authorization', value }], add: [], remove: [] })
    const isolates = (
      by: readonly string[],
      edits: HeaderEdits | undefined,
      act: (x: TestExchange) => void,
    ): boolean => {
      const keys = new RequestKeys({ ...CACHE_PLAN, by }, { ...PLAIN, ...(edits && { requestHeaders: edits }) })
      const x = client({ claims: {}, consumer: 'app' })
      act(x)
      return keys.isolates(x)
    }
    const sent = ({ request }: TestExchange) => {
      request.clear(Buffer.from('Authorization: Bearer one'))
      request.push(0, 13, 15, 25)
    }
    const made = (x: TestExchange) => x.request.add('authorization', 'Basic eA==')
    const by = ['consumer']
    assert.equal(
      isolates(by, undefined, () => {}),
      true,
    )
    assert.equal(isolates(by, undefined, sent), false)
    assert.equal(isolates([...by, 'header:Authorization'], undefined, sent), true)
    const sentAs = (field: string) => (x: TestExchange) => {
      sent(x)
      x.set(KEPT_FIELD, field)
    }
    // The verified one itself, where it goes on.
    assert.equal(isolates(by, undefined, sentAs('authorization')), true)
    assert.equal(isolates(by, undefined, sentAs('x-token')), false)
    assert.equal(isolates(by, set('Basic eA=='), made), true)
    assert.equal(isolates(by, set('%{consumer}'), made), true)
    assert.equal(isolates(by, set('Bearer %{cookie:token}'), made), false)
    assert.equal(isolates([...by, 'cookie:token'], set('Bearer %{cookie:token}'), made), true)
    assert.equal(
      isolates(by, set('Bearer %{header:x-token}'), () => {}),
      true,
    )
    // Of the claims the key has those alone that say who the client is.
    assert.equal(isolates(by, set('%{claim:iss} %{claim:sub}'), made), true)
    assert.equal(isolates(by, set('Tenant %{claim:tenant}'), made), false)
    assert.equal(isolates([...by, 'claim:tenant'], set('Tenant %{claim:tenant}'), made), true)
  })

  it('RFC 9111 §3.5: nor has it one that requestHeaders hand on by another name', () => {
    const add = [{ name: 'x-auth', value: 'from %{header:Authorization}' }]
    const judged = (by: readonly string[], kept: boolean, given?: Client) => {
      const keys = new RequestKeys({ ...CACHE_PLAN, by }, { ...PLAIN, requestHeaders: { set: [], add, remove: [] } })
      const x = client(given)
      const plain = keys.isPersonal(x)
      x.request.add('x-auth', 'from Bearer one')
      if (kept) x.set(KEPT_FIELD, 'authorization')
      return { plain, personal: keys.isPersonal(x), alone: keys.isolates(x) }
    }
    assert.deepEqual(judged([], false), { plain: false, personal: true, alone: false })
    assert.deepEqual(judged(['header:x-auth'], false), { plain: false, personal: false, alone: false })
    assert.deepEqual(judged(['header:Authorization'], false), { plain: false, personal: false, alone: false })
    const app = { claims: {}, consumer: 'app' }
    assert.deepEqual(judged(['consumer'], false, app), { plain: true, personal: true, alone: false })
    assert.deepEqual(judged(['consumer'], true, app), { plain: true, personal: true, alone: true })
    assert.deepEqual(judged(['consumer', 'header:x-auth'], false, app), { plain: true, personal: true, alone: true })
  })

  it('a claim in it is that of one issuer, and of its type', () => {
    const values: unknown[] = [
      'a,b',
      ['a', 'b'],
      ['a,b'],
      ['a', { x: 1 }, 'b'],
      { id: 1 },
      { id: 2 },
      [{ id: 1 }],
      true,
      'true',
    ]
    values.push(1, '1', [], {}, '', '"1"', '["a","b"]')
    const clients = [...values, undefined].map((tenant) => ({ iss: 'https://id.example', tenant }))
    clients.push({ iss: 'https://other.example', tenant: 'a,b' })
    const keys = clients.map((claims) => keyOf(['claim:tenant'], { claims }).key)
    assert.equal(new Set(keys).size, clients.length)
  })

  it('knows the fields that are part of it', () => {
    const keys = new RequestKeys({ ...CACHE_PLAN, by: ['header:X-Host', 'cookie:a', 'client.ip'] }, PLAIN)
    assert.deepEqual([...keys.fields], ['x-host'])
  })
})
