/**
 * Takes the messages of control, in order: linking is done in slices, so that requests wait for no more than one of
 * them. A generation that cannot be linked is refused whole, and the one before it serves on.
 */
import type { Clock } from '../lib/clock.ts'
import type { Linker, LinkStep } from '../link/linker.ts'
import type { ContentStore } from '../policy/contents.ts'
import type { EndpointRow, FromWorker, ToWorker, WorkerSettings } from '../thread/messages.ts'

/** Milliseconds of linking in one turn of the loop (house rule 6). */
const SLICE = 2

export interface MessageLoopHost {
  readonly clock: Clock
  readonly linker: Linker
  readonly endpoints: {
    /** The complete set of one Backend. */
    endpoints(id: string, rows: readonly EndpointRow[]): void
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
  #linking: Generator<LinkStep, void> | null = null
  /** A slice is due, or a filter that warms up is waited for. */
  #waiting = false

  constructor(host: MessageLoopHost) {
    this.#host = host
  }

  accept(message: ToWorker): void {
    // Endpoints, contents and settings act at once; only what must come after tables waits for them.
    if (message.type === 'endpoints') this.#host.endpoints.endpoints(message.backend, message.endpoints)
    else if (message.type === 'backends') this.#host.endpoints.retain(message.ids)
    else if (message.type === 'contents') this.#host.contents.apply(message.contents)
    else if (message.type === 'content-ids') this.#host.contents.retain(message.ids)
    else if (message.type === 'settings') this.#host.settings(message.settings)
    else if (message.type === 'latency-probe') this.#host.send(message)
    else {
      this.#queue.push(message)
      if (!this.#waiting) this.#work()
    }
  }

  /** A new control thread: what the old one had begun to send will not be completed. */
  forgetQueue(): void {
    this.#queue.length = 0
  }

  #work(): void {
    const { clock, linker } = this.#host
    const until = clock.monotonic() + SLICE
    this.#waiting = false
    for (;;) {
      if (this.#linking === null) {
        const message = this.#queue.shift()
        if (message === undefined) return
        if (message.type === 'epoch') this.#host.epoch(message.epoch)
        else if (message.type === 'tables') this.#linking = linker.link(message)
        continue
      }
      const step = this.#step(this.#linking)
      if (step !== undefined) {
        this.#waiting = true
        void step.then(() => this.#work())
        return
      }
      if (this.#linking !== null && clock.monotonic() >= until) {
        this.#waiting = true
        setImmediate(() => this.#work())
        return
      }
    }
  }

  #step(steps: Generator<LinkStep, void>): LinkStep {
    try {
      const { done, value } = steps.next()
      if (done !== true) return value
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#host.send({ type: 'problem', message: `a generation of tables cannot be used: ${text}` })
    }
    this.#linking = null
    return undefined
  }
}
