/**
 * Writes the status of every object by server-side apply. The leader alone; only a status that differs from what the
 * object has now, so that a restart with thousands of Routes writes nothing; each object by itself and as it is when
 * its turn comes. Namespaces take turns, so that thousands of objects of one delay the status of another by one write.
 */

import type { Condition, ObjectStatus } from '../../api/condition.ts'
import { apiVersionOf, KINDS } from '../../api/kinds.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import { timestamp } from '../../lib/timestamp.ts'
import type { Rate } from '../../lib/token-bucket.ts'
import { ApiError } from '../../source/kubernetes/api-error.ts'
import type { ApplyOptions } from '../../source/kubernetes/client.ts'
import type { SourceEvent } from '../../source/source.ts'
import type { Address } from '../leader/leader.ts'
import { type Desired, DesiredStatuses } from './desired-statuses.ts'
import { type Seen, SeenStatuses } from './seen-statuses.ts'
import {
  backendDocument,
  type Difference,
  difference,
  type EndpointCounts,
  ingressDocument,
  routeDocument,
  type StatusDocument,
  statusFields,
} from './status-document.ts'
import type { StatusChange, StatusSubscriber } from './status-sink.ts'
import { namespaceOfId, type StatusTarget, statusTargetId, statusTargetOf, statusTargetPath } from './status-target.ts'
import { type Plan, WorkQueue } from './work-queue.ts'
import { WriteFailures } from './write-failures.ts'
import { WrittenStatuses } from './written-statuses.ts'

/** What is asked of an API server; KubernetesClient has it. */
export interface StatusClient {
  get(path: string, signal?: AbortSignal): Promise<unknown>
  apply(path: string, object: unknown, options: ApplyOptions, signal?: AbortSignal): Promise<unknown>
}

/** See {@link StatusSubscriber}. */
export interface StatusWriterEvents {
  /** For the log: what keeps statuses from being written; once for each cause. */
  problem(message: string): void
  written?(target: StatusTarget, document: StatusDocument, before: Seen): void
  ingressChecked?(target: StatusTarget, status: ObjectStatus, seen: Seen): void
}

export interface StatusWriterOptions {
  readonly client: StatusClient
  readonly time: TimerClock
  readonly random: Random
  /** Asked before every write. */
  readonly leading: () => boolean
  /** Whether an object of this class is this installation's; undefined = it names none. */
  readonly ours: (className: string | undefined) => boolean
  readonly endpoints: (backend: string) => EndpointCounts
  readonly events: StatusWriterEvents
  readonly rate?: Rate
  /** Longest wait for the workers before a status reports that not all of them serve it. */
  readonly patience?: Milliseconds
}

const FIELD_MANAGER = 'headgate-status'

const RATE: Rate = { perSecond: 50, burst: 100 }

const PARALLEL = 8

/** Statuses parsed in one step, some 20 µs each. */
const PARSED_AT_ONCE = 8

const PATIENCE: Milliseconds = 10_000

export class StatusWriter implements StatusSubscriber {
  readonly #options: StatusWriterOptions
  readonly #desired = new DesiredStatuses()
  readonly #seen = new SeenStatuses()
  readonly #written: WrittenStatuses
  readonly #failures: WriteFailures
  readonly #queue: WorkQueue
  readonly #aborts = new AbortController()
  /** Undefined as long as they are not known: then those that an object has stay. */
  #addresses: readonly Address[] | undefined
  readonly #parsing: SlicedWork

  constructor(options: StatusWriterOptions) {
    this.#options = options
    const { time, random, rate = RATE, events } = options
    this.#written = new WrittenStatuses(time)
    this.#parsing = new SlicedWork(time, (slice) => this.#parse(slice))
    this.#failures = new WriteFailures(random, (message) => events.problem(message))
    this.#queue = new WorkQueue({
      time,
      rate,
      parallel: PARALLEL,
      groupOf: namespaceOfId,
      plan: (id) => this.#plan(id),
    })
  }

  /** Objects that are looked at or written just now, or wait for it. */
  get waiting(): number {
    return this.#queue.size
  }

  /** What an object has now, as far as it is known. */
  seen(target: StatusTarget): Seen | undefined {
    return this.#seen.get(statusTargetId(target))
  }

  /** All events of the source, whatever the kind. */
  accept(events: readonly SourceEvent[]): void {
    this.#look(this.#seen.accept(events).filter((id) => this.#desired.get(id) !== undefined))
    if (this.#seen.unread > 0) this.#parsing.schedule()
  }

  begin(): void {
    this.#desired.begin()
  }

  prepare(change: StatusChange): void {
    this.#desired.prepare(change)
  }

  commit(generation: number): void {
    this.#look(this.#desired.commit(generation, this.#options.time.monotonic()))
  }

  served(generation: number): void {
    this.#look(this.#desired.served(generation))
  }

  endpointsChanged(backend: string): void {
    const id = statusTargetId({ kind: 'Backend', key: backend })
    if (this.#desired.get(id) !== undefined) this.#look([id])
  }

  useAddresses(addresses: readonly Address[]): void {
    if (JSON.stringify(addresses) === JSON.stringify(this.#addresses)) return
    this.#addresses = addresses
    this.#look(this.#desired.ids().filter((id) => !id.startsWith('Backend ')))
  }

  recheckAll(): void {
    this.#look(this.#desired.ids())
  }

  /** What is under way is given up. */
  stop(): void {
    this.#queue.stop()
    this.#parsing.stop()
    this.#aborts.abort()
  }

  #look(ids: Iterable<string>): void {
    if (this.#options.leading()) this.#queue.addAll(ids)
  }

  /**
   * Thousands come at once; their statuses are parsed in steps, also those that are not compared, since a parsed one
   * takes less room.
   */
  #parse(slice: TimeSlice): boolean {
    do this.#seen.readSome(PARSED_AT_ONCE)
    while (this.#seen.unread > 0 && !slice.over)
    return this.#seen.unread > 0
  }

  #plan(id: string): Plan {
    const { leading, time } = this.#options
    const desired = this.#desired.get(id)
    const seen = this.#seen.get(id)
    if (!leading() || desired === undefined || seen === undefined || !this.#mayWrite(id, desired, seen))
      return undefined
    const wait = this.#unserved(id, desired) ? desired.since + this.#patience - time.monotonic() : 0
    if (wait > 0) return { later: wait }
    if (id.startsWith('Ingress ')) this.#options.events.ingressChecked?.(statusTargetOf(id), desired.status, seen)
    const wanted = this.#document(id, desired, seen)
    const how = difference(wanted, seen)
    if (how === 'none') {
      this.#failures.forget(id)
      return undefined
    }
    return this.#planWrite(id, wanted, seen, how)
  }

  #planWrite(id: string, wanted: StatusDocument, seen: Seen, how: Difference): Plan {
    const forbidden = this.#failures.pauseOf(statusTargetOf(id), this.#options.time.monotonic())
    if (forbidden > 0) return { later: forbidden }
    const { wait, fight } = this.#written.waitFor(id, wanted, seen, how)
    if (fight)
      this.#options.events.problem(`the status of ${id} is changed back by somebody else; it is written less often`)
    return wait > 0 ? { later: wait } : () => this.#write(id, wanted, seen)
  }

  #mayWrite(id: string, { status }: Desired, seen: Seen): boolean {
    const { kind } = statusTargetOf(id)
    if (kind !== 'Backend' && !this.#options.ours(seen.className)) return false
    if (status.conditions.some(({ reason }) => reason === 'WrongClass')) return false
    // A newer version has been seen and not been compiled yet: what is known is about an older one.
    const about = status.conditions[0]?.observedGeneration
    return kind === 'Ingress' || about === undefined || seen.generation === undefined || about >= seen.generation
  }

  get #patience(): Milliseconds {
    return this.#options.patience ?? PATIENCE
  }

  /** Not every worker serves it yet, or not all is known, and that is all that keeps it from being well. */
  #unserved(id: string, { status }: Desired): boolean {
    const pending = (what: Condition['type']): boolean =>
      status.conditions.some(({ type, reason }) => type === what && reason === 'Pending')
    // A name that is being asked for will be known in a moment.
    return (pending('Programmed') && !this.#desired.programmed(id)) || pending('ResolvedRefs')
  }

  #document(id: string, { status }: Desired, seen: Seen): StatusDocument {
    const { kind, key } = statusTargetOf(id)
    if (kind === 'Ingress') return ingressDocument(status, this.#addresses, seen)
    if (kind === 'Backend') return backendDocument(status, this.#options.endpoints(key))
    return routeDocument(status, this.#desired.programmed(id), this.#addresses, seen)
  }

  async #write(id: string, wanted: StatusDocument, seen: Seen): Promise<Milliseconds | undefined> {
    const { client, time, events } = this.#options
    const target = statusTargetOf(id)
    const slash = target.key.indexOf('/')
    const body = {
      apiVersion: apiVersionOf(KINDS[target.kind]),
      kind: target.kind,
      metadata: {
        namespace: target.key.slice(0, slash),
        name: target.key.slice(slash + 1),
        uid: seen.uid,
        // What was compared with is what is replaced, or nothing is.
        resourceVersion: seen.resourceVersion,
      },
      status: statusFields(wanted, seen, timestamp(time.wall())),
    }
    try {
      const options = { fieldManager: FIELD_MANAGER, force: true }
      const stored = await client.apply(`${statusTargetPath(target)}/status`, body, options, this.#aborts.signal)
      this.#seen.put(target, stored)
      const now = this.#seen.get(id)
      if (now !== undefined) this.#written.note(id, wanted, now)
      this.#failures.succeeded(id)
      events.written?.(target, wanted, seen)
      return undefined
    } catch (error) {
      return await this.#failed(target, error)
    }
  }

  async #failed(target: StatusTarget, error: unknown): Promise<Milliseconds | undefined> {
    if (this.#aborts.signal.aborted) return undefined
    const id = statusTargetId(target)
    if (error instanceof ApiError && error.status === 409) {
      const outdated = await this.#readAgain(target)
      if (outdated !== undefined) return this.#after(target, outdated)
      return this.#failures.conflict(id)
    }
    return this.#after(target, error)
  }

  /** @returns what went wrong, if it did */
  async #readAgain(target: StatusTarget): Promise<unknown> {
    try {
      this.#seen.put(target, await this.#options.client.get(statusTargetPath(target), this.#aborts.signal))
      return undefined
    } catch (error) {
      return error
    }
  }

  #after(target: StatusTarget, error: unknown): Milliseconds | undefined {
    const id = statusTargetId(target)
    if (!(error instanceof ApiError)) throw error
    // The watch reports the deletion, or another object of this name.
    if (error.status === 404) {
      this.#seen.forget(id)
      this.#failures.forget(id)
      return undefined
    }
    const { retry, pause, alone } = this.#failures.failed(target, error, this.#options.time.monotonic())
    if (pause > 0) this.#queue.pause(pause, alone ? namespaceOfId(id) : undefined)
    return retry
  }
}
