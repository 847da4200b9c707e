/**
 * What is known of every Route, Backend and Ingress: the conditions of the last compile, and whether the workers serve
 * it. For the admin API and the log.
 */
import type { Condition, Note, ObjectStatus } from '../../api/condition.ts'
import { type EndpointHealth, healthyCondition, programmed } from '../../compile/conditions.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'

export interface StatusEvents {
  /** An object came, went, or stands differently than before, by a condition that a person should know of. */
  changed(status: ObjectStatus, before: ObjectStatus | undefined): void
  /** How many endpoints a Backend has, and how many of them take traffic. */
  endpoints(backend: string): EndpointHealth
}

/** Conditions that are well when they are False. */
const NEGATIVE = new Set(['PartiallyInvalid', 'Stale'])

/** Statuses taken in between two pauses. */
const AT_ONCE = 256

export class StatusCache {
  readonly #events: StatusEvents
  #current = new FrozenMap<ObjectStatus>()
  #next = this.#current
  #changes: { readonly status: ObjectStatus; readonly before: ObjectStatus | undefined }[] = []
  #sizes = { routes: 0, rules: 0 }
  #nextSizes = this.#sizes
  #generation = 0
  #served = 0

  constructor(events: StatusEvents) {
    this.#events = events
  }

  get size(): number {
    return this.#current.size
  }

  /** As compiled, with `Programmed`, `Ready` and `Healthy` as they are now. */
  list(): ObjectStatus[] {
    return [...this.#current.values()].map((status) => this.#now(status))
  }

  /** The statuses of the next generation, taken in by steps; those that did not change should be the same objects. */
  *prepare(statuses: FrozenMap<ObjectStatus>): Generator<void> {
    this.#changes = []
    this.#next = statuses
    this.#nextSizes = { ...this.#sizes }
    let count = 0
    for (const { before, after } of this.#current.changesTo(statuses)) {
      addSize(this.#nextSizes, before, -1)
      addSize(this.#nextSizes, after, 1)
      if (after !== undefined && !saysTheSame(before, after)) this.#changes.push({ status: after, before })
      if (++count % AT_ONCE === 0) yield
    }
  }

  /** What was prepared is in force. */
  commit(generation: number): void {
    this.#current = this.#next
    this.#sizes = this.#nextSizes
    this.#generation = generation
    for (const { status, before } of this.#changes.splice(0)) this.#events.changed(status, before)
  }

  /** Routes of which at least a part is served, and their rules. */
  sizes(): { routes: number; rules: number } {
    return { ...this.#sizes }
  }

  /** This generation serves in every worker. */
  served(generation: number): void {
    this.#served = Math.max(this.#served, generation)
  }

  #now(status: ObjectStatus): ObjectStatus {
    if (status.kind === 'Backend') {
      const healthy = healthyCondition(this.#events.endpoints(status.key), status.conditions[0]?.observedGeneration)
      return { ...status, conditions: [...status.conditions, healthy] }
    }
    return this.#served >= this.#generation ? programmed(status) : status
  }
}

function addSize(sizes: { routes: number; rules: number }, status: ObjectStatus | undefined, sign: 1 | -1): void {
  if (status === undefined || (status.rules ?? 0) === 0) return
  sizes.routes += sign
  sizes.rules += sign * (status.rules ?? 0)
}

function saysTheSame(a: ObjectStatus | undefined, b: ObjectStatus): boolean {
  if (a === undefined || a.conditions.length !== b.conditions.length) return false
  if (JSON.stringify(a.notes) !== JSON.stringify(b.notes)) return false
  return a.conditions.every((one, i) => {
    const other = b.conditions[i]!
    return (
      one.type === other.type &&
      one.status === other.status &&
      one.reason === other.reason &&
      one.message === other.message
    )
  })
}

/**
 * Whether a condition says that something is wrong. `Ready` only repeats the others, `Programmed` is a matter of time.
 */
export function unwell({ type, status }: Condition): boolean {
  if (type === 'Ready' || type === 'Programmed') return false
  return NEGATIVE.has(type) ? status === 'True' : status === 'False'
}

/** The list of problems tells these already, with field, file and line. */
const LISTED: ReadonlySet<Condition['reason']> = new Set([
  'Invalid',
  'NotImplemented',
  'TooCostly',
  'Quarantined',
  'MemoryBudget',
  'LastGoodServed',
])

/** Whether a condition says more than what the list of problems says of a refused version. */
export function isUnlisted({ reason }: Condition): boolean {
  return !LISTED.has(reason)
}

export interface Finding {
  /** Of the condition that says it; none for a note. */
  readonly type?: Condition['type']
  readonly reason: Condition['reason'] | Note['reason']
  readonly message: string
  /** Of a note only: a condition names the place in its message. */
  readonly path?: Note['path']
}

/**
 * What is wrong with an object, by its conditions and notes. One fault is often two conditions: each message once.
 *
 * @param matters which of the conditions are asked for
 */
export function* findingsOf(
  { conditions, notes = [] }: ObjectStatus,
  matters: (one: Condition) => boolean = () => true,
): Generator<Finding, void> {
  const told = new Set<string>()
  for (const one of conditions) {
    if (!unwell(one) || !matters(one) || told.has(one.message)) continue
    told.add(one.message)
    yield one
  }
  yield* notes
}
