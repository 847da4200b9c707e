/** What the metrics need to know besides the cells in shared memory; pure getters, called at each scrape. */
import type { ConditionReason } from '../api/condition.ts'

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
 * What may be said about the settings as a whole. `RestartNeeded`: some act at the next start only; `ListenerNotOpen`: a port cannot be had.
 */
export type SettingsReason = 'Invalid' | 'Warning' | 'RestartNeeded' | 'ListenerNotOpen'

export interface ProblemCount {
  readonly kind: 'Route' | 'Backend' | 'Ingress' | 'Settings'
  readonly reason: ConditionReason | SettingsReason
  readonly objects: number
}

export interface MetricsSource {
  /** Of the newest compiled snapshot. */
  generation(): number
  sizes(): { readonly routes: number; readonly rules: number; readonly backends: number }
  backends(): Iterable<BackendGauges>
  /** Objects with a condition that says something is wrong. */
  problems(): Iterable<ProblemCount>
}
