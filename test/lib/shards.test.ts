import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ShardedMap, ShardedSet } from '../../src/lib/shards.ts'

const keys = fc.constantFrom('', 'a', 'b', 'ab', 'x.example', '*.example', 'ü')
const step = fc.record({ key: keys, value: fc.nat(3), remove: fc.boolean() })

describe('sharded maps and sets', () => {
  it('hold what a Map and a Set hold after any history', () => {
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const [map, set, plainMap, plainSet] = [new ShardedMap<number>(), new ShardedSet(), new Map(), new Set()]
        for (const { key, value, remove } of steps) {
          if (remove) {
            assert.equal(map.delete(key), plainMap.delete(key))
            assert.equal(set.delete(key), plainSet.delete(key))
          } else {
            map.set(key, value)
            plainMap.set(key, value)
            set.add(key)
            plainSet.add(key)
          }
          assert.equal(map.get(key), plainMap.get(key))
          assert.equal(map.has(key), plainMap.has(key))
          assert.equal(set.has(key), plainSet.has(key))
        }
        assert.deepEqual([map.size, set.size], [plainMap.size, plainSet.size])
        assert.deepEqual(new Map(map), plainMap)
        assert.deepEqual(new Set(set), plainSet)
        assert.deepEqual([...map.keys()].sort(), [...plainMap.keys()].sort())
        assert.deepEqual([...map.values()].sort(), [...plainMap.values()].sort())
      }),
    )
  })

  it('may lose what an iteration has just seen, as lists of work do', () => {
    const set = new ShardedSet()
    for (let i = 0; i < 5000; i++) set.add(`n${i}`)
    let seen = 0
    for (const key of set) {
      seen++
      set.delete(key)
    }
    assert.deepEqual([seen, set.size], [5000, 0])
  })

  it('grow by a hundred thousand entries without a long stop', () => {
    const names = Array.from({ length: 150_000 }, (_, i) => `service-${i}.apps.example`)
    /** Of each step the best of some rounds, since other work stops one here and there; then the longest step. */
    const longest = (start: () => (name: string) => void): number => {
      const best: number[] = []
      for (let round = 0; round < 6; round++) {
        const add = start()
        for (let at = 0; at < names.length; at += 100) {
          const before = performance.now()
          for (let i = at; i < at + 100; i++) add(names[i]!)
          best[at / 100] = Math.min(best[at / 100] ?? Number.POSITIVE_INFINITY, performance.now() - before)
        }
      }
      return Math.max(...best)
    }
    const plain = longest(() => {
      const map = new Map<string, number>()
      return (name) => map.set(name, 1)
    })
    const sharded = longest(() => {
      const map = new ShardedMap<number>()
      return (name) => map.set(name, 1)
    })
    assert.ok(sharded < plain / 2, `${sharded} ms, ${plain} ms in a plain map`)
  })
})
