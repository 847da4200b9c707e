import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseUsers, type Users, writeUsers } from '../../src/auth/htpasswd.ts'
import type { PasswordAnswer, PasswordQuestion } from '../../src/auth/password-check.ts'
import { AMBIENT_CREDENTIAL, CLAIMS, CONSUMER } from '../../src/policy/attribute.ts'
import { LEASE } from '../../src/policy/auth/lease.ts'
import { auth } from '../../src/policy/auth/policy.ts'
import { PLAIN, pairs, TestExchange, testDeps } from './exchange.ts'

const CONTENT = 'Secret shop/users htpasswd headgate.dev/htpasswd'
const hashOf = (mark: string) => `$2y$10$${mark.repeat(53)}`
const [ALICE, BOB] = [hashOf('a'), hashOf('b')]
const basic = (credentials: string | Buffer) => ({
  authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
})

function rig(value: object = { secretName: 'users' }) {
  const asked: PasswordQuestion[] = []
  let answer: (question: PasswordQuestion) => PasswordAnswer = ({ password, decoy }) => ({
    result: password === 'secret' && !decoy ? 'right' : 'wrong',
  })
  const deps = {
    ...testDeps(),
    passwords: {
      digest: (text: string) => `digest of ${text}`,
      check: async (question: PasswordQuestion) => {
        asked.push(question)
        return answer(question)
      },
    },
  }
  const filter = auth.create(auth.plan({ basic: value } as never, 'shop')!, deps, PLAIN)!
  const users = (text: string) => deps.contentsById.set(CONTENT, Buffer.from(writeUsers(parseUsers(text) as Users)))
  users(`alice:${ALICE}\nbob:${BOB}`)
  return {
    asked,
    deps,
    users,
    answers: (by: typeof answer) => (answer = by),
    async ask(fields: Readonly<Record<string, string>>, clientAddress = '203.0.113.9') {
      const x = new TestExchange({ clientAddress }, fields)
      const response = (await filter.onRequest!(x))?.response
      return { x, status: response?.status ?? 200, fields: response?.fields, detail: response?.detail }
    },
  }
}

describe('auth by passwords', () => {
  it('says who it is, and takes the password out', async () => {
    const { ask, asked } = rig()
    const { x, status } = await ask({ ...basic('alice:secret'), accept: '*/*' })
    assert.equal(status, 200)
    assert.deepEqual([x.get(CONSUMER), x.get(CLAIMS), x.get(AMBIENT_CREDENTIAL)], ['alice', { sub: 'alice' }, true])
    assert.deepEqual(pairs(x.request), [['accept', '*/*']])
    assert.deepEqual(asked, [
      {
        owner: 'shop',
        scope: CONTENT,
        client: '203.0.113.9',
        name: 'alice',
        hash: ALICE,
        password: 'secret',
        decoy: false,
      },
    ])
  })

  it('asks in a challenge, and says no more than that it was wrong', async () => {
    const { ask } = rig({ secretName: 'users', realm: 'Shop' })
    for (const fields of [{}, basic('alice:wrong'), basic('nobody:secret'), { authorization: 'Basic' }]) {
      const { status, fields: given } = await ask(fields)
      assert.deepEqual([status, given?.get('www-authenticate')], [401, 'Basic realm="Shop", charset="UTF-8"'])
    }
    assert.equal(
      (await rig().ask({})).fields?.get('www-authenticate'),
      'Basic realm="shop.example.com", charset="UTF-8"',
    )
  })

  it('checks a password once, right or wrong, as long as its hash is the same', async () => {
    const { ask, asked, users } = rig()
    for (let i = 0; i < 3; i++) {
      assert.equal((await ask(basic('alice:secret'))).status, 200)
      assert.equal((await ask(basic('alice:wrong'))).status, 401)
      assert.equal((await ask(basic('nobody:secret'))).status, 401)
    }
    assert.equal(asked.length, 3)
    // Another hash of another user makes nobody else be checked again.
    users(`alice:${ALICE}\nbob:${hashOf('c')}`)
    assert.equal((await ask(basic('alice:secret'))).status, 200)
    assert.equal(asked.length, 3)
    users(`bob:${BOB}`)
    assert.equal((await ask(basic('alice:secret'))).status, 401)
    users(`alice:${hashOf('d')}`)
    assert.equal((await ask(basic('alice:secret'))).status, 200)
    assert.equal(asked.at(-1)!.hash, hashOf('d'))
  })

  it('takes as long for a name that nobody has: by the hash of somebody, always the same one', async () => {
    const { ask, asked } = rig()
    for (const password of ['a', 'b', 'c']) await ask(basic(`nobody:${password}`))
    const other = rig()
    await other.ask(basic('nobody:d'))
    assert.equal(new Set([...asked, ...other.asked].map(({ hash }) => hash)).size, 1)
    assert.ok([ALICE, BOB].includes(asked[0]!.hash))
    assert.ok(asked.every(({ decoy }) => decoy))
    // A thread that takes a decoy for right lets nobody in.
    const lenient = rig()
    lenient.answers(() => ({ result: 'right' }))
    assert.equal((await lenient.ask(basic('nobody:secret'))).status, 401)
  })

  it('ends what lasts longer than a request with the line of its user', async () => {
    const { ask, users, deps } = rig()
    const { x } = await ask(basic('alice:secret'))
    const look = () => x.get(LEASE)!.look()
    assert.equal(look(), Number.POSITIVE_INFINITY)
    users(`alice:${ALICE}\nbob:${hashOf('c')}`)
    assert.equal(look(), Number.POSITIVE_INFINITY)
    users(`bob:${BOB}`)
    assert.equal(look(), 'CredentialInvalid')
    deps.contentsById.delete(CONTENT)
    assert.equal(look(), 'AuthUnavailable')
  })

  it('waits once for the same credentials at a time', async () => {
    const { ask, asked } = rig()
    const all = await Promise.all(Array.from({ length: 5 }, () => ask(basic('alice:secret'))))
    assert.deepEqual(
      all.map(({ status }) => status),
      Array(5).fill(200),
    )
    assert.equal(asked.length, 1)
  })

  it('reads names and passwords of RFC 7617, and nothing else', async () => {
    const { ask, asked } = rig()
    await ask(basic('zoë:pass:wörd'))
    assert.equal(asked.at(-1)!.password, 'pass:wörd')
    await ask(basic('alice:'))
    assert.equal(asked.at(-1)!.password, '')
    const before = asked.length
    for (const authorization of [
      'Basic !',
      'Basic YWxpY2U6c2VjcmV0!',
      'Basic YWxpY2U6c2VjcmV0=',
      'Basic YWxpY2U6c2VjcmV1'.slice(0, -2),
      `Basic ${Buffer.from('no colon').toString('base64')}`,
      `Basic ${Buffer.from('alice:sec\0ret').toString('base64')}`,
      `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString('base64')}`,
      `Basic ${Buffer.from(`alice:${'x'.repeat(3_000)}`).toString('base64')}`,
    ])
      assert.equal((await ask({ authorization })).status, 401, authorization.slice(0, 40))
    assert.equal(asked.length, before)
  })

  it('answers 429 to who guesses, 503 where nothing can be checked, and keeps neither', async () => {
    const { ask, asked, answers, deps } = rig()
    answers(() => ({ result: 'limited', retryAfter: 5_100 }))
    const limited = await ask(basic('alice:secret'), '2001:db8::1')
    assert.deepEqual([limited.status, limited.fields?.get('retry-after')], [429, '6'])
    assert.equal(asked[0]!.client, '2001:db8::/64')
    answers(() => ({ result: 'unavailable', detail: 'why' }))
    const away = await ask(basic('alice:secret'))
    assert.deepEqual([away.status, away.detail, away.fields?.get('www-authenticate')], [503, 'why', undefined])
    answers(() => ({ result: 'right' }))
    assert.equal((await ask(basic('alice:secret'))).status, 200)
    deps.contentsById.delete(CONTENT)
    assert.equal((await ask(basic('alice:secret'))).status, 503)
  })
})
