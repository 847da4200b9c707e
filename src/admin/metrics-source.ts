/** Values of metrics that are not in shared memory; pure getters, called at each scrape. */
import type { ConditionReason } from '../api/condition.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'

/** States of an endpoint; each endpoint is in exactly one. */
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
 * Problems of the settings as a whole. `RestartNeeded`: some settings apply at the next start only; `ListenerNotOpen`:
 * a port cannot be bound; `SecretUnusable`: a Secret or token file that they name is missing, broken or past its
 * time; `StateNotKept`: the state directory cannot be used.
 */
export type SettingsReason =
  | 'Invalid'
  | 'Warning'
  | 'RestartNeeded'
  | 'ListenerNotOpen'
  | 'SecretUnusable'
  | 'StateNotKept'

export interface ProblemCount {
  readonly kind: 'Route' | 'Backend' | 'Ingress' | 'Settings'
  readonly reason: ConditionReason | SettingsReason
  readonly objects: number
}

export interface MemorySizes {
  /** Bytes of the packed tables. */
  readonly tables: number
  /** Estimated bytes of the manifests. */
  readonly configuration: number
  /** Objects that were rejected for lack of memory. */
  readonly waiting: number
}

export interface CertificateEnd {
  /** `namespace/name` of the Secret. */
  readonly secret: string
  /** Seconds since the epoch. */
  readonly end: number
}

export interface MetricsSource {
  /** Generation of the newest compiled snapshot. */
  generation(): number
  sizes(): { readonly routes: number; readonly rules: number; readonly backends: number }
  backends(): Iterable<BackendGauges>
  readonly memory: {
    readonly budget: MemoryBudget
    readonly sizes: () => MemorySizes
  }
  /** Objects with a condition that reports a problem. */
  problems(): Iterable<ProblemCount>
  /** Certificates in use, in no order. */
  certificates(): Iterable<CertificateEnd>
}
