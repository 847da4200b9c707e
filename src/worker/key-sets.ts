/**
 * Asks control for newer keys of providers, once for all requests that wait for one set. Who asks is bounded in number
 * and in time: control may be away, and a provider slow.
 */
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { keySetDigest } from '../policy/auth/key-set.ts'
import type { KeySetCheck, KeySetChecks } from '../policy/services.ts'

export interface KeySetRequestsOptions {
  readonly time: Pick<TimerClock, 'after' | 'monotonic'>
  readonly ask: (url: string, known: string) => void
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

  check(url: string, keys: Uint8Array | undefined): KeySetCheck | Promise<KeySetCheck> {
    const digest = keySetDigest(keys)
    const id = idOf(url, digest)
    const known = this.#known.get(id)
    if (known !== undefined) {
      if (this.#options.time.monotonic() < known.until) return known.answer
      this.#known.delete(id)
    }
    const pending = this.#pending.get(id) ?? this.#ask(id, url, digest)
    if (pending.waiting >= MAX_WAITING) return 'unknown'
    pending.waiting++
    return pending.answer
  }

  /** Control has answered; the contents that it has by now came before. */
  answered(url: string, known: string, again: Milliseconds, current: boolean): void {
    this.#end(idOf(url, known), current ? 'current' : 'unknown', again)
  }

  #ask(id: string, url: string, digest: string): Pending {
    const { promise: answer, resolve } = Promise.withResolvers<KeySetCheck>()
    const cancel = this.#options.time.after(WITHIN, () => this.#end(id, 'unknown', PAUSE))
    const pending = { answer, resolve, cancel, waiting: 0 }
    this.#pending.set(id, pending)
    this.#options.ask(url, digest)
    return pending
  }

  #end(id: string, answer: KeySetCheck, pause: Milliseconds): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    if (pause > 0) this.#known.set(id, { answer, until: this.#options.time.monotonic() + pause })
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    pending.cancel()
    pending.resolve(answer)
  }
}

/** Who lacks a key in one set learns nothing from an answer about another. */
function idOf(url: string, digest: string): string {
  return `${url} ${digest}`
}
