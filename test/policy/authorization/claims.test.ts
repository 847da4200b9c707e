import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CLAIMS } from '../../../src/policy/attribute.ts'
import { authorization } from '../../../src/policy/authorization/policy.ts'
import { PLAIN, TestExchange, testDeps } from '../exchange.ts'

async function statusOf(
  rules: Parameters<typeof authorization.plan>[0],
  claims: Readonly<Record<string, unknown>> | undefined,
) {
  const plan = authorization.plan(rules, 'shop')!
  const filter = authorization.create(structuredClone(plan), testDeps(), PLAIN)!
  const x = new TestExchange()
  if (claims !== undefined) x.set(CLAIMS, claims)
  const response = (await filter.onRequest!(x))?.response
  if (response !== undefined) {
    assert.equal(response.reason, 'AccessDenied')
    assert.match(response.detail ?? '', /^authorization \S+: \S+$/)
    // Who has sent no token has none whose scope is too small.
    const challenge = claims && 'Bearer realm="shop.example.com", error="insufficient_scope"'
    assert.equal(response.fields.get('www-authenticate'), challenge)
  }
  return response?.status ?? 200
}

describe('authorization by claims', () => {
  const write = { name: 'write', claim: 'scope', hasAny: ['orders:write', 'admin'] }
  const staff = { name: 'staff', claim: 'org.groups', in: ['ops', '7', 'true'] }

  it('lets pass who has one of the words or elements', async () => {
    for (const [claims, status] of [
      [{ scope: 'orders:read orders:write' }, 200],
      [{ scope: ['x', 'admin'] }, 200],
      [{ scope: 'orders:writer' }, 403],
      [{ scope: 'orders:write,admin' }, 403],
      [{ scope: '' }, 403],
      [{ scope: { admin: true } }, 403],
      [{ Scope: 'admin' }, 403],
      [{}, 403],
      [undefined, 403],
    ] as const)
      assert.equal(await statusOf([write], claims), status, JSON.stringify(claims))
  })

  it('compares a claim as a whole, by its path of own members', async () => {
    for (const [claims, status] of [
      [{ org: { groups: 'ops' } }, 200],
      [{ org: { groups: ['dev', 'ops'] } }, 200],
      [{ org: { groups: 7 } }, 200],
      [{ org: { groups: true } }, 200],
      [{ org: { groups: 'dev ops' } }, 403],
      [{ org: { groups: null } }, 403],
      [{ org: { groups: [['ops']] } }, 403],
      [{ 'org.groups': 'ops' }, 403],
      [{ org: 'ops' }, 403],
    ] as const)
      assert.equal(await statusOf([staff], claims), status, JSON.stringify(claims))
    assert.equal(await statusOf([{ name: 'a', claim: 'constructor.name', in: ['Object'] }], { sub: 'a' }), 403)
  })

  it('wants all rules to hold, and nothing where there is none', async () => {
    assert.equal(await statusOf([write, staff], { scope: 'admin', org: { groups: 'ops' } }), 200)
    assert.equal(await statusOf([write, staff], { scope: 'admin', org: { groups: 'dev' } }), 403)
    assert.equal(await statusOf([staff, write], { scope: 'none', org: { groups: 'ops' } }), 403)
    assert.equal(authorization.plan([], 'shop'), undefined)
  })

  it('looks at a bounded number of words', async () => {
    const scope = `${'x '.repeat(2_000)}admin`
    assert.equal(await statusOf([write], { scope }), 403)
    assert.equal(await statusOf([write], { scope: `admin ${'x '.repeat(2_000)}` }), 200)
  })
})
