import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { radixSort } from '../../src/balance/radix-sort.ts'

it('sorts any unsigned integers and keeps the order of equal ones', () => {
  const key = fc.oneof(fc.nat(3), fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 31))
  fc.assert(
    fc.property(fc.array(key, { maxLength: 100 }), (list) => {
      const keys = Uint32Array.from(list)
      const values = Uint32Array.from(list, (_, i) => i)
      radixSort(keys, values)
      const expected = list.map((key, i) => ({ key, i })).sort((a, b) => a.key - b.key || a.i - b.i)
      assert.deepEqual(
        [...keys],
        expected.map(({ key }) => key),
      )
      assert.deepEqual(
        [...values],
        expected.map(({ i }) => i),
      )
    }),
  )
})
