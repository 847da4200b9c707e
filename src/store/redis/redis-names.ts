/**
 * Whether the names of an address resolve. All threads of the process share the few places in which that is found out,
 * and nothing takes a question back: where no server of names answers, one question waits, however often is dialled.
 */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'

/** So long it is taken for granted. */
const KNOWN_FOR: Milliseconds = 1_000

export class RedisNames {
  readonly #time: Pick<TimerClock, 'monotonic'>
  readonly #names: readonly string[]
  #pending: Promise<void> | undefined
  #known = Number.NEGATIVE_INFINITY

  constructor(hosts: readonly string[], time: Pick<TimerClock, 'monotonic'>) {
    this.#time = time
    this.#names = [...new Set(hosts.filter((host) => isIP(host) === 0))]
  }

  /** Whether nothing is to be asked now. */
  get known(): boolean {
    return this.#names.length === 0 || this.#time.monotonic() - this.#known < KNOWN_FOR
  }

  /** Whether there are none. */
  get none(): boolean {
    return this.#names.length === 0
  }

  /** Resolves when one of them is known; rejects when none is. */
  resolve(): Promise<void> {
    this.#pending ??= Promise.any(this.#names.map((name) => lookup(name))).then(
      () => {
        this.#known = this.#time.monotonic()
        this.#pending = undefined
      },
      ({ errors }: AggregateError) => {
        this.#pending = undefined
        throw errors[0]
      },
    )
    return this.#pending
  }
}
