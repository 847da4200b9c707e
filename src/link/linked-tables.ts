/** What runs in a worker: a policy set with its chain, a Backend with its balancer and pools. */
import type { Availability } from '../balance/availability.ts'
import type { Balancer } from '../balance/balancer.ts'
import type { Endpoint } from '../balance/endpoint.ts'
import type { RetryBudget } from '../balance/retry-budget.ts'
import type { SessionTokens } from '../balance/session-tokens.ts'
import type { RequestPlaces } from '../limit/request-places.ts'
import type { NamespaceShare } from '../limit/upstream-budget.ts'
import type { ValueReader } from '../policy/variables.ts'
import type { RouteTables } from '../snapshot/route-tables.ts'
import type { BackendConfig, SessionAffinityConfig } from '../snapshot/snapshot.ts'
import type { UpstreamPool } from '../transport/upstream.ts'
import type { LinkedPolicy } from './linked-policy.ts'

/** How clients of a Backend come back to their endpoint. */
export interface SessionAffinity {
  readonly config: SessionAffinityConfig
  readonly tokens: SessionTokens
  /** The token that a request has. */
  readonly read: ValueReader
}

/** Outlives tables: keyed by the Backend's id, so that connections, rotation and counts survive every change. */
export interface LinkedBackend {
  readonly id: string
  readonly plan: BackendConfig
  readonly balancer: Balancer
  readonly affinity: SessionAffinity | null
  /** What a request is hashed by: the first that it has. Empty unless the algorithm hashes. */
  readonly keys: readonly ValueReader[]
  /** All that it has now. */
  readonly endpoints: readonly Endpoint[]
  /** What it can take now, for splits that have something to fall back on. */
  readonly room: Availability
  /** It has no endpoints and will have none: its rows in the endpoint table may be another's by now. */
  readonly ended: boolean
  readonly retries: RetryBudget
  /** What its namespace has of this worker. */
  readonly share: NamespaceShare
  /** For the requests that it may have in flight. */
  readonly requestPlaces: RequestPlaces
  pool(endpoint: Endpoint): UpstreamPool
  /** Connections that are handed over as they are: of each request, nothing is sent and `onUpgrade` follows at once. */
  tunnels(endpoint: Endpoint): UpstreamPool
  /** Connections for copies of requests alone: there are fewer of them, and nobody waits for one. */
  mirrors(endpoint: Endpoint): UpstreamPool
  /** Row in the shared endpoint table for limits over all workers; -1 when the table had none left. */
  readonly slot: number
  /** A moment ago none of its many endpoints had room: a flood of requests does not look at all of them each. */
  readonly isFull?: boolean
  /** None has. */
  noRoom?(): void
  /** Row in the metrics. */
  readonly metricsRow: number
}

/** What an exchange keeps of the generation by which it was matched: the Backends, and nothing to match against. */
export interface MatchedTables {
  readonly generation: number
  readonly backends: readonly (LinkedBackend | null)[]
  /** Some rule knows browsers by cookies of sessions, which requests of all rules then lose. */
  readonly sessions: boolean
}

/**
 * One generation as this worker serves it. Never changed once it is current; an exchange keeps its Backends.
 */
export interface LinkedTables extends MatchedTables {
  /** An object of its own, so that requests that wait hold no tables. */
  readonly matched: MatchedTables
  readonly tables: RouteTables
  /** Null where a policy set cannot be used: its rules answer 500. */
  readonly policies: readonly (LinkedPolicy | null)[]
  /** Some rule hears of unsafe requests that other rules take. */
  readonly unsafeListeners: boolean
}
