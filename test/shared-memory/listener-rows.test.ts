import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ListenerRows } from '../../src/shared-memory/listener-rows.ts'
import { createMetrics } from '../../src/shared-memory/metrics.ts'

describe('rows of listeners in the metrics', () => {
  it('are found by name by everyone who maps the memory, in whatever order names come, go and come back', () => {
    const names = fc.array(fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/), { maxLength: 6 })
    fc.assert(
      fc.property(fc.array(names, { maxLength: 8 }), (settings) => {
        const shared = createMetrics({ workers: 1, listeners: 10 })
        const known = new Map<string, number>()
        for (const list of settings) {
          // A control thread that takes the place of another.
          new ListenerRows(shared).sync(list)
          const worker = new ListenerRows(shared)
          for (const name of list) {
            const row = worker.find(name)
            assert.equal(row, known.get(name) ?? Math.min(known.size, 9), name)
            if (row < 9) known.set(name, row)
          }
          const entries = new Map(Array.from(worker.entries(), ({ name, row }) => [name, row]))
          entries.delete('other.')
          const served = [...known].filter(([name]) => list.includes(name))
          assert.deepEqual(entries, new Map(served), 'those of the settings are shown, and no other')
        }
      }),
    )
  })

  it('are one for all that come when the others are used up, and none is taken from another', () => {
    const rows = new ListenerRows(createMetrics({ workers: 1, listeners: 3 }))
    rows.sync(['a', 'b', 'c', 'd'])
    assert.deepEqual(
      ['a', 'b', 'c', 'd', 'never'].map((name) => rows.find(name)),
      [0, 1, 2, 2, 2],
    )
    assert.deepEqual([...rows.entries()].at(-1), { row: 2, name: 'other.' })
  })
})
