/**
 * What the data plane needs, as plain immutable data: the output of `compile`, the input of packing.
 * Every unit is resolved here (milliseconds, bytes, numbers), every default applied, every policy merged.
 *
 * Objects that did not change between two generations are the same objects (`===`): that is how packing and
 * linking know what they may keep.
 */
import type { Reason } from '../lib/reason.ts'
import type { PolicySet } from '../policy/policy-set.ts'

export interface Snapshot {
  /** By hostname in normal form: `shop.example.com`, `*.example.com`, or `*` for hosts that nobody names. */
  readonly segments: ReadonlyMap<string, VirtualHost>
  /** Distinct policy sets by digest. */
  readonly policies: ReadonlyMap<string, PolicySet>
  /** By backend id, see {@link Backend.id}. */
  readonly backends: ReadonlyMap<string, Backend>
  /** Names of the listeners; bit i of {@link Match.listeners} stands for the i-th of this snapshot and of no other. */
  readonly listeners: readonly string[]
}

/** All rules of one hostname. */
export interface VirtualHost {
  readonly hostname: string
  readonly rules: readonly Rule[]
  /** In matching order (api.md, "Which rule wins"): the first that matches decides. */
  readonly matches: readonly Match[]
}

export interface Rule {
  /** `namespace/name` of the Route. */
  readonly route: string
  /** The rule's own name; `route` + `rule` is the identity used in logs, metrics and explain. */
  readonly rule: string
  /** Digest of its policy set. */
  readonly policy: string
  /** Weighted split, empty when the policy set answers itself (redirect, respond). */
  readonly backends: readonly BackendRef[]
  /** Set when the rule must refuse every request, e.g. `RuleClosed`. */
  readonly refuse?: Reason
}

export interface BackendRef {
  /** Backend id; absent when the reference does not resolve, `refuse` then says why. */
  readonly backend?: string
  /** 0 … 1,000,000; 0 gets nothing. */
  readonly weight: number
  readonly priority: number
  /** The share of this reference is refused with this reason, e.g. `BackendNotFound`. */
  readonly refuse?: Reason
}

export type PathMatch =
  | { readonly type: 'Exact'; readonly value: string }
  /** By segment: `/a` matches `/a`, `/a/` and `/a/b`, not `/ab`. Stored without a trailing slash, except `/` itself. */
  | { readonly type: 'PathPrefix'; readonly value: string }
  /** RE2 syntax, whole path, linear time. */
  | { readonly type: 'RegularExpression'; readonly value: string }

/** As the name of a header: the host in normal form, however the request named it. No field has a colon in its name. */
export const HOST_PSEUDO_HEADER = ':host'

export interface ValueMatch {
  /** Header names in lower case; query and cookie names as written. */
  readonly name: string
  readonly type: 'Exact' | 'RegularExpression' | 'Present' | 'Absent'
  /** Empty for Present and Absent. */
  readonly value: string
}

export interface Match {
  readonly path: PathMatch
  /** Upper case; absent = any. GET also matches HEAD. */
  readonly method?: string
  readonly headers: readonly ValueMatch[]
  readonly queryParams: readonly ValueMatch[]
  readonly cookies: readonly ValueMatch[]
  /** In CIDR form; any one of them must hold the client's address; empty = any address. */
  readonly sourceCIDRs: readonly string[]
  /**
   * Bit i: served on the i-th of {@link Snapshot.listeners}. All bits set (-1) = every listener, also those to come.
   */
  readonly listeners: number
  /** Regular-expression paths of a delegated Route must also stay below one of these; empty = anywhere. */
  readonly within: readonly string[]
  /** Index into `VirtualHost.rules`. */
  readonly rule: number
}

/** One Backend, or one Service named directly by a rule. Its endpoints live outside the snapshot, keyed by `id`. */
export interface Backend {
  /** `namespace/name`, or `service:namespace/name:port` for a Service named directly. */
  readonly id: string
  readonly protocol: 'HTTP'
  readonly algorithm: 'RoundRobin' | 'WeightedRoundRobin' | 'LeastRequest' | 'Random'
  readonly hostHeader: 'Preserve' | 'UseServerName'
  /** The host name sent with `UseServerName`: the endpoint's DNS name where it has one. */
  readonly maxConnections: number
  readonly maxPending: number
  /** 0 = unlimited. */
  readonly maxConcurrentRequests: number
  /** Milliseconds. */
  readonly connectTimeout: number
  readonly idleTimeout: number
  /** 0 = unlimited. */
  readonly maxRequestsPerConnection: number
}

/** One address of a Backend as the control thread resolved it. Identity: backend id + address + port. */
export interface EndpointAddress {
  /** IPv4 or IPv6 literal in canonical form, or a DNS name that control resolves before it reaches a worker. */
  readonly address: string
  readonly port: number
  /** 1 … 1,000,000. */
  readonly weight: number
  readonly zone?: string
  /** The DNS name it was resolved from, for `hostHeader: UseServerName`. */
  readonly hostname?: string
  /** Ready pods take traffic; serving-but-terminating ones only when nothing else is left. */
  readonly state: 'ready' | 'draining'
}
