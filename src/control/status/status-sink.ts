/**
 * The one way of a status to everything that shows it: the admin API, the process log, the statuses in the cluster,
 * Events. Each generation's differences are computed once, in steps, and reach every subscriber in the same order;
 * nothing of a generation is shown before it is in force.
 */
import type { ObjectStatus } from '../../api/condition.ts'
import type { Handovers } from '../../compile/handover.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import type { EndpointTurn } from '../health/health.ts'
import type { Seen } from './seen-statuses.ts'
import type { StatusDocument } from './status-document.ts'
import type { StatusTarget } from './status-target.ts'

export interface StatusChange {
  readonly before: ObjectStatus | undefined
  /** Undefined when the object is gone. */
  readonly after: ObjectStatus | undefined
  /** Whether a condition or a note differs from before. */
  readonly differs: boolean
}

/** Hostnames that came to another namespace, and how many more did that are not listed. */
export type HandoverReport = ReturnType<Handovers['take']>

/** Each method is called for every subscriber that has it, in the order in which they subscribed. */
export interface StatusSubscriber {
  /** A generation is about to be prepared; what was prepared and not committed is void. */
  begin?(): void
  /** A status of the next generation. At most one call for each object. */
  prepare?(change: StatusChange): void
  /** What was prepared is in force. @param statuses all of them */
  commit?(generation: number, statuses: FrozenMap<ObjectStatus>): void
  /** Every worker serves this generation and all before it. */
  served?(generation: number): void
  /** The endpoints of a Backend changed, or which of them get requests. */
  endpointsChanged?(backend: string): void
  /** An endpoint is out, or in again. */
  endpointTurned?(backend: string, turn: EndpointTurn): void
  handedOver?(report: HandoverReport): void
  /** All statuses may have to be shown again: this replica leads now, or serves another class. */
  recheckAll?(): void
  /** The cluster stores a status. @param before what the object had until then */
  written?(target: StatusTarget, document: StatusDocument, before: Seen): void
  /** An Ingress of this installation is as compiled. The object itself has no place for its faults. */
  ingressChecked?(target: StatusTarget, status: ObjectStatus, seen: Seen): void
  /** The object does not exist any more. */
  deleted?(target: StatusTarget): void
}

/** Changes between two pauses. */
const AT_ONCE = 256

export class StatusSink {
  readonly #subscribers: StatusSubscriber[] = []
  /** Those that subscribed while a generation was being prepared. */
  readonly #late = new Set<StatusSubscriber>()
  #current = new FrozenMap<ObjectStatus>()
  #next: FrozenMap<ObjectStatus> | undefined
  #generation = 0
  #served = 0

  /** From now on; what is in force is repeated to a subscriber that comes later. */
  subscribe(subscriber: StatusSubscriber): void {
    if (this.#current.size > 0) {
      deliver(subscriber, new FrozenMap(), this.#current, this.#generation)
      subscriber.served?.(this.#served)
    }
    this.#subscribers.push(subscriber)
    if (this.#next !== undefined) this.#late.add(subscriber)
  }

  /** The statuses of the next generation. Those that did not change are the same objects. */
  *prepare(statuses: FrozenMap<ObjectStatus>): Generator<void> {
    this.#next = statuses
    this.#late.clear()
    for (const subscriber of this.#subscribers) subscriber.begin?.()
    let count = 0
    for (const change of changesOf(this.#current, statuses)) {
      for (const subscriber of this.#subscribers) if (!this.#late.has(subscriber)) subscriber.prepare?.(change)
      if (++count % AT_ONCE === 0) yield
    }
  }

  /** What was prepared is in force. @param generation of the tables that came with it */
  commit(generation: number): void {
    const before = this.#current
    this.#current = this.#next ?? before
    this.#next = undefined
    this.#generation = generation
    for (const subscriber of this.#subscribers)
      if (this.#late.has(subscriber)) deliver(subscriber, before, this.#current, generation)
      else subscriber.commit?.(generation, this.#current)
    this.#late.clear()
  }

  served(generation: number): void {
    this.#served = Math.max(this.#served, generation)
    for (const subscriber of this.#subscribers) subscriber.served?.(generation)
  }

  endpointsChanged(backend: string): void {
    for (const subscriber of this.#subscribers) subscriber.endpointsChanged?.(backend)
  }

  endpointTurned(backend: string, turn: EndpointTurn): void {
    for (const subscriber of this.#subscribers) subscriber.endpointTurned?.(backend, turn)
  }

  handedOver(report: HandoverReport): void {
    if (report.handovers.length + report.more === 0) return
    for (const subscriber of this.#subscribers) subscriber.handedOver?.(report)
  }

  recheckAll(): void {
    for (const subscriber of this.#subscribers) subscriber.recheckAll?.()
  }

  written(target: StatusTarget, document: StatusDocument, before: Seen): void {
    for (const subscriber of this.#subscribers) subscriber.written?.(target, document, before)
  }

  ingressChecked(target: StatusTarget, status: ObjectStatus, seen: Seen): void {
    for (const subscriber of this.#subscribers) subscriber.ingressChecked?.(target, status, seen)
  }

  deleted(target: StatusTarget): void {
    for (const subscriber of this.#subscribers) subscriber.deleted?.(target)
  }
}

function* changesOf(before: FrozenMap<ObjectStatus>, after: FrozenMap<ObjectStatus>): Generator<StatusChange> {
  for (const change of before.changesTo(after)) yield { ...change, differs: !isEqual(change.before, change.after) }
}

function deliver(
  subscriber: StatusSubscriber,
  before: FrozenMap<ObjectStatus>,
  after: FrozenMap<ObjectStatus>,
  generation: number,
): void {
  subscriber.begin?.()
  for (const change of changesOf(before, after)) subscriber.prepare?.(change)
  subscriber.commit?.(generation, after)
}

function isEqual(a: ObjectStatus | undefined, b: ObjectStatus | undefined): boolean {
  if (a === undefined || b === undefined || a.conditions.length !== b.conditions.length) return false
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
