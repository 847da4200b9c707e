/**
 * Preloaded into every thread of a gateway under test (`--import`) to inject faults. The test sends a fault to the main
 * thread by IPC, which forwards it to the others.
 */
import { existsSync } from 'node:fs'
import { BroadcastChannel, isMainThread, workerData } from 'node:worker_threads'

export interface Fault {
  /** `control`, or a worker's index. */
  readonly thread: 'control' | number
  /** `leak`: allocates memory until the limit. */
  readonly how: 'hang' | 'throw' | 'exit' | 'leak'
}

const channel = new BroadcastChannel('headgate-fault')
channel.unref()

if (isMainThread) process.on('message', (fault: Fault) => channel.postMessage(fault))
else {
  const { role, index } = workerData as { role: 'control' | 'worker'; index?: number }
  const own = role === 'control' ? 'control' : index
  // A thread that cannot even start, from the beginning or while there is a file.
  const { HEADGATE_TEST_BROKEN_THREAD: broken, HEADGATE_TEST_BROKEN_WHILE: file } = process.env
  if (String(own) === broken && (file === undefined || existsSync(file))) throw new Error('broken by the test')
  // A thread that hangs as soon as it meets an object with this label.
  const poison = process.env.HEADGATE_TEST_POISON
  if (poison !== undefined && role === 'control') {
    const { freeze } = Object
    Object.freeze = ((value: unknown) => {
      while (typeof value === 'object' && value !== null && Object.hasOwn(value, poison));
      return freeze(value)
    }) as typeof freeze
  }
  channel.onmessage = (event: unknown) => {
    const { thread, how } = (event as { data: Fault }).data
    if (thread !== own) return
    if (how === 'hang') for (;;);
    if (how === 'exit') process.exit(7)
    if (how === 'leak') return leak([])
    setImmediate(() => {
      throw new Error('thrown by the test')
    })
  }
}

/** Allocates in short turns, so that the thread's heartbeat continues. */
function leak(kept: object[]): void {
  for (let i = 0; i < 100; i++) kept.push(new Array(1_000).fill(i))
  setImmediate(() => leak(kept))
}
