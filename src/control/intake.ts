/**
 * Takes in what a source tells. A burst may be ten thousand objects, each to be validated, so it is taken in slices; what it asks for
 * is done when all of it is in, so that nothing is ever served that the user wrote only half of. Endpoints are no part of what a user
 * writes: they overtake the rest and act in the turn that brings them.
 */
import type { FieldProblem, Kind } from '../api/object.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { SourceEvent } from '../source/source.ts'
import { type Impact, ImpactSum } from './impact.ts'
import type { ResourceCache } from './resource-cache.ts'

/** Longest turn of the loop. */
const SLICE: Milliseconds = 4
/** Warnings of one burst that are told; `headgate validate` shows all. */
const WARNINGS = 20

export interface IntakeEvents {
  /** The endpoints of these backends may be others. @param since when the first of the changes was seen */
  endpoints(backends: readonly string[], since: Milliseconds): void
  /** Everything that was told so far is in; what it asks for together. @param since when the first of it was seen */
  taken(impact: Impact, since: Milliseconds): void
  /** Something is odd about an object without being wrong. */
  warning(kind: Kind, key: string, problem: FieldProblem): void
  now(): Milliseconds
}

export class Intake {
  readonly #cache: Pick<ResourceCache, 'accept' | 'about'>
  readonly #events: IntakeEvents
  readonly #slices = new Queue()
  readonly #others = new Queue()
  #impact = new ImpactSum()
  #warnings = 0
  #then: (() => void)[] = []
  #scheduled = false
  #stopped = false

  constructor(cache: Pick<ResourceCache, 'accept' | 'about'>, events: IntakeEvents) {
    this.#cache = cache
    this.#events = events
  }

  add(events: readonly SourceEvent[]): void {
    const now = this.#events.now()
    let urgent = false
    for (const event of events) {
      const slice = event.kind === 'EndpointSlice'
      urgent ||= slice
      if (slice) this.#slices.push(event, now)
      else this.#others.push(event, now)
    }
    if (!this.#scheduled) this.#slice()
    else if (urgent) this.#takeSlices(now + SLICE)
  }

  /** Takes nothing in but pods before this is settled, and then all that was told meanwhile. Before the first `add`. */
  hold(until: Promise<unknown>): void {
    this.#scheduled = true
    const go = (): void => this.#slice()
    until.then(go, go)
  }

  /** Whether something that was told is not in yet. */
  get busy(): boolean {
    return this.#scheduled
  }

  /** Calls back when everything told so far is in; at once when it is. */
  whenEmpty(then: () => void): void {
    if (this.#scheduled) this.#then.push(then)
    else then()
  }

  stop(): void {
    this.#stopped = true
  }

  #slice(): void {
    this.#scheduled = false
    if (this.#stopped) return
    const { now, taken } = this.#events
    const end = now() + SLICE
    if (this.#takeSlices(end)) {
      for (let event = this.#others.shift(); event !== undefined; event = this.#others.shift()) {
        this.#impact.add(this.#take(event))
        if (now() >= end) break
      }
    }
    if (this.#slices.size + this.#others.size > 0) {
      this.#scheduled = true
      setImmediate(() => this.#slice())
      return
    }
    const { value } = this.#impact
    const since = this.#others.empty()
    this.#impact = new ImpactSum()
    this.#warnings = 0
    taken.call(this.#events, value, since ?? now())
    for (const then of this.#then.splice(0)) then()
  }

  /** @returns whether all of them are in */
  #takeSlices(end: Milliseconds): boolean {
    if (this.#slices.size === 0) return true
    const impact = new ImpactSum()
    for (let event = this.#slices.shift(); event !== undefined; event = this.#slices.shift()) {
      impact.add(this.#take(event))
      if (this.#events.now() >= end) break
    }
    const { value } = impact
    const since = this.#slices.since
    if (this.#slices.size === 0) this.#slices.empty()
    if (value === 'rebuild') this.#impact.add(value)
    else if (value !== 'ignore') this.#events.endpoints(value.endpoints, since)
    return this.#slices.size === 0
  }

  #take(event: SourceEvent): Impact {
    const impact = this.#cache.accept([event])
    if (event.type === 'delete') return impact
    for (const warning of this.#cache.about(event.kind, event.key)?.warnings ?? [])
      if (++this.#warnings <= WARNINGS) this.#events.warning(event.kind, event.key, warning)
    return impact
  }
}

/** First in, first out, without moving what waits. */
class Queue {
  #events: SourceEvent[] = []
  #next = 0
  #since = Number.POSITIVE_INFINITY

  get size(): number {
    return this.#events.length - this.#next
  }

  /** When the first was seen of all that came since it was empty. */
  get since(): Milliseconds {
    return this.#since
  }

  push(event: SourceEvent, now: Milliseconds): void {
    this.#events.push(event)
    this.#since = Math.min(this.#since, event.seen ?? now)
  }

  shift(): SourceEvent | undefined {
    return this.#events[this.#next] === undefined ? undefined : this.#events[this.#next++]
  }

  /** Begins anew. @returns when the first was seen of what it held */
  empty(): Milliseconds | undefined {
    const since = this.#since
    this.#events = []
    this.#next = 0
    this.#since = Number.POSITIVE_INFINITY
    return since === Number.POSITIVE_INFINITY ? undefined : since
  }
}
