import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Ledger } from '../../src/shared-memory/ledger.ts'

const WORKERS = 3
const SLOTS = 4

function ledger(): Ledger {
  return new Ledger(Ledger.allocate(WORKERS, SLOTS), WORKERS)
}

describe('a ledger', () => {
  it('sums the counts of all workers per slot', () => {
    const counts = ledger()
    counts.add(0, 1, 2)
    counts.add(2, 1, 3)
    counts.add(1, 2, 7)
    assert.equal(counts.sum(1), 5)
    assert.equal(counts.sum(2), 7)
    assert.equal(counts.sum(0), 0)
    assert.equal(counts.own(2, 1), 3)
  })

  it('clears the row of a dead worker and nothing else', () => {
    const counts = ledger()
    for (let worker = 0; worker < WORKERS; worker++)
      for (let slot = 0; slot < SLOTS; slot++) counts.add(worker, slot, worker + 1)
    counts.clearRow(1)
    for (let slot = 0; slot < SLOTS; slot++) assert.equal(counts.sum(slot), 1 + 3)
  })

  it('never lets the sum of all workers exceed the limit, and refuses nothing below it', () => {
    const step = fc.record({ worker: fc.nat(WORKERS - 1), take: fc.boolean() })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
        const counts = ledger()
        let held = 0
        for (const { worker, take } of steps) {
          if (take) {
            const admitted = counts.reserve(worker, 0, limit)
            assert.equal(admitted, held < limit)
            if (admitted) held++
          } else if (counts.own(worker, 0) > 0) {
            counts.add(worker, 0, -1)
            held--
          }
          assert.equal(counts.sum(0), held)
        }
      }),
    )
  })

  it('treats a limit of 0 as none', () => {
    const counts = ledger()
    for (let i = 0; i < 1000; i++) assert.equal(counts.reserve(0, 0, 0), true)
    assert.equal(counts.sum(0), 1000)
  })

  it('rejects a buffer allocated for another number of workers', () => {
    assert.throws(() => new Ledger(Ledger.allocate(2, 1), 3), TypeError)
  })
})
