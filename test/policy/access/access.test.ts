import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { access } from '../../../src/policy/access/policy.ts'
import { PLAIN, TestExchange, testDeps } from '../exchange.ts'

function reasonFor(value: Parameters<typeof access.plan>[0], clientAddress: string) {
  const filter = access.create(structuredClone(access.plan(value, 'shop')!), testDeps(), PLAIN)!
  const decision = filter.onRequest!(new TestExchange({ clientAddress })) as
    | { readonly response: { readonly status: number; readonly reason?: string } }
    | undefined
  return decision && `${decision.response.status} ${decision.response.reason}`
}

describe('access by the address of the client', () => {
  it('lets pass those that are allowed and not denied', () => {
    const value = { allow: ['10.0.0.0/8', '2001:db8::/32'], deny: ['10.9.0.0/16', '2001:db8:9::/48'] }
    for (const address of ['10.0.0.1', '10.255.255.255', '2001:db8::1'])
      assert.equal(reasonFor(value, address), undefined, address)
    for (const address of ['10.9.0.1', '11.0.0.1', '2001:db8:9::1', '2001:db9::1', '::1', 'unix', ''])
      assert.equal(reasonFor(value, address), '403 AddressDenied', address)
  })

  it('lets pass everybody else where it only denies', () => {
    assert.equal(reasonFor({ deny: ['10.0.0.0/8'] }, '10.0.0.1'), '403 AddressDenied')
    assert.equal(reasonFor({ deny: ['10.0.0.0/8'] }, '2001:db8::1'), undefined)
    assert.equal(reasonFor({ allow: ['10.0.0.1/32'] }, '10.0.0.2'), '403 AddressDenied')
  })

  it('is nothing where nothing is stated, and says what it does', () => {
    for (const value of [{}, { allow: [] }, { allow: [], deny: [] }])
      assert.equal(access.plan(value, 'shop'), undefined)
    const plan = access.plan({ allow: ['10.0.0.0/8'], deny: ['10.9.0.0/16'] }, 'shop')!
    const filter = access.create(plan, testDeps(), PLAIN)!
    const effect = 'refuses 10.9.0.0/16 and lets pass 10.0.0.0/8 of the others'
    const explain = (clientAddress: string) => filter.explain!(new TestExchange({ clientAddress }))
    assert.deepEqual(explain('10.1.0.1'), { filter: 'access', effect })
    const why = { '10.9.0.1': 'the address is in access.deny', '192.0.2.1': 'the address is not in access.allow' }
    for (const [address, said] of Object.entries(why))
      assert.deepEqual(explain(address), { filter: 'access', effect: `${effect}: ${said}`, status: 403 })
  })
})
