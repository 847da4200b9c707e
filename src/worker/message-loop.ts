/**
 * Takes the messages of control, in order: linking is done in slices, so that requests wait for no more than one of
 * them. A generation that cannot be linked is refused whole, and the one before it serves on.
 */
import { type SliceClock, SlicedWork, type TimeSlice } from '../lib/time-slice.ts'
import type { Linker } from '../link/linker.ts'
import type { ContentStore } from '../policy/contents.ts'
import type { EndpointRow, FromWorker, ToWorker, WorkerSettings } from '../thread/messages.ts'

export interface MessageLoopHost {
  readonly clock: SliceClock
  readonly linker: Linker
  readonly endpoints: {
    /** The complete set of one Backend; without a connection key, it is withdrawn. */
    endpoints(id: string, rows: readonly EndpointRow[], connects: string | null): void
    /** Withdraws every endpoint set but these. */
    retain(ids: readonly string[]): void
  }
  readonly contents: ContentStore
  settings(settings: WorkerSettings): void
  epoch(epoch: number): void
  send(message: FromWorker): void
}

export class MessageLoop {
  readonly #host: MessageLoopHost
  readonly #queue: ToWorker[] = []
  #linking: Generator<void, void> | null = null
  readonly #work: SlicedWork

  constructor(host: MessageLoopHost) {
    this.#host = host
    this.#work = new SlicedWork(host.clock, (slice) => this.#run(slice))
  }

  accept(message: ToWorker): void {
    // Endpoints, contents and settings act at once; only what must come after tables waits for them.
    if (message.type === 'endpoints')
      this.#host.endpoints.endpoints(message.backend, message.endpoints, message.connects)
    else if (message.type === 'backends') this.#host.endpoints.retain(message.ids)
    else if (message.type === 'contents') this.#host.contents.apply(message.contents)
    else if (message.type === 'content-ids') this.#host.contents.retain(message.ids)
    else if (message.type === 'settings') this.#host.settings(message.settings)
    else if (message.type === 'latency-probe') this.#host.send(message)
    else {
      this.#queue.push(message)
      this.#work.run()
    }
  }

  /** A new control thread: what the old one had begun to send will not be completed. */
  forgetQueue(): void {
    this.#queue.length = 0
  }

  /** @returns whether another slice is needed */
  #run(slice: TimeSlice): boolean {
    const { linker } = this.#host
    for (;;) {
      if (this.#linking === null) {
        const message = this.#queue.shift()
        if (message === undefined) return false
        if (message.type === 'epoch') this.#host.epoch(message.epoch)
        else if (message.type === 'tables') this.#linking = linker.link(message)
        continue
      }
      this.#step(this.#linking)
      if (this.#linking !== null && slice.over) return true
    }
  }

  #step(steps: Generator<void, void>): void {
    try {
      if (steps.next().done !== true) return
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#host.send({ type: 'problem', message: `a generation of tables cannot be used: ${text}` })
    }
    this.#linking = null
  }
}
