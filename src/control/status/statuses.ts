/**
 * The room of statuses. In: statuses of each generation, problems of what users wrote, and what happens to hostnames,
 * names and endpoints. Out: the admin API and the metrics read it; the log and the cluster are written to.
 */
import type { ProblemView } from '../../admin/admin-data.ts'
import type { ProblemCount } from '../../admin/metrics-source.ts'
import type { ObjectStatus } from '../../api/condition.ts'
import type { EndpointHealth } from '../../compile/conditions.ts'
import type { TimerClock } from '../../lib/clock.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { FrozenMap } from '../../snapshot/frozen-map.ts'
import type { Source } from '../../source/source.ts'
import type { EndpointTurn } from '../health/health.ts'
import { ClusterStatuses, type ClusterStatusesOptions } from './cluster-statuses.ts'
import { ObjectLog, type ObjectLogLevel } from './object-log.ts'
import { ProblemList } from './problem-list.ts'
import { StatusCache } from './status-cache.ts'
import { logName, StatusLog } from './status-log.ts'
import { type HandoverReport, StatusSink } from './status-sink.ts'

export type { ClusterStatuses }

export interface StatusesOptions {
  readonly time: TimerClock
  /** A line of the process log. */
  readonly log: (level: ObjectLogLevel, message: string) => void
  readonly locate: Source['locate']
  /** How many endpoints a Backend has, and how many of them take traffic. */
  readonly endpoints: (backend: string) => EndpointHealth
}

export class Statuses {
  readonly #sink = new StatusSink()
  readonly #log: ObjectLog
  readonly #cache: StatusCache
  /** What is wrong with what users wrote, with its place. */
  readonly problems: ProblemList

  constructor({ time, log, locate, endpoints }: StatusesOptions) {
    this.#log = new ObjectLog({ time, write: log })
    this.#cache = new StatusCache(endpoints)
    this.problems = new ProblemList((level, message, namespace) => {
      if (namespace === undefined) log(level, message)
      else this.#log.write(namespace, level, message)
    }, locate)
    this.#sink.subscribe(this.#cache)
    this.#sink.subscribe(new StatusLog(this.#log, (message) => log('warn', message)))
  }

  /** From now on statuses are written into a cluster, too. */
  writeTo(options: ClusterStatusesOptions): ClusterStatuses {
    return new ClusterStatuses(this.#sink, options)
  }

  /** The statuses of the next generation, in steps. */
  prepare(statuses: FrozenMap<ObjectStatus>): Generator<void> {
    return this.#sink.prepare(statuses)
  }

  /** What was prepared is in force. @param generation of the tables that came with it */
  commit(generation: number): void {
    this.#sink.commit(generation)
  }

  /** Every worker serves this generation and all before it. */
  served(generation: number): void {
    this.#sink.served(generation)
  }

  endpointsChanged(backend: string): void {
    this.#sink.endpointsChanged(backend)
  }

  /** An endpoint of a Backend is out, or in again. */
  endpointTurned(backend: string, turn: EndpointTurn): void {
    this.warnOf(namespaceOf(backend), `Backend ${backend}: ${turn.message}`)
    this.#sink.endpointTurned(backend, turn)
  }

  handedOver(report: HandoverReport): void {
    this.#sink.handedOver(report)
  }

  /** Other settings are in force, perhaps for another class; or what is known of all endpoints changed. */
  recheckAll(): void {
    this.#sink.recheckAll()
  }

  /** A warning about an object, or about a Backend's endpoints. */
  warnOf(namespace: string, message: string): void {
    this.#log.write(namespace, 'warn', message)
  }

  /** @param failure why a name cannot be resolved; undefined when it can be again */
  logName(namespace: string, name: string, failure: string | undefined, kept: readonly string[]): void {
    logName(this.#log, namespace, name, failure, kept)
  }

  list(): ObjectStatus[] {
    return this.#cache.list()
  }

  sizes(): { readonly routes: number; readonly rules: number } {
    return this.#cache.sizes()
  }

  *problemViews(): Generator<ProblemView> {
    yield* this.problems.list()
    yield* this.#cache.problems()
  }

  *problemCounts(): Generator<ProblemCount> {
    for (const reason of this.problems.settings) yield { kind: 'Settings', reason, objects: 1 }
    yield* this.#cache.problemCounts()
  }

  /** Writes the lines that wait. */
  stop(): void {
    this.#log.stop()
  }
}
