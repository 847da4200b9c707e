/**
 * Requests that wait and have no Backend yet: for the decision of a filter, for policies to be warm, for their turn.
 * Tables may be replaced meanwhile, and each goes on with the rule by which it was matched, so the Backends of its
 * generation stay, also removed ones. Control keeps their endpoints for as long as it reads here that somebody waits,
 * and not beyond {@link LEAVING_TIME}.
 */
import type { MatchedTables } from '../link/linked-tables.ts'
import { LEAVING_TIME } from '../shared-memory/process-block.ts'
import type { RuleView } from '../snapshot/route-tables.ts'

/** An exchange, as far as it matters here. */
export interface WaitingRequest {
  /** Written here alone. */
  waits: boolean
  tables: MatchedTables | null
  readonly ruleView: Pick<RuleView, 'backends'> | null
  readonly context: { readonly timers: { readonly now: number } }
}

interface Generation {
  readonly number: number
  readonly waiting: Set<WaitingRequest>
  /** Monotonic milliseconds; endless while its tables are in force. */
  until: number
}

/** For a request of which it is not known by which tables it was matched: before all others. */
const OLDEST = 1
/** Requests of which the Backends are picked in one call of {@link WaitingRequests.sweep}. */
const AT_ONCE = 1_024

export class WaitingRequests {
  readonly #publish: (generation: number) => void
  /** The oldest first. */
  readonly #generations: Generation[] = []
  #published = 0
  /** In force. */
  #current = 0

  /** @param publish told the oldest generation of requests that wait whenever that changes; 0 = none waits */
  constructor(publish: (generation: number) => void) {
    this.#publish = publish
  }

  get size(): number {
    return this.#generations.reduce((size, { waiting }) => size + waiting.size, 0)
  }

  /** In the turn in which the request was matched, or while one waits by whose tables it goes. */
  add(x: WaitingRequest): void {
    if (x.waits) return
    x.waits = true
    this.#of(x.tables?.generation ?? OLDEST, x.context.timers.now).waiting.add(x)
    this.#tell()
  }

  /** Behind whatever counts it at its Backend. */
  remove(x: WaitingRequest): void {
    if (!x.waits) return
    x.waits = false
    const at = this.#generations.findIndex(({ waiting }) => waiting.delete(x))
    if (at < 0 || this.#generations[at]!.waiting.size > 0) return
    this.#generations.splice(at, 1)
    this.#tell()
  }

  /** Other tables are about to be in force. @param now monotonic milliseconds */
  replaced(generation: number, now: number): void {
    this.#current = generation
    const last = this.#generations.at(-1)
    if (last !== undefined && last.number < generation) last.until = Math.min(last.until, now + LEAVING_TIME)
  }

  /**
   * To be called about once a second: nothing is kept any longer for requests of old tables than {@link LEAVING_TIME}.
   * They go on all the same where their Backends are there by then.
   */
  sweep(now: number): void {
    let left = AT_ONCE
    for (;;) {
      const first = this.#generations[0]
      if (first === undefined || first.until > now || left === 0) break
      for (const x of first.waiting) {
        if (left === 0) break
        left--
        first.waiting.delete(x)
        keepOwn(x)
      }
      if (first.waiting.size === 0) this.#generations.shift()
    }
    this.#tell()
  }

  #of(number: number, now: number): Generation {
    let at = this.#generations.length
    while (at > 0 && this.#generations[at - 1]!.number > number) at--
    const known = this.#generations[at - 1]
    if (known?.number === number) return known
    const until = number < this.#current ? now + LEAVING_TIME : Number.POSITIVE_INFINITY
    const made: Generation = { number, waiting: new Set(), until }
    this.#generations.splice(at, 0, made)
    return made
  }

  #tell(): void {
    const oldest = this.#generations[0]?.number ?? 0
    if (oldest === this.#published) return
    this.#published = oldest
    this.#publish(oldest)
  }
}

/** Of all Backends of its generation, those of its rule. */
function keepOwn(x: WaitingRequest): void {
  const { tables, ruleView } = x
  if (tables === null || ruleView === null) return
  const backends: (typeof tables.backends)[number][] = []
  for (const { backendIndex } of ruleView.backends)
    if (backendIndex >= 0) backends[backendIndex] = tables.backends[backendIndex] ?? null
  x.tables = { ...tables, backends }
}
