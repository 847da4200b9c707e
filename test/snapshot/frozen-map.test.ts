import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { FrozenMap, FrozenMapBuilder } from '../../src/snapshot/frozen-map.ts'

const edits = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }).map(String), fc.option(fc.integer())), {
  maxLength: 60,
})

suite('frozen map', () => {
  test('holds what a Map holds', () => {
    fc.assert(
      fc.property(edits, (list) => {
        const builder = new FrozenMapBuilder<number>()
        const model = new Map<string, number>()
        for (const [key, value] of list)
          if (value === null) assert.equal(builder.delete(key), model.delete(key))
          else {
            builder.set(key, value)
            model.set(key, value)
          }
        const frozen = builder.freeze()
        assert.equal(frozen.size, model.size)
        assert.deepEqual(new Map(frozen), model)
        for (const [key] of list) assert.equal(frozen.get(key), model.get(key))
      }),
    )
  })

  test('what is frozen stays as it was, and the changes between two versions are exactly what differs', () => {
    fc.assert(
      fc.property(edits, edits, (first, second) => {
        const builder = new FrozenMapBuilder<number>()
        const apply = (list: typeof first) => {
          for (const [key, value] of list)
            if (value === null) builder.delete(key)
            else builder.set(key, value)
          return builder.freeze()
        }
        const before = apply(first)
        const copy = new Map(before)
        const after = apply(second)
        assert.deepEqual(new Map(before), copy)
        const changed = new Map([...before.changesTo(after)].map((change) => [change.key, change]))
        for (const key of new Set([...before.keys(), ...after.keys()])) {
          const expected =
            before.get(key) === after.get(key) ? undefined : { key, before: before.get(key), after: after.get(key) }
          assert.deepEqual(changed.get(key), expected)
        }
      }),
    )
  })

  test('a version in which nothing changed is the same object', () => {
    const builder = FrozenMap.from([['a', 1]]).edit()
    const first = builder.freeze()
    assert.equal(builder.freeze(), first)
    builder.set('b', 2)
    assert.notEqual(builder.freeze(), first)
    assert.deepEqual([...first], [['a', 1]])
  })
})
