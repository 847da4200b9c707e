import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { Doorbells } from '../../src/shared-memory/doorbells.ts'

const SLOTS = 4_096

function bellsOf(workers: number): Doorbells {
  return new Doorbells(Doorbells.allocate(workers, SLOTS), workers, SLOTS)
}

function heard(bells: Doorbells, worker: number): number[] {
  const slots: number[] = []
  bells.answer(worker, (slot) => void slots.push(slot))
  return slots
}

describe('doorbells', () => {
  it('are heard once, by the worker that was rung for, however often they were rung', () => {
    const slot = fc.oneof(fc.nat(SLOTS - 1), fc.constantFrom(0, 31, 32, 1_023, 1_024, SLOTS - 1))
    fc.assert(
      fc.property(fc.array(fc.record({ worker: fc.nat(2), slot }), { maxLength: 50 }), (rings) => {
        const bells = bellsOf(3)
        for (const { worker, slot } of rings) bells.ring(worker, slot)
        for (let worker = 0; worker < 3; worker++) {
          const rung = new Set(rings.filter((ring) => ring.worker === worker).map((ring) => ring.slot))
          assert.deepEqual(
            heard(bells, worker),
            [...rung].sort((a, b) => a - b),
          )
          assert.deepEqual(heard(bells, worker), [])
        }
      }),
    )
  })

  it('call whoever listens, in a turn of its own, each time again', async () => {
    const bells = bellsOf(2)
    let next = Promise.withResolvers<number>()
    bells.listen(1, (slot) => next.resolve(slot), setImmediate)
    for (const slot of [7, 7, 4_000]) {
      next = Promise.withResolvers<number>()
      bells.ring(0, 1)
      bells.ring(1, slot)
      assert.equal(await next.promise, slot)
    }
  })

  it('wake another thread, and outlive one that ends while it listens', async () => {
    const buffer = Doorbells.allocate(2, SLOTS)
    const bells = new Doorbells(buffer, 2, SLOTS)
    const module = new URL('../../src/shared-memory/doorbells.ts', import.meta.url).href
    const code = `
      const { workerData, parentPort } = require('node:worker_threads')
      parentPort.on('message', () => {})
      import(${JSON.stringify(module)}).then(({ Doorbells }) => {
        new Doorbells(workerData, 2, ${SLOTS}).listen(1, (slot) => parentPort.postMessage(slot), setImmediate)
        parentPort.postMessage('listens')
      })`
    for (let round = 0; round < 3; round++) {
      const thread = new Worker(code, { eval: true, workerData: buffer })
      assert.deepEqual(await once(thread, 'message'), ['listens'])
      bells.ring(1, 100 + round)
      assert.deepEqual(await once(thread, 'message'), [100 + round])
      await thread.terminate()
      bells.ring(1, 5)
      bells.clear(1)
    }
    assert.deepEqual(heard(bells, 1), [])
  })

  it('reject a buffer that was allocated for something else', () => {
    assert.throws(() => new Doorbells(Doorbells.allocate(2, SLOTS), 3, SLOTS), TypeError)
    assert.throws(() => bellsOf(2).clear(2), RangeError)
  })
})
