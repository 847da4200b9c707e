/** What the metrics need to know besides the cells in shared memory; pure getters, called at each scrape. */
import type { ConditionReason } from '../api/condition.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'

/** What an endpoint is at the moment; each is in exactly one state. */
export const ENDPOINT_STATES = ['eligible', 'unhealthy', 'ejected', 'draining'] as const
export type EndpointState = (typeof ENDPOINT_STATES)[number]

export interface BackendGauges {
  /** Backend id, as in the snapshot. */
  readonly id: string
  /** Requests in flight, over all workers. */
  readonly inFlight: number
  readonly endpoints: Readonly<Record<EndpointState, number>>
}

/**
 * What may be said about the settings as a whole. `RestartNeeded`: some act at the next start only; `ListenerNotOpen`:
 * a port cannot be had.
 */
export type SettingsReason = 'Invalid' | 'Warning' | 'RestartNeeded' | 'ListenerNotOpen'

export interface ProblemCount {
  readonly kind: 'Route' | 'Backend' | 'Ingress' | 'Settings'
  readonly reason: ConditionReason | SettingsReason
  readonly objects: number
}

export interface MemorySizes {
  /** Bytes of the packed tables. */
  readonly tables: number
  /** Bytes of the manifests, as estimated. */
  readonly configuration: number
  /** Objects that wait for memory. */
  readonly waiting: number
}

export interface MetricsSource {
  /** Of the newest compiled snapshot. */
  generation(): number
  sizes(): { readonly routes: number; readonly rules: number; readonly backends: number }
  backends(): Iterable<BackendGauges>
  readonly memory: {
    readonly budget: MemoryBudget
    readonly sizes: () => MemorySizes
  }
  /** Objects with a condition that says something is wrong. */
  problems(): Iterable<ProblemCount>
}
