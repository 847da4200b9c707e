import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rulesOf } from '../../../src/policy/cache/rules.ts'
import { planCache } from '../../../src/policy/cache/value.ts'

const rules = (...ttlByCode: { readonly codes: readonly string[]; readonly ttl: string }[]) =>
  rulesOf(planCache({ ttlByCode })!)

describe('the lifetimes of a policy by status', () => {
  it('are those of the first range that has the status', () => {
    const { ttlByCode } = rules({ codes: ['404', '500-502'], ttl: '1s' }, { codes: ['400-599'], ttl: '2s' })
    assert.deepEqual(
      [399, 400, 404, 499, 500, 502, 503, 599, 600].map((status) => ttlByCode!.get(status)),
      [undefined, 2_000, 1_000, 2_000, 1_000, 1_000, 2_000, 2_000, undefined],
    )
    assert.equal(rules().ttlByCode, undefined)
  })

  it('take no more memory where the ranges are wide', () => {
    const before = process.memoryUsage().heapUsed
    const all = Array.from({ length: 2_000 }, () => rules({ codes: ['100-599'], ttl: '10s' }))
    const each = (process.memoryUsage().heapUsed - before) / all.length
    assert.ok(each < 4_096, `${Math.round(each)} bytes for one`)
  })
})
