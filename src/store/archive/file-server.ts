/**
 * Answers what workers ask of the files of the archive, on the thread that owns them. Namespaces have the disk by
 * turns, each for as long as another: many long reads of one hold up no other's. What was asked for so long ago that
 * nobody waits for it any more, such as behind a disk that hung, is not done.
 */
import type { MessagePort } from 'node:worker_threads'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import type { FileReply, FileRequest } from './file-calls.ts'
import type { FileStore } from './file-store.ts'
import { RecordFault } from './records.ts'

/** Files that are taken over, or looked at whether they are over, before another call is answered. */
const SLICE = 32
const SWEEP_INTERVAL: Milliseconds = 100
/** Before further messages are read. */
const TURN: Milliseconds = 2
/** What a call costs at the least. */
const LEAST_COST: Milliseconds = 0.02

interface Waiting {
  readonly port: MessagePort
  readonly request: FileRequest
}

export class FileServer {
  readonly #store: FileStore
  readonly #time: Pick<TimerClock, 'monotonic' | 'nextTurn'>
  /** By namespace; a turn is a millisecond of the disk. */
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, Waiting>()
  #serial = 0
  #working = false

  constructor(store: FileStore, time: Pick<TimerClock, 'every' | 'monotonic' | 'nextTurn'>) {
    this.#store = store
    this.#time = time
    const takeOver = (): void => {
      for (let i = 0; i < SLICE; i++) if (!store.step()) return
      time.nextTurn(takeOver)
    }
    takeOver()
    time.every(SWEEP_INTERVAL, () => store.sweep(SLICE))
  }

  serve(port: MessagePort): void {
    port.on('message', (request: FileRequest) => {
      const key = String(this.#serial++)
      this.#waiting.set(key, { port, request })
      this.#queue.add(request.call.owner, key)
      if (this.#working) return
      this.#working = true
      this.#time.nextTurn(() => this.#work())
    })
  }

  #work(): void {
    const { monotonic } = this.#time
    const began = monotonic()
    for (let now = began; now - began < TURN; ) {
      const next = this.#queue.take(0)
      if (next === undefined) {
        this.#working = false
        return
      }
      const { port, request } = this.#waiting.get(next.key)!
      this.#waiting.delete(next.key)
      const reply = isOver(request, now) ? lateReply(request.id) : this.#answer(request.id, request.call)
      port.postMessage(reply, 'value' in reply ? buffersOf(reply.value) : [])
      const after = monotonic()
      this.#queue.charge(next.group, Math.max(LEAST_COST, after - now))
      now = after
    }
    this.#time.nextTurn(() => this.#work())
  }

  #answer(id: number, call: FileRequest['call']): FileReply {
    try {
      return { id, value: this.#store.run(call) }
    } catch (error) {
      const { reason, message } = error instanceof RecordFault ? error : new RecordFault('broken', String(error))
      return { id, fault: reason, message }
    }
  }
}

/** Nobody waits for it; what is removed is removed all the same. */
function isOver({ call: { call }, until }: FileRequest, now: Milliseconds): boolean {
  return now > until && call !== 'remove' && call !== 'drop-pieces'
}

const lateReply = (id: number): FileReply => ({ id, fault: 'timeout', message: 'it was asked for too long ago' })

/** What was read goes to the worker as it is: each of these has memory of its own. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (value instanceof Uint8Array) return [value.buffer as ArrayBuffer]
  if (typeof value !== 'object' || value === null || !('root' in value)) return []
  const { root, variant } = value as { readonly root: Uint8Array | null; readonly variant: Uint8Array | null }
  return [root, variant].flatMap((bytes) => (bytes === null ? [] : [bytes.buffer as ArrayBuffer]))
}
