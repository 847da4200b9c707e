/**
 * The statuses of every Route, Backend and Ingress as they are now: the conditions of the last compile, and whether the
 * workers serve it. The admin API and the metrics read them.
 */
import type { ProblemView } from '../../admin/admin-data.ts'
import type { ProblemCount } from '../../admin/metrics-source.ts'
import type { Condition, ObjectStatus } from '../../api/condition.ts'
import { formatPath } from '../../api/object.ts'
import { type EndpointHealth, healthyCondition, programmed } from '../../compile/conditions.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import { findingsOf, isUnlisted, unwell } from './status-findings.ts'
import type { StatusChange, StatusSubscriber } from './status-sink.ts'

export class StatusCache implements StatusSubscriber {
  readonly #endpoints: (backend: string) => EndpointHealth
  #current = new FrozenMap<ObjectStatus>()
  #sizes = { routes: 0, rules: 0 }
  #nextSizes = this.#sizes
  #generation = 0
  #served = 0

  /** @param endpoints how many endpoints a Backend has, and how many of them take traffic */
  constructor(endpoints: (backend: string) => EndpointHealth) {
    this.#endpoints = endpoints
  }

  get size(): number {
    return this.#current.size
  }

  /** As compiled, with `Programmed`, `Ready` and `Healthy` as they are now. */
  list(): ObjectStatus[] {
    return [...this.#current.values()].map((status) => this.#now(status))
  }

  /** Faults by conditions that are not in the list of problems, which has those of fields. */
  *problems(): Generator<ProblemView> {
    for (const status of this.list())
      for (const { reason, message, path } of findingsOf(status, isOurs))
        yield { object: `${status.kind} ${status.key}`, ...(path && { field: formatPath(path) }), reason, message }
  }

  /** How many objects have a fault, by kind and reason. */
  problemCounts(): Iterable<ProblemCount> {
    const counts = new Map<string, ProblemCount>()
    for (const { kind, conditions } of this.list())
      for (const reason of new Set(conditions.filter(unwell).map((one) => one.reason))) {
        if (reason === 'WrongClass') continue
        const id = `${kind} ${reason}`
        counts.set(id, { kind, reason, objects: (counts.get(id)?.objects ?? 0) + 1 })
      }
    return counts.values()
  }

  /** Routes of which at least a part is served, and their rules. */
  sizes(): { routes: number; rules: number } {
    return { ...this.#sizes }
  }

  begin(): void {
    this.#nextSizes = { ...this.#sizes }
  }

  prepare({ before, after }: StatusChange): void {
    addSize(this.#nextSizes, before, -1)
    addSize(this.#nextSizes, after, 1)
  }

  commit(generation: number, statuses: FrozenMap<ObjectStatus>): void {
    this.#current = statuses
    this.#sizes = this.#nextSizes
    this.#generation = generation
  }

  served(generation: number): void {
    this.#served = Math.max(this.#served, generation)
  }

  #now(status: ObjectStatus): ObjectStatus {
    if (status.kind === 'Backend') {
      const healthy = healthyCondition(this.#endpoints(status.key), status.conditions[0]?.observedGeneration)
      return { ...status, conditions: [...status.conditions, healthy] }
    }
    return this.#served >= this.#generation ? programmed(status) : status
  }
}

/** Not the affair of another installation. */
const isOurs = (condition: Condition): boolean => isUnlisted(condition) && condition.reason !== 'WrongClass'

function addSize(sizes: { routes: number; rules: number }, status: ObjectStatus | undefined, sign: 1 | -1): void {
  if (status === undefined || (status.rules ?? 0) === 0) return
  sizes.routes += sign
  sizes.rules += sign * (status.rules ?? 0)
}
