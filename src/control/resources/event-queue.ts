/**
 * Takes in what a source tells. A burst may be ten thousand objects, each to be validated, so it is taken in slices;
 * what it asks for is done when all of it is in, so that nothing is ever served that the user wrote only half of.
 * Endpoints and contents (of ConfigMaps and Secrets) overtake the rest and act in the turn that brings them. Namespaces
 * take turns of equal time; where one of them keeps sending more than can be taken in, the others do not wait for it
 * longer than `patience`.
 */
import { actsAtOnce, type Kind } from '../../api/kinds.ts'
import type { FieldProblem } from '../../api/object.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { runSteps } from '../../lib/steps.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { SourceEvent } from '../../source/source.ts'
import { type Impact, ImpactSum } from './impact.ts'
import type { ResourceCache } from './resource-cache.ts'

/** Longest turn of the loop. */
const SLICE: Milliseconds = 4
/** Of it, what endpoints may take while something else waits. */
const ENDPOINTS: Milliseconds = 3
/** Of one namespace, before the next one has its turn. */
const TURN: Milliseconds = 1
/** Warnings of one burst and namespace that are told; `headgate validate` shows all. */
const WARNINGS = 20

export interface EventQueueEvents {
  /** The endpoints of these backends may be others. @param since when the first of the changes was seen */
  endpoints(backends: readonly string[], since: Milliseconds): void
  /** Everything that was told so far is in; what it asks for together. @param since when the first of it was seen */
  taken(impact: Impact, since: Milliseconds): void
  /** Something is odd about an object without being wrong. */
  warning(kind: Kind, key: string, problem: FieldProblem): void
  now(): Milliseconds
}

export class EventQueue {
  readonly #cache: Pick<ResourceCache, 'steps' | 'about'>
  readonly #events: EventQueueEvents
  readonly #patience: Milliseconds
  readonly #slices = new CoalescingQueue()
  readonly #others = new CoalescingQueue()
  /** What is being taken in of the others: an object may need many slices. */
  #open: { readonly namespace: string; readonly steps: Generator<void, void> } | undefined
  #impact = new ImpactSum()
  readonly #warnings = new Map<string, number>()
  #then: (() => void)[] = []
  #scheduled = false
  /** When what was last told was whole, or told as it was; undefined before it has been whole once. */
  #told: Milliseconds | undefined
  /** More comes in than can be taken in: what waits is not waited for. */
  #overdue = false
  #stopped = false

  /** @param patience how long what is in waits for what is not; without it, as long as that takes */
  constructor(
    cache: Pick<ResourceCache, 'steps' | 'about'>,
    events: EventQueueEvents,
    patience: Milliseconds = Number.POSITIVE_INFINITY,
  ) {
    this.#cache = cache
    this.#events = events
    this.#patience = patience
  }

  add(events: readonly SourceEvent[]): void {
    const now = this.#events.now()
    let urgent = false
    for (const event of events) {
      const atOnce = actsAtOnce(event.kind)
      urgent ||= atOnce
      if (atOnce) this.#slices.push(event, now)
      else this.#others.push(event, now)
    }
    if (!this.#scheduled) {
      if (this.#told !== undefined) this.#told = now
      this.#slice()
    } else if (urgent) this.#takeSlices(now + SLICE)
  }

  /** Takes nothing in but pods before this is settled, and then all that was told meanwhile. Before the first `add`. */
  hold(until: Promise<unknown>): void {
    this.#scheduled = true
    const go = (): void => this.#slice()
    until.then(go, go)
  }

  /** Whether something that was told is not in yet and is waited for. */
  get busy(): boolean {
    return this.#scheduled && !this.#overdue
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
    const { now } = this.#events
    const start = now()
    this.#takeSlices(start + (this.#others.size > 0 || this.#open !== undefined ? ENDPOINTS : SLICE))
    this.#takeOthers(start + SLICE)
    if (this.#slices.size + this.#others.size > 0 || this.#open !== undefined) {
      if (this.#told !== undefined && now() - this.#told >= this.#patience) this.#tell(true)
      this.#scheduled = true
      setImmediate(() => this.#slice())
      return
    }
    this.#tell(false)
    for (const then of this.#then.splice(0)) then()
  }

  #tell(overdue: boolean): void {
    const { value } = this.#impact
    const now = this.#events.now()
    const since = this.#others.told()
    this.#told = now
    this.#overdue = overdue
    this.#impact = new ImpactSum()
    this.#warnings.clear()
    this.#events.taken(value, since ?? now)
  }

  #takeSlices(end: Milliseconds): void {
    if (this.#slices.size === 0) return
    const impact = new ImpactSum()
    this.#takeSome(this.#slices, impact, end)
    const { value } = impact
    const since = this.#slices.told()
    if (value === 'rebuild') this.#impact.add(value)
    else if (value !== 'ignore') this.#events.endpoints(value.endpoints, since ?? end)
  }

  /** One at least, whole: endpoints act in the turn that brings them. */
  #takeSome(queue: CoalescingQueue, impact: ImpactSum, end: Milliseconds): void {
    let before = this.#events.now()
    for (let next = queue.take(); next !== undefined; next = queue.take()) {
      for (const event of next.events) impact.add(this.#take(event))
      const now = this.#events.now()
      queue.charge(next.namespace, now - before)
      before = now
      if (now >= end) return
    }
  }

  /** A part of one at least. */
  #takeOthers(end: Milliseconds): void {
    let before = this.#events.now()
    for (;;) {
      if (this.#open === undefined) {
        const next = this.#others.take()
        if (next === undefined) return
        this.#open = { namespace: next.namespace, steps: this.#stepsOf(next.events) }
      }
      const { namespace, steps } = this.#open
      if (steps.next().done === true) this.#open = undefined
      const now = this.#events.now()
      this.#others.charge(namespace, now - before)
      before = now
      if (now >= end) return
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
      if (count <= WARNINGS) this.#events.warning(event.kind, event.key, warning)
    }
    return impact
  }
}

/** What is still to be taken in about an object. */
interface Pending {
  /** The object that was there before is gone. */
  deleted: SourceEvent | undefined
  upsert: SourceEvent | undefined
  readonly seen: Milliseconds
}

/** At most one version of an object waits, the newest; those that waited longest first, namespaces in turns. */
class CoalescingQueue {
  readonly #turns = new FairQueue({ quantum: TURN })
  /** In the order in which they began to wait. */
  readonly #pending = new Map<string, Pending>()
  #since = Number.POSITIVE_INFINITY

  get size(): number {
    return this.#pending.size
  }

  push(event: SourceEvent, now: Milliseconds): void {
    const id = `${event.kind} ${event.key}`
    const seen = event.seen ?? now
    this.#since = Math.min(this.#since, seen)
    let pending = this.#pending.get(id)
    if (pending === undefined) this.#pending.set(id, (pending = { deleted: undefined, upsert: undefined, seen }))
    if (event.type === 'delete') pending.deleted = event
    pending.upsert = event.type === 'delete' ? undefined : event
    this.#turns.add(namespaceOf(event.key), id)
  }

  /** @returns the newest of an object, after the end of another one of its name */
  take(): { readonly namespace: string; readonly events: readonly SourceEvent[] } | undefined {
    const next = this.#turns.take(0)
    if (next === undefined) return undefined
    const { deleted, upsert } = this.#pending.get(next.key)!
    this.#pending.delete(next.key)
    return { namespace: next.group, events: [deleted, upsert].filter((event) => event !== undefined) }
  }

  charge(namespace: string, time: Milliseconds): void {
    this.#turns.charge(namespace, time)
  }

  /** What was taken is told. @returns when the first was seen of what came since the last time */
  told(): Milliseconds | undefined {
    const since = this.#since
    const oldest = this.#pending.values().next().value
    this.#since = oldest?.seen ?? Number.POSITIVE_INFINITY
    return since === Number.POSITIVE_INFINITY ? undefined : since
  }
}
