/** The data of the admin API: views of the control thread's state. Pure getters, called per request. */
import type { ConditionReason, ObjectStatus } from '../api/condition.ts'
import type { EndpointState } from './metrics-source.ts'
import type { RouteRow } from './route-rows.ts'

export interface AdminData {
  /** Why the process is unhealthy; empty when it is healthy. */
  unhealthy(): readonly string[]
  /** Why the process is not ready for traffic; empty when it is ready. */
  unready(): readonly string[]
  version(): VersionView
  /** The compiled table in matching order. */
  routes(): Iterable<RouteRow>
  /** @param offset of the first: the view of a Backend with thousands of endpoints is not made to be left out */
  backends(offset: number): Iterable<BackendView>
  statuses(): Iterable<ObjectStatus>
  problems(): Iterable<ProblemView>
  settings(): Iterable<SettingView>
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>
}

export interface VersionView {
  readonly version: string
  readonly node: string
  /** Generation of the newest tables. */
  readonly generation: number
  readonly workers: number
  /** The number of this replica, from 1, and how many there are. */
  readonly replica: number
  readonly replicas: number
  /** Of this replica. */
  readonly zone?: string
}

export interface BackendView {
  readonly id: string
  /** What its endpoints speak, `appProtocol` considered. */
  readonly protocol: string
  readonly algorithm: string
  /** Requests in flight, over all workers. */
  readonly inFlight: number
  /** Connections to its endpoints, over all workers; absent where the endpoint table has no row to count them in. */
  readonly connections?: number
  /** Requests that wait for one, because it is at `maxConnections`. */
  readonly waiting?: number
  readonly total: number
  /** Endpoints whose pods are ready. */
  readonly ready: number
  /** Those that get requests now. */
  readonly eligible: number
  /** Too few are well, so every ready one is used. */
  readonly panic: boolean
  readonly endpoints: readonly {
    /** `address:port`. */
    readonly authority: string
    readonly state: EndpointState
    /** Whether requests go there now. */
    readonly taken: boolean
    /** Why not, or why all the same; '' where there is nothing to say. */
    readonly reason: string
    /** Since when it is out, RFC 3339. */
    readonly since?: string
    /** The last probe: when it began, RFC 3339; its milliseconds; what is wrong, '' = nothing. */
    readonly probe?: { readonly at: string; readonly took: number; readonly fault: string }
    readonly weight: number
    readonly inFlight: number
    /** Of an endpoint with an adaptive limit: requests without a response yet, and how many there may be. */
    readonly unanswered?: number
    readonly limit?: number
    readonly zone?: string
    /** The part of this replica's requests, where it is not by weight alone: `zoneAware` and `subsetSize`. */
    readonly share?: number
  }[]
}

/** A problem of the configuration, with its location. */
export interface ProblemView {
  /** `Route shop/shop`; absent where the object is unknown. */
  readonly object?: string
  readonly file?: string
  readonly line?: number
  readonly column?: number
  /** `spec.rules[0].matches[1].path.value` */
  readonly field?: string
  /** From a closed list: reasons of conditions, of field problems, or of the source. */
  readonly reason: ConditionReason | (string & {})
  readonly message: string
}

export interface SettingView {
  /** `listeners[0].port` */
  readonly path: string
  readonly value: unknown
  /** `default`, `settings.yaml:3`, `--http`. */
  readonly origin: string
}
