import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FairMap } from '../../src/lib/fair-map.ts'

describe('a fair map', () => {
  it('lets one group use all of its capacity until another needs some', () => {
    const map = new FairMap<number>(10)
    for (let i = 0; i < 30; i++) map.set('noisy', `${i}`, i)
    assert.deepEqual([map.size, map.get('noisy', '19'), map.get('noisy', '20')], [10, undefined, 20])
    for (let i = 0; i < 5; i++) map.set('calm', `${i}`, i)
    for (let i = 0; i < 1_000; i++) map.set('noisy', `more ${i}`, i)
    assert.deepEqual([map.size, [0, 1, 2, 3, 4].map((i) => map.get('calm', `${i}`))], [10, [0, 1, 2, 3, 4]])
  })

  it('never evicts an entry of a group that holds no more than its equal share', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.integer({ min: 0, max: 20 })), { maxLength: 200 }),
        (capacity, sets) => {
          const map = new FairMap<number>(capacity)
          const model = new Map<string, Map<string, number>>()
          for (const [group, number] of sets) {
            const before = new Map([...model].map(([name, entries]) => [name, new Map(entries)]))
            map.set(group, `${number}`, number)
            const entries = model.get(group) ?? new Map<string, number>()
            model.set(group, entries)
            entries.delete(`${number}`)
            entries.set(`${number}`, number)
            for (const [name, held] of model)
              for (const key of [...held.keys()])
                if (map.get(name, key) === undefined) {
                  held.delete(key)
                  const had = before.get(name)?.size ?? 0
                  assert.ok(name === group || had > capacity / model.size, `${name} held ${had} of ${capacity}`)
                }
            assert.equal(
              map.size,
              [...model.values()].reduce((sum, { size }) => sum + size, 0),
            )
            assert.ok(map.size <= capacity)
          }
        },
      ),
    )
  })
})
