import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { match } from '../../src/routing/match.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import { request, routerSuite, snapshot } from '../suite/router.ts'

routerSuite('packed matcher', (snapshot) => {
  const tables = new RouteTables(new Packer(Math.random).pack(snapshot).tables)
  return (request) => {
    const found = match(tables, request)
    return typeof found === 'string' ? found : { key: found.rule.key, prefixLength: found.prefixLength }
  }
})

describe('packed matcher', () => {
  it('gives the same view of a rule again without decoding it again', () => {
    const tables = new RouteTables(
      new Packer(Math.random).pack(snapshot({ 'a.example': [{ name: 'r', matches: [{}] }] })).tables,
    )
    const first = match(tables, request({}))
    assert.ok(typeof first !== 'string')
    const view = first.rule
    const second = match(tables, request({ path: '/other' }))
    assert.ok(typeof second !== 'string')
    assert.equal(second.rule, view)
  })

  it('bounds the conditions compared for one request, and reports the bound', () => {
    const headers = (last: string) =>
      Array.from({ length: 8 }, (_, i) => ({ name: `x-${i}`, type: 'Exact' as const, value: i < 7 ? 'a' : last }))
    const rules = (count: number) =>
      Array.from({ length: count }, (_, r) => ({ name: `r${r}`, matches: [{ headers: headers(`${r}`) }] }))
    const sent = Array.from({ length: 8 }, (_, i) => [`x-${i}`, i < 7 ? 'a' : 'none'] as const)
    const packer = new Packer(Math.random)
    const few = new RouteTables(packer.pack(snapshot({ 'a.example': rules(20_000) })).tables)
    assert.equal(match(few, request({ headers: sent })), 'RouteNotFound')
    const many = new RouteTables(packer.pack(snapshot({ 'a.example': rules(30_000) })).tables)
    const before = process.threadCpuUsage()
    assert.throws(() => match(many, request({ headers: sent })), { name: 'GatewayError', reason: 'TooManyConditions' })
    // What does not match soon is given up soon: with nothing of it sent, a match costs one or two conditions.
    assert.equal(match(many, request({})), 'RouteNotFound')
    const { user } = process.threadCpuUsage(before)
    assert.ok(user < 1_000_000, `${user} microseconds`)
  })
})
