import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { destinationsOf, listDifference, originsOf } from '../../src/lib/origins.ts'

const ALL = Array.from({ length: 300 }, (_, slot): Endpoint => {
  return { authority: `${slot}`, address: `${slot}`, port: 80, slot, weight: 1, state: 'ready' }
})

describe('where the endpoints of a list come from', () => {
  it('is found after any change, in order or not', () => {
    const list = fc.oneof(fc.subarray(ALL), fc.shuffledSubarray(ALL))
    fc.assert(
      fc.property(list, list, (before, after) => {
        const origins = originsOf(before, after)
        assert.deepEqual(
          [...origins],
          after.map((endpoint) => before.indexOf(endpoint)),
        )
        assert.deepEqual(
          [...destinationsOf(origins, before.length)],
          before.map((endpoint) => after.indexOf(endpoint)),
        )
        assert.deepEqual(listDifference(before, after), {
          gone: before.filter((endpoint) => !after.includes(endpoint)),
          fresh: after.filter((endpoint) => !before.includes(endpoint)),
        })
      }),
      { numRuns: 60 },
    )
  })

  it('is found where many are gone at once, and where all are new', () => {
    const [left, rest] = [ALL.slice(0, 3), ALL.slice(200)]
    assert.deepEqual([...originsOf(ALL, [...left, ...rest])].slice(0, 5), [0, 1, 2, 200, 201])
    assert.ok(originsOf(left, rest).every((origin) => origin === -1))
    assert.equal(originsOf([], ALL).length, ALL.length)
  })
})
