import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { identityHeaders, isIdentityField, isIdentityValue } from '../../src/policy/identity-headers/filter.ts'
import { PLAIN, TestExchange, testDeps } from './exchange.ts'

describe('the filter identity-headers', () => {
  const filter = identityHeaders.create({ ...PLAIN, withheld: ['x-group', 'x-user'] }, testDeps())!

  it('removes the fields in every spelling, and no other', () => {
    const x = new TestExchange({}, { 'x-user': '1', x_user: '2', x_group: '3', 'x-users': '4', xuser: '5', 'x-a': '6' })
    assert.equal(filter.onRequest!(x), undefined)
    const left: string[] = []
    x.request.forEach((name) => {
      left.push(name)
    })
    assert.deepEqual(left, ['x-users', 'xuser', 'x-a'])
  })

  it('says what it removes, from trailers too, and names a few of many', () => {
    assert.deepEqual(filter.requestFields, ['x-group', 'x-user'])
    assert.equal(
      filter.explain!(new TestExchange())!.effect,
      'removes x-group, x-user, which other rules to its Backends state',
    )
    const many = Array.from({ length: 5_000 }, (_, i) => `x-${i}`)
    const { effect } = identityHeaders.create({ ...PLAIN, withheld: many }, testDeps())!.explain!(new TestExchange())!
    assert.match(effect, /x-7 and 4992 more, which/)
  })

  it('has nothing to do where nothing goes to a Backend', () => {
    const action = { type: 'respond', statusCode: 200 } as const
    assert.equal(identityHeaders.create({ ...PLAIN, action, withheld: ['x-user'] }, testDeps()), undefined)
  })

  it('takes for an identity what is made of claims or a consumer, but no credential', () => {
    for (const value of ['%{claim:sub}', 'a %{claim:a.b} c', '%{consumer}']) assert.ok(isIdentityValue(value), value)
    for (const value of ['', 'claim:sub', '%{client.ip}', '%{header:consumer}', '%{host}'])
      assert.ok(!isIdentityValue(value), value)
    assert.deepEqual(['x-user', 'authorization', 'cookie'].map(isIdentityField), [true, false, false])
  })
})
