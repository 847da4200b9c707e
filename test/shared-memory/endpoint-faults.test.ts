import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { EndpointFaults } from '../../src/shared-memory/endpoint-faults.ts'

describe('marks of endpoints whose state changed', () => {
  it('are found once, each slot by itself, in tables of any size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.infiniteStream(fc.nat()), (slots, numbers) => {
        const buffer = EndpointFaults.allocate(slots)
        const [worker, control] = [new EndpointFaults(buffer), new EndpointFaults(buffer)]
        const marked = new Set([0, slots - 1, ...numbers.take(5).map((number) => number % slots)])
        for (const slot of marked) worker.mark(slot)
        assert.deepEqual(
          [...control.takeMarked()],
          [...marked].sort((a, b) => a - b),
        )
        assert.deepEqual([...control.takeMarked()], [])
        for (let slot = 0; slot < slots; slot++) assert.equal(control.inARow(slot) + control.ejections(slot), 0)
      }),
    )
  })

  it('are apart from what is counted', () => {
    const slots = 64
    const faults = new EndpointFaults(EndpointFaults.allocate(slots))
    for (let slot = 0; slot < slots; slot++) {
      assert.equal(faults.failed(slot), 1)
      faults.ejected(slot, 500 + slot)
    }
    assert.deepEqual([...faults.takeMarked()], [])
    for (let slot = 0; slot < slots; slot++)
      assert.deepEqual([faults.ejections(slot), faults.cause(slot)], [1, 500 + slot])
  })
})
