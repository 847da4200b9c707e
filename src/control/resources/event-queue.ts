/**
 * Events of a source on their way to the cache. A burst may be ten thousand objects, each to be validated, so it is
 * applied in slices; what it asks for is done when all of it is applied, so that nothing is ever served that the user
 * wrote only half of. Endpoints and contents (of ConfigMaps and Secrets) overtake the rest and act in the turn that
 * brings them. Namespaces take turns of equal time; where one of them keeps sending more than can be applied, the
 * others do not wait for it longer than `patience`.
 */
import { actsAtOnce, type Kind } from '../../api/kinds.ts'
import type { FieldProblem } from '../../api/object.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { runSteps } from '../../lib/steps.ts'
import { type SliceClock, SlicedWork, TimeSlice } from '../../lib/time-slice.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { SourceEvent } from '../../source/source.ts'
import { type Impact, ImpactSum } from './impact.ts'
import type { ResourceCache } from './resource-cache.ts'

/** Of a slice: what endpoints may take while something else waits. */
const ENDPOINTS_SHARE = 0.75
/** Time per namespace before the next one has its turn. */
const NAMESPACE_QUANTUM: Milliseconds = 0.5
/** Warnings of one burst and namespace that are reported; `headgate validate` shows all. */
const MAX_WARNINGS = 20

export interface EventQueueEvents {
  /** The endpoints of these backends may be others. @param since when the first of the changes was seen */
  endpoints(backends: readonly string[], since: Milliseconds): void
  /** All events so far are applied; what they ask for together. @param since when the first of them was seen */
  applied(impact: Impact, since: Milliseconds): void
  /** A warning about a valid object. */
  warning(kind: Kind, key: string, problem: FieldProblem): void
}

export class EventQueue {
  readonly #cache: Pick<ResourceCache, 'steps' | 'about'>
  readonly #events: EventQueueEvents
  readonly #time: SliceClock
  readonly #patience: Milliseconds
  readonly #work: SlicedWork
  readonly #slices = new CoalescingQueue()
  readonly #others = new CoalescingQueue()
  /** What is being applied of the others: an object may need many slices. */
  #open: OpenEvents | undefined
  #impact = new ImpactSum()
  readonly #warnings = new Map<string, number>()
  #then: (() => void)[] = []
  /** Only endpoints are applied. */
  #held = false
  /** When all events were applied last, or reported as they were; undefined before they were all applied once. */
  #reported: Milliseconds | undefined
  /** More comes in than can be applied: what waits is not waited for. */
  #overdue = false

  /** @param patience how long what is applied waits for what is not; without it, as long as that takes */
  constructor(
    cache: Pick<ResourceCache, 'steps' | 'about'>,
    events: EventQueueEvents,
    time: SliceClock,
    patience: Milliseconds = Number.POSITIVE_INFINITY,
  ) {
    this.#cache = cache
    this.#events = events
    this.#time = time
    this.#patience = patience
    this.#work = new SlicedWork(time, (slice) => this.#apply(slice))
  }

  add(events: readonly SourceEvent[]): void {
    const now = this.#time.monotonic()
    let urgent = false
    for (const event of events) {
      const atOnce = actsAtOnce(event.kind)
      urgent ||= atOnce
      if (atOnce) this.#slices.push(event, now)
      else this.#others.push(event, now)
    }
    if (!this.#waiting) {
      if (this.#reported !== undefined) this.#reported = now
      this.#work.run()
    } else if (urgent) this.#takeSlices(new TimeSlice(this.#time))
  }

  /** Applies nothing but endpoints until this is settled, and then all that came meanwhile. Before the first `add`. */
  holdUntil(until: Promise<unknown>): void {
    this.#held = true
    const release = (): void => {
      this.#held = false
      this.#work.run()
    }
    until.then(release, release)
  }

  /** Whether pending events are waited for. */
  get busy(): boolean {
    return this.#waiting && !this.#overdue
  }

  get #waiting(): boolean {
    return this.#held || this.#work.scheduled
  }

  /** Whether an event about the object waits to be applied, or is being applied. */
  holds(kind: Kind, key: string): boolean {
    const id = idOf(kind, key)
    return this.#others.has(id) || this.#slices.has(id) || this.#open?.id === id
  }

  /** Calls back once all events so far are applied. */
  whenDrained(then: () => void): void {
    if (this.#waiting) this.#then.push(then)
    else then()
  }

  stop(): void {
    this.#work.stop()
  }

  /** @returns whether events are left */
  #apply(slice: TimeSlice): boolean {
    this.#takeSlices(this.#others.size > 0 || this.#open !== undefined ? slice.part(ENDPOINTS_SHARE) : slice)
    this.#applyOthers(slice)
    if (this.#slices.size + this.#others.size > 0 || this.#open !== undefined) {
      if (this.#reported !== undefined && this.#time.monotonic() - this.#reported >= this.#patience) this.#report(true)
      return true
    }
    this.#report(false)
    for (const then of this.#then.splice(0)) then()
    return false
  }

  #report(overdue: boolean): void {
    const { value } = this.#impact
    const now = this.#time.monotonic()
    const since = this.#others.reported()
    this.#reported = now
    this.#overdue = overdue
    this.#impact = new ImpactSum()
    this.#warnings.clear()
    this.#events.applied(value, since ?? now)
  }

  #takeSlices(slice: TimeSlice): void {
    if (this.#slices.size === 0) return
    const impact = new ImpactSum()
    this.#applyUrgent(this.#slices, impact, slice)
    const { value } = impact
    const since = this.#slices.reported()
    if (value === 'rebuild') this.#impact.add(value)
    else if (value !== 'ignore') this.#events.endpoints(value.endpoints, since ?? this.#time.monotonic())
  }

  /** One at least, whole: endpoints act in the turn that brings them. */
  #applyUrgent(queue: CoalescingQueue, impact: ImpactSum, slice: TimeSlice): void {
    let before = this.#time.monotonic()
    for (let next = queue.take(); next !== undefined; next = queue.take()) {
      for (const event of next.events) impact.add(this.#take(event))
      const now = this.#time.monotonic()
      queue.charge(next.namespace, now - before)
      before = now
      if (slice.over) return
    }
  }

  /** A part of one at least. */
  #applyOthers(slice: TimeSlice): void {
    let before = this.#time.monotonic()
    for (;;) {
      if (this.#open === undefined) {
        const next = this.#others.take()
        if (next === undefined) return
        this.#open = { id: next.id, namespace: next.namespace, steps: this.#stepsOf(next.events) }
      }
      const { namespace, steps } = this.#open
      if (steps.next().done === true) this.#open = undefined
      const now = this.#time.monotonic()
      this.#others.charge(namespace, now - before)
      before = now
      if (slice.over) return
    }
  }

  *#stepsOf(events: readonly SourceEvent[]): Generator<void, void> {
    for (const event of events) this.#impact.add(this.#taken(event, yield* this.#cache.steps(event)))
  }

  #take(event: SourceEvent): Impact {
    return this.#taken(event, runSteps(this.#cache.steps(event)))
  }

  #taken(event: SourceEvent, impact: Impact): Impact {
    if (event.type === 'delete') return impact
    const namespace = namespaceOf(event.key)
    for (const warning of this.#cache.about(event.kind, event.key)?.warnings ?? []) {
      const count = (this.#warnings.get(namespace) ?? 0) + 1
      this.#warnings.set(namespace, count)
      if (count <= MAX_WARNINGS) this.#events.warning(event.kind, event.key, warning)
    }
    return impact
  }
}

/** Events of one object that are being applied. */
interface OpenEvents {
  readonly id: string
  readonly namespace: string
  readonly steps: Generator<void, void>
}

function idOf(kind: Kind, key: string): string {
  return `${kind} ${key}`
}

/** Pending events of one object. */
interface Pending {
  /** The object that was there before is gone. */
  deleted: SourceEvent | undefined
  upsert: SourceEvent | undefined
  readonly seen: Milliseconds
}

/** Holds the newest version of each object; longest waiting first, round-robin over namespaces. */
class CoalescingQueue {
  readonly #turns = new FairQueue({ quantum: NAMESPACE_QUANTUM })
  /** In order of arrival. */
  readonly #pending = new Map<string, Pending>()
  #since = Number.POSITIVE_INFINITY

  get size(): number {
    return this.#pending.size
  }

  has(id: string): boolean {
    return this.#pending.has(id)
  }

  push(event: SourceEvent, now: Milliseconds): void {
    const id = idOf(event.kind, event.key)
    const seen = event.seen ?? now
    this.#since = Math.min(this.#since, seen)
    let pending = this.#pending.get(id)
    if (pending === undefined) this.#pending.set(id, (pending = { deleted: undefined, upsert: undefined, seen }))
    if (event.type === 'delete') pending.deleted = event
    pending.upsert = event.type === 'delete' ? undefined : event
    this.#turns.add(namespaceOf(event.key), id)
  }

  /** @returns the newest event of an object, after the deletion of a replaced one */
  take(): { readonly id: string; readonly namespace: string; readonly events: readonly SourceEvent[] } | undefined {
    const next = this.#turns.take(0)
    if (next === undefined) return undefined
    const { deleted, upsert } = this.#pending.get(next.key)!
    this.#pending.delete(next.key)
    const events = [deleted, upsert].filter((event) => event !== undefined)
    return { id: next.key, namespace: next.group, events }
  }

  charge(namespace: string, time: Milliseconds): void {
    this.#turns.charge(namespace, time)
  }

  /** What was taken is reported. @returns when the first was seen of what came since the last time */
  reported(): Milliseconds | undefined {
    const since = this.#since
    const oldest = this.#pending.values().next().value
    this.#since = oldest?.seen ?? Number.POSITIVE_INFINITY
    return since === Number.POSITIVE_INFINITY ? undefined : since
  }
}
