/**
 * Asks control for newer keys of providers, once for all requests that wait for one set. Who asks is bounded in number
 * and in time: control may be away, and a provider slow.
 */
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import type { KeySetCheck, KeySetChecks } from '../policy/services.ts'

export interface KeySetRequestsOptions {
  readonly time: Pick<TimerClock, 'after' | 'monotonic'>
  readonly ask: (url: string) => void
}

interface Pending {
  readonly answer: Promise<KeySetCheck>
  readonly resolve: (answer: KeySetCheck) => void
  readonly cancel: () => void
  waiting: number
}

interface Known {
  readonly answer: KeySetCheck
  /** Monotonic. */
  readonly until: Milliseconds
}

/** The fetch of metadata and of keys, and one more that follows. */
const WITHIN: Milliseconds = 12_000
/** Requests that wait for one set, in one worker. */
const MAX_WAITING = 1_000
/** Sets of which something is remembered. */
const MAX_KNOWN = 4_096
/** Pause when control did not answer. */
const PAUSE: Milliseconds = 5_000

export class KeySetRequests implements KeySetChecks {
  readonly #options: KeySetRequestsOptions
  readonly #pending = new Map<string, Pending>()
  /** Sets that it makes no sense to ask for yet. */
  readonly #known = new Map<string, Known>()

  constructor(options: KeySetRequestsOptions) {
    this.#options = options
  }

  check(url: string): KeySetCheck | Promise<KeySetCheck> {
    const known = this.#known.get(url)
    if (known !== undefined) {
      if (this.#options.time.monotonic() < known.until) return known.answer
      this.#known.delete(url)
    }
    const pending = this.#pending.get(url) ?? this.#ask(url)
    if (pending.waiting >= MAX_WAITING) return 'unknown'
    pending.waiting++
    return pending.answer
  }

  /** Control has answered; the contents that it has by now came before. */
  answered(url: string, again: Milliseconds, current: boolean): void {
    this.#end(url, current ? 'current' : 'unknown', again)
  }

  #ask(url: string): Pending {
    const { promise: answer, resolve } = Promise.withResolvers<KeySetCheck>()
    const cancel = this.#options.time.after(WITHIN, () => this.#end(url, 'unknown', PAUSE))
    const pending = { answer, resolve, cancel, waiting: 0 }
    this.#pending.set(url, pending)
    this.#options.ask(url)
    return pending
  }

  #end(url: string, answer: KeySetCheck, pause: Milliseconds): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    if (pause > 0) this.#known.set(url, { answer, until: this.#options.time.monotonic() + pause })
    const pending = this.#pending.get(url)
    if (pending === undefined) return
    this.#pending.delete(url)
    pending.cancel()
    pending.resolve(answer)
  }
}
