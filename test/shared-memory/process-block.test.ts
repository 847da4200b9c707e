import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CONTROL_THREAD,
  HEARTBEAT_INTERVAL,
  ProcessBlock,
  startHeartbeat,
  workerThread,
} from '../../src/shared-memory/process-block.ts'

function block(workers = 3): ProcessBlock {
  return new ProcessBlock(ProcessBlock.allocate(workers))
}

describe('the process block', () => {
  it('is shared by all threads that map it', () => {
    const one = block(5)
    const other = new ProcessBlock(one.buffer)
    one.setApplied(4, 17)
    one.setReady(true)
    assert.equal(other.workers, 5)
    assert.equal(other.applied(4), 17)
    assert.equal(other.ready, true)
  })

  it('reports a generation as applied everywhere when every live worker has applied it', () => {
    const shared = block(3)
    assert.equal(shared.appliedEverywhere(), 0)
    for (const worker of [0, 1]) shared.setLive(workerThread(worker), true)
    shared.setApplied(0, 5)
    assert.equal(shared.appliedEverywhere(), 0)
    shared.setApplied(1, 4)
    assert.equal(shared.appliedEverywhere(), 4)
    shared.setLive(workerThread(1), false)
    assert.equal(shared.appliedEverywhere(), 5)
  })

  it('knows the oldest generation that anybody waits for, in workers that live', () => {
    const shared = block(2)
    for (const worker of [0, 1]) shared.setLive(workerThread(worker), true)
    assert.equal(shared.oldestWaitedFor, 0)
    shared.setWaitedFor(1, 7)
    assert.equal(shared.oldestWaitedFor, 7)
    shared.setWaitedFor(0, 5)
    assert.equal(shared.oldestWaitedFor, 5)
    shared.clearWorker(0)
    assert.equal(shared.oldestWaitedFor, 7)
    shared.setWaitedFor(1, 0)
    assert.equal(shared.oldestWaitedFor, 0)
  })

  it('clears all state of a dead worker and of no other', () => {
    const shared = block(2)
    for (const worker of [0, 1]) {
      shared.setLive(workerThread(worker), true)
      shared.setApplied(worker, 3)
      shared.passEpoch(worker, 1)
      shared.addConnections(worker, 4)
      shared.beat(workerThread(worker))
    }
    shared.nextEpoch()
    shared.clearWorker(0)
    assert.deepEqual(
      [shared.live(workerThread(0)), shared.applied(0), shared.connections(0), shared.beats(workerThread(0))],
      [false, 0, 0, 0],
    )
    assert.deepEqual(
      [shared.live(workerThread(1)), shared.applied(1), shared.connections(1), shared.beats(workerThread(1))],
      [true, 3, 4, 1],
    )
    assert.equal(shared.epoch, 1)
  })

  it('keeps the rows of control and of the workers apart', () => {
    const shared = block(2)
    shared.beat(CONTROL_THREAD)
    assert.equal(shared.beats(workerThread(0)), 0)
    assert.equal(shared.beats(CONTROL_THREAD), 1)
  })

  it('counts a heartbeat immediately and at every interval', () => {
    const shared = block(1)
    let tick = (): void => assert.fail('no timer was asked for')
    const handle = startHeartbeat(shared, workerThread(0), (every, interval) => {
      assert.equal(interval, HEARTBEAT_INTERVAL)
      tick = every
      return 'timer'
    })
    assert.equal(handle, 'timer')
    tick()
    assert.equal(shared.beats(workerThread(0)), 2)
  })
})
