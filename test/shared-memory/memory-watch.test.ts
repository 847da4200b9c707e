import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WORKER_GARBAGE_THRESHOLD, watchMemory } from '../../src/shared-memory/memory-watch.ts'
import { CONTROL_THREAD, ProcessBlock, workerThread } from '../../src/shared-memory/process-block.ts'

const MiB = 1024 * 1024

/** A thread whose heap the test sets, and whose clock it is. */
function thread(row = workerThread(0), threshold?: number) {
  const block = new ProcessBlock(ProcessBlock.allocate(2))
  const heap = { used: 40 * MiB, live: 10 * MiB, idle: true, collected: 0 }
  let tick = (): void => {}
  watchMemory(
    block,
    row,
    {
      statistics: () => ({
        used_heap_size: heap.used,
        total_heap_size: heap.used + MiB,
        heap_size_limit: 64 * MiB,
        external_memory: 3 * MiB,
      }),
      idle: () => heap.idle,
      collect: () => {
        heap.collected++
        heap.used = heap.live
      },
      ...(threshold === undefined ? {} : { threshold }),
    },
    (look) => {
      tick = look
    },
  )
  return {
    block,
    heap,
    pass: (seconds: number, allocated = 0) => {
      for (let i = 0; i < seconds; i++) {
        heap.used += allocated
        tick()
      }
    },
  }
}

describe('the memory of a thread', () => {
  it('is recorded in the process block, and cleared with the worker', () => {
    const { block } = thread()
    const told = { used: 40 * MiB, total: 41 * MiB, limit: 64 * MiB, external: 3 * MiB }
    assert.deepEqual(block.memory(workerThread(0)), told)
    assert.equal(block.memory(CONTROL_THREAD).used, 0)
    block.clearWorker(0)
    assert.equal(block.memory(workerThread(0)).used, 0)
  })
  it('is collected once when the thread becomes idle', () => {
    const { heap, block, pass } = thread()
    pass(4)
    assert.equal(heap.collected, 0)
    pass(60)
    assert.equal(heap.collected, 1)
    assert.equal(block.memory(workerThread(0)).used, 10 * MiB)
  })
  it('is collected again after more garbage', () => {
    const { heap, pass } = thread()
    pass(10)
    pass(10, 2 * MiB)
    assert.equal(heap.collected, 1)
    pass(10)
    assert.equal(heap.collected, 2)
  })
  it('is collected although the metrics are read every few seconds', () => {
    const { heap, pass } = thread()
    for (let i = 0; i < 5; i++) {
      pass(1, 2 * MiB)
      pass(2)
    }
    assert.equal(heap.collected, 1)
  })
  it('of a worker is collected for more garbage only, because compiled code is discarded with it', () => {
    const { heap, pass } = thread(workerThread(0), WORKER_GARBAGE_THRESHOLD)
    // A worker that has served its first requests.
    heap.used = 18 * MiB
    heap.live = 15 * MiB
    pass(60)
    assert.equal(heap.collected, 0)
    heap.used = 26 * MiB
    pass(60)
    assert.equal(heap.collected, 1)
    pass(10, 2 * MiB)
    pass(60)
    assert.equal(heap.collected, 1, 'less than that since the last collection')
    pass(3, 2 * MiB)
    pass(60)
    assert.equal(heap.collected, 2)
  })
  it('is not collected while the thread is busy or allocates, for little garbage, or when the heap is large', () => {
    for (const change of [
      ({ heap, pass }: ReturnType<typeof thread>) => {
        heap.idle = false
        pass(30)
      },
      ({ pass }: ReturnType<typeof thread>) => pass(30, 2 * MiB),
      ({ heap, pass }: ReturnType<typeof thread>) => {
        heap.used = 7 * MiB
        pass(30)
      },
      ({ heap, pass }: ReturnType<typeof thread>) => {
        heap.used = 300 * MiB
        pass(30)
      },
    ]) {
      const one = thread()
      change(one)
      assert.equal(one.heap.collected, 0)
    }
  })
})
