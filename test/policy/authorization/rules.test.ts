/** Rules of `authorization` beside claims: kinds of requests, default deny, scopes, consumers, addresses, dry runs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CLAIMS, CONSUMER, DRY_RUN } from '../../../src/policy/attribute.ts'
import { authorization } from '../../../src/policy/authorization/policy.ts'
import { PLAIN, TestExchange, testDeps } from '../exchange.ts'

type Rules = Parameters<typeof authorization.plan>[0]

interface Asked {
  readonly method?: string
  readonly path?: string
  readonly claims?: Readonly<Record<string, unknown>>
  readonly consumer?: string
  readonly clientAddress?: string
}

function decide(rules: Rules, { claims, consumer, ...given }: Asked = {}) {
  assert.deepEqual(authorization.check!(rules, 'Route'), [])
  const plan = structuredClone(authorization.plan(rules, 'shop')!)
  const filter = authorization.create(plan, testDeps(), PLAIN)!
  const x = new TestExchange(given)
  if (claims !== undefined) x.set(CLAIMS, claims)
  if (consumer !== undefined) x.set(CONSUMER, consumer)
  const decision = filter.onRequest!(x) as
    | { readonly response: { detail?: string; fields: TestExchange['request'] } }
    | undefined
  return {
    denied: decision?.response.detail,
    dryRun: x.get(DRY_RUN),
    challenge: decision?.response.fields.get('www-authenticate'),
  }
}

const denied = (rules: Rules, asked?: Asked) => decide(rules, asked).denied

describe('rules for kinds of requests', () => {
  const rules: Rules = [
    { name: 'read', when: { methods: ['GET'] } },
    { name: 'write', when: { methods: ['POST', 'PUT'], paths: ['/orders', '/orders/*'] }, scopes: ['orders:write'] },
    { name: 'admin', when: { paths: ['/admin/*'] }, claim: 'role', equals: 'admin' },
  ]
  const writer = { claims: { scope: 'orders:read orders:write' } }

  it('hold for those, and a request that none is for is denied', () => {
    assert.equal(denied(rules), undefined)
    assert.equal(denied(rules, { method: 'HEAD' }), undefined)
    assert.equal(denied(rules, { method: 'POST', path: '/orders/7', ...writer }), undefined)
    assert.equal(denied(rules, { method: 'PUT', path: '/orders', ...writer }), undefined)
    assert.equal(denied(rules, { method: 'PUT', path: '/orders' }), 'authorization write: scope')
    for (const asked of [
      { method: 'POST', path: '/ordersx', ...writer },
      { method: 'POST', path: '/Orders/7', ...writer },
      { method: 'DELETE', path: '/orders/7', ...writer },
      { method: 'get', path: '/' },
    ])
      assert.equal(denied(rules, asked), 'authorization: no rule is for such a request', JSON.stringify(asked))
  })

  it('must all hold that are for it: what one lets pass, another still denies', () => {
    for (const path of ['/admin', '/admin/', '/admin/x'])
      assert.equal(denied(rules, { path }), 'authorization admin: role', path)
    assert.equal(denied(rules, { path: '/administrators' }), undefined)
    assert.equal(denied(rules, { path: '/admin/x', claims: { role: 'admin' } }), undefined)
  })
})

describe('a rule of authorization', () => {
  const one = (test: object): Rules => [{ name: 'a', ...test }]

  it('asks for a claim that equals, or has all', () => {
    for (const [claims, passes] of [
      [{ level: 3, roles: ['a', 'b', 'c'] }, true],
      [{ level: '3', roles: 'b a' }, true],
      [{ level: [3], roles: ['a', 'b'] }, false],
      [{ level: 3, roles: ['a'] }, false],
      [{ level: 3, roles: [['a', 'b']] }, false],
      [{ level: 3 }, false],
    ] as const) {
      const rules: Rules = [
        { name: 'a', claim: 'level', equals: '3' },
        { name: 'b', claim: 'roles', hasAll: ['a', 'b'] },
      ]
      assert.equal(denied(rules, { claims }) === undefined, passes, JSON.stringify(claims))
    }
  })

  it('asks for scopes, and tells a client which', () => {
    const rules = one({ scopes: ['a:read', 'a:write'] })
    for (const claims of [
      { scope: 'a:write x a:read' },
      { scp: ['a:read', 'a:write'] },
      { scp: 'a:read', scope: 'a:write' },
    ])
      assert.equal(denied(rules, { claims }), undefined, JSON.stringify(claims))
    for (const claims of [{ scope: 'a:read' }, { scope: 'a:readwrite a:write' }, { scopes: 'a:read a:write' }, {}])
      assert.equal(denied(rules, { claims }), 'authorization a: scope', JSON.stringify(claims))
    assert.match(decide(rules, { claims: {} }).challenge ?? '', /error="insufficient_scope", scope="a:read a:write"$/)
    assert.equal(decide(rules, { claims: {}, consumer: 'billing' }).challenge, undefined)
    assert.equal(decide(one({ sourceCIDRs: ['10.0.0.0/8'] })).challenge, undefined)
  })

  it('asks for a consumer and for its groups, by claim or by label', () => {
    assert.equal(denied(one({ consumers: ['billing'] }), { consumer: 'billing' }), undefined)
    assert.equal(denied(one({ consumers: ['billing'] }), { consumer: 'Billing' }), 'authorization a: consumer')
    assert.equal(denied(one({ consumers: ['billing'] })), 'authorization a: consumer')
    for (const groups of [['x', 'partners'], 'partners', 'x,partners'])
      assert.equal(denied(one({ groups: ['partners', 'staff'] }), { claims: { groups } }), undefined)
    for (const groups of [['partner'], 'x partners', { partners: true }, undefined, 7])
      assert.equal(denied(one({ groups: ['partners'] }), { claims: { groups } }), 'authorization a: groups')
  })

  it('asks where the client is, in both families', () => {
    const rules = one({ sourceCIDRs: ['10.0.0.0/8', '2001:db8::/32'] })
    for (const clientAddress of ['10.1.2.3', '2001:db8::7']) assert.equal(denied(rules, { clientAddress }), undefined)
    for (const clientAddress of ['11.1.2.3', '2001:db9::7', '::1', ''])
      assert.equal(denied(rules, { clientAddress }), 'authorization a: client.ip', clientAddress)
  })

  it('asks CEL, whose errors deny', () => {
    const rules = one({ cel: "request.method == 'GET' || claims.level > 2" })
    assert.equal(denied(rules), undefined)
    assert.equal(denied(rules, { method: 'POST', claims: { level: 3 } }), undefined)
    assert.equal(denied(rules, { method: 'POST', claims: { level: 2 } }), 'authorization a: cel')
    assert.match(denied(rules, { method: 'POST' }) ?? '', /^authorization a: cel: No such key: level/)
    assert.equal(denied(one({ cel: 'request.time.getFullYear() == 1970' })), undefined)
  })

  it('is refused where it asks for nothing, or for what no request has', () => {
    const problems = (rule: object) =>
      authorization.check!(one(rule), 'Route').map(({ path, message }) => `${path.join('.')}: ${message}`)
    assert.match(problems({}).join(), /^0: asks for nothing/)
    assert.deepEqual(problems({ when: { methods: ['GET'] } }), [])
    assert.match(problems({ sourceCIDRs: ['10.0.0.0/33'] }).join(), /^0\.sourceCIDRs\.0: is no range/)
    for (const path of ['//a', '/a/../b', '/%61', '/a//*', '/a/./*'])
      assert.match(problems({ when: { paths: [path] } }).join(), /^0\.when\.paths\.0: is not in normal form/, path)
    assert.match(problems({ when: { paths: ['/a*b'] } }).join(), /^0\.when\.paths\.0: has a \*/)
    assert.match(problems({ cel: 'request.metod' }).join(), /^0\.cel: is no expression/)
    const many = Array.from({ length: 5 }, (_, i) => ({ name: `r${i}`, cel: `'${'a'.repeat(1_000)}' == 'b'` }))
    assert.match(JSON.stringify(authorization.check!(many, 'Route')), /longer than 4096 characters in all/)
  })
})

describe('a dry run', () => {
  const dry = { name: 'a', claim: 'role', equals: 'admin', dryRun: true }

  it('notes what it would deny, and changes nothing else', () => {
    assert.deepEqual(decide([dry]), { denied: undefined, dryRun: 'authorization a: role', challenge: undefined })
    assert.equal(decide([dry], { claims: { role: 'admin' } }).dryRun, undefined)
    const both = decide([dry, { ...dry, name: 'b' }])
    assert.equal(both.dryRun, 'authorization a: role, authorization b: role')
  })

  it('lets nothing pass that the other rules are not for', () => {
    const get = { name: 'get', when: { methods: ['GET'] } }
    assert.match(
      denied([{ ...dry, equals: 'x' }, get], { method: 'POST', claims: { role: 'x' } }) ?? '',
      /no rule is for/,
    )
    assert.equal(denied([dry, get]), undefined)
  })

  it('alone denies nothing by what it is not for, and notes that', () => {
    const when = { methods: ['GET'] }
    const { denied: no, dryRun } = decide([{ ...dry, when }], { method: 'POST' })
    assert.deepEqual([no, dryRun], [undefined, 'authorization: no rule is for such a request'])
  })
})
