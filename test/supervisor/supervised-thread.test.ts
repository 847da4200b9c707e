/** A real thread that is terminated, by a clock that runs faster than that of the system. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay, setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { pino } from 'pino'
import type { TimerClock } from '../../src/lib/clock.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import { SupervisedThread } from '../../src/supervisor/supervised-thread.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { eventually } from '../feature/harness.ts'

/** The five seconds that a thread has to exit are so much shorter. */
const FASTER = 50

const RUNS = `require('node:worker_threads').parentPort.postMessage('runs')`

const time: TimerClock = { ...systemTimers, after: (wait, run) => systemTimers.after(wait / FASTER, run) }

interface Terminated {
  readonly thread: SupervisedThread
  readonly worker: Worker
  readonly log: string[]
  stuck: boolean
}

async function started(t: TestContext, source: string): Promise<Terminated> {
  const log: string[] = []
  const block = new ProcessBlock(ProcessBlock.allocate(1))
  const state = { stuck: false, log }
  const workers: Worker[] = []
  const thread = new SupervisedThread({
    title: 'worker 0',
    name: 'hg-worker-0',
    row: 0,
    block,
    log: pino({}, { write: (line) => void log.push(line) }),
    time,
    interval: 100,
    hangTimeout: 600,
    create: () => {
      const worker = new Worker(source, { eval: true })
      workers.push(worker)
      return worker
    },
    onExit: () => {},
    onStuck: () => (state.stuck = true),
  })
  thread.start()
  t.after(async () => {
    thread.stopRestarting()
    await Promise.all(workers.map((worker) => worker.terminate()))
  })
  return Object.assign(state, { thread, worker: workers[0]! })
}

async function terminated(t: TestContext, source: string): Promise<Terminated> {
  const state = await started(t, source)
  await once(state.worker, 'message')
  // What it says is heard before it goes on.
  await delay(100)
  state.thread.stopRestarting()
  state.thread.terminate('was terminated by the test')
  return state
}

describe('a thread that is terminated', () => {
  it('is not stuck where it has exited, and who waits for that was held up for longer than it had', async (t) => {
    const state = await terminated(t, `${RUNS}; setInterval(() => {}, 1_000)`)
    // Timers come next then, and what is heard of threads behind them.
    await setImmediate()
    // The supervisor lacks a CPU, or the whole machine was suspended: the timer is due before the exit is heard of.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, (5_000 / FASTER) * 4)
    await state.thread.whenExited()
    await delay((5_000 / FASTER) * 2)
    assert.equal(state.stuck, false)
  })

  it('is stuck where it waits in a system call', async (t) => {
    const state = await terminated(t, `${RUNS}; require('node:child_process').spawnSync('sleep', ['3'])`)
    await eventually(() => assert.equal(state.stuck, true))
  })

  it('is told by its failure, where it has failed and takes long to exit', async (t) => {
    const state = await started(t, `throw new Error('thrown by the test')`)
    state.worker.once('error', () => state.thread.terminate('stopped responding and was terminated'))
    await eventually(() => assert.ok(state.log.length > 0))
    assert.match(JSON.parse(state.log[0]!).msg, /^worker 0 failed: thrown by the test; restarting it now$/)
  })
})
