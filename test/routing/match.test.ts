import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { match } from '../../src/routing/match.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { Tables } from '../../src/snapshot/tables.ts'
import { request, routerSuite, snapshot } from '../suite/router.ts'

routerSuite('packed matcher', (snapshot) => {
  const tables = new Tables(new Packer(Math.random).pack(snapshot).tables)
  return (request) => {
    const found = match(tables, request)
    return typeof found === 'string' ? found : { key: found.rule.key, prefixLength: found.prefixLength }
  }
})

describe('packed matcher', () => {
  it('gives the same view of a rule again without decoding it again', () => {
    const tables = new Tables(
      new Packer(Math.random).pack(snapshot({ 'a.example': [{ name: 'r', matches: [{}] }] })).tables,
    )
    const first = match(tables, request({}))
    assert.ok(typeof first !== 'string')
    const view = first.rule
    const second = match(tables, request({ path: '/other' }))
    assert.ok(typeof second !== 'string')
    assert.equal(second.rule, view)
  })
})
