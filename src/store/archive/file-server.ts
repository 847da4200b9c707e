/** Answers what workers ask of the files of the archive, on the thread that owns them. */
import type { MessagePort } from 'node:worker_threads'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { FileReply, FileRequest } from './file-calls.ts'
import type { FileStore } from './file-store.ts'
import { RecordFault } from './records.ts'

/** Files that are taken over, or looked at whether they are over, before another call is answered. */
const SLICE = 32
const SWEEP_INTERVAL: Milliseconds = 100

export class FileServer {
  readonly #store: FileStore

  constructor(store: FileStore, time: Pick<TimerClock, 'every' | 'nextTurn'>) {
    this.#store = store
    const takeOver = (): void => {
      for (let i = 0; i < SLICE; i++) if (!store.step()) return
      time.nextTurn(takeOver)
    }
    takeOver()
    time.every(SWEEP_INTERVAL, () => store.sweep(SLICE))
  }

  serve(port: MessagePort): void {
    port.on('message', ({ id, call }: FileRequest) => {
      const reply = this.#answer(id, call)
      port.postMessage(reply, 'value' in reply ? buffersOf(reply.value) : [])
    })
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

/** What was read goes to the worker as it is: each of these has memory of its own. */
function buffersOf(value: unknown): ArrayBuffer[] {
  if (value instanceof Uint8Array) return [value.buffer as ArrayBuffer]
  if (typeof value !== 'object' || value === null || !('root' in value)) return []
  const { root, variant } = value as { readonly root: Uint8Array | null; readonly variant: Uint8Array | null }
  return [root, variant].flatMap((bytes) => (bytes === null ? [] : [bytes.buffer as ArrayBuffer]))
}
