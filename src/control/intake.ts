/**
 * Takes in what a source tells. A burst may be ten thousand objects, each to be validated, so it is taken in slices; what it asks for
 * is done when all of it is in, so that nothing is ever served that the user wrote only half of.
 */
import type { FieldProblem, Kind } from '../api/object.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { SourceEvent } from '../source/source.ts'
import type { Impact, ResourceCache } from './resource-cache.ts'

/** Longest turn of the loop. */
const SLICE: Milliseconds = 4
/** Warnings of one burst that are told; `headgate validate` shows all. */
const WARNINGS = 20

export interface IntakeEvents {
  /** Everything that was told so far is in; what it asks for together. */
  taken(impact: Impact): void
  /** Something is odd about an object without being wrong. */
  warning(kind: Kind, key: string, problem: FieldProblem): void
  now(): Milliseconds
}

export class Intake {
  readonly #cache: Pick<ResourceCache, 'accept' | 'about'>
  readonly #events: IntakeEvents
  #queue: SourceEvent[] = []
  #next = 0
  #rebuild = false
  #endpoints = new Set<string>()
  #warnings = 0
  #then: (() => void)[] = []
  #scheduled = false
  #stopped = false

  constructor(cache: Pick<ResourceCache, 'accept' | 'about'>, events: IntakeEvents) {
    this.#cache = cache
    this.#events = events
  }

  add(events: readonly SourceEvent[]): void {
    // Not push(...events): so many arguments do not fit on the stack.
    for (const event of events) this.#queue.push(event)
    if (!this.#scheduled) this.#slice()
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
    const end = this.#events.now() + SLICE
    while (this.#next < this.#queue.length) {
      this.#take(this.#queue[this.#next++]!)
      if (this.#events.now() < end) continue
      this.#scheduled = true
      setImmediate(() => this.#slice())
      return
    }
    this.#finish()
  }

  #take(event: SourceEvent): void {
    const impact = this.#cache.accept([event])
    if (impact === 'rebuild') this.#rebuild = true
    else if (impact !== 'ignore') for (const id of impact.endpoints) this.#endpoints.add(id)
    if (event.type === 'delete') return
    for (const warning of this.#cache.about(event.kind, event.key)?.warnings ?? [])
      if (++this.#warnings <= WARNINGS) this.#events.warning(event.kind, event.key, warning)
  }

  #finish(): void {
    const endpoints = [...this.#endpoints]
    const impact: Impact = this.#rebuild ? 'rebuild' : endpoints.length > 0 ? { endpoints } : 'ignore'
    this.#queue = []
    this.#next = 0
    this.#rebuild = false
    this.#endpoints = new Set()
    this.#warnings = 0
    this.#events.taken(impact)
    for (const then of this.#then.splice(0)) then()
  }
}
