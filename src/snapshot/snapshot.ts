/**
 * What the data plane needs, as plain immutable data: the output of `compile`, the input of packing.
 * Every unit is resolved here (milliseconds, bytes, numbers), every default applied, every policy merged.
 *
 * Objects that did not change between two generations are the same objects (`===`): that is how packing and
 * linking know what they may keep.
 */
import type { Reason } from '../lib/reason.ts'
import type { AdaptiveLimitConfig } from '../limit/adaptive-limit.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { Frontend, FrontendPartition, FrontendSet } from './frontend.ts'
import type { HealthConfig } from './health.ts'
import type { HostTls, HttpMode } from './host-tls.ts'
import type { UpstreamProtocol } from './upstream-protocol.ts'
import type { UpstreamTls } from './upstream-tls.ts'

/** Tables go from the frontend to the hostname, to the virtual host, to its rules: see {@link layersOn}. */
export interface Snapshot {
  /** Those of the settings, by name. */
  readonly frontends: ReadonlyMap<string, Frontend>
  /** By hostname in normal form: `shop.example.com`, `*.example.com`, or `*` for hosts that nobody names. */
  readonly hosts: ReadonlyMap<string, Host>
  /** Distinct policy sets by digest. */
  readonly policies: ReadonlyMap<string, PolicySet>
  /** By backend id, see {@link BackendConfig.id}. */
  readonly backends: ReadonlyMap<string, BackendConfig>
}

/**
 * What the frontends serve for one hostname. The virtual host of a frontend has two layers, each stored once: what is
 * served on its group alone, and what all frontends have in common. Their matches are tried as one list, in matching
 * order. So a rule is never stored again because some other rule names frontends.
 */
export interface Host {
  readonly hostname: string
  /** Of all layers, in matching order. */
  readonly matches: readonly Match[]
  /**
   * On every frontend, also on those that the tables do not know. Undefined where frontends outside of the partition do
   * not have this hostname at all: they look for a less specific one.
   */
  readonly common: VirtualHost | undefined
  readonly partition: FrontendPartition
  /** By group of the partition: on these frontends besides. */
  readonly own: readonly VirtualHost[]
  /**
   * A request that no match holds goes on to the most specific wildcard over this hostname, never to the catch-all: a
   * delegate adds to what the owner of the wildcard serves here. Else this hostname is final.
   */
  readonly extendsWildcard: boolean
  /** Undefined: the default certificate and the default options. */
  readonly tls: HostTls | undefined
}

/** Rules of one hostname: one layer of {@link Host}. */
export interface VirtualHost {
  readonly hostname: string
  readonly rules: readonly Rule[]
  /** In matching order (api.md, "Which rule wins"): the first that matches decides. */
  readonly matches: readonly Match[]
  /** By match: the index of its rule. Packing then needs no map by rule, which cost more than writing the rules. */
  readonly ruleIndexes: readonly number[]
  /** Index of the rule whose backends get TLS connections as they are; undefined unless they are passed through. */
  readonly passthrough: number | undefined
}

/**
 * The layers that a frontend serves for a hostname.
 *
 * @param frontend name, known or not
 * @returns none when the frontend does not have the hostname
 */
export function layersOn({ partition, own, common }: Host, frontend: string): readonly VirtualHost[] {
  const group = partition.groupOf.get(frontend)
  const layers = group === undefined ? [] : [own[group]!]
  return common === undefined ? layers : [...layers, common]
}

export interface Rule {
  /** `namespace/name` of the Route. */
  readonly route: string
  /** The rule's own name; `route` + `rule` is the identity used in logs, metrics and explain. */
  readonly rule: string
  /** Digest of its policy set. */
  readonly policy: string
  /** Weighted split, empty when the policy set answers itself (redirect, respond). */
  readonly backends: readonly WeightedBackend[]
  /** What clear-text requests get here, where the rule states it: see `httpModeOf`. */
  readonly http?: HttpMode
  /** Set when the rule must refuse every request, e.g. `RuleClosed`. */
  readonly refuse?: Reason
}

export interface WeightedBackend {
  /** Backend id; absent when the reference does not resolve, see `refuse`. */
  readonly backend?: string
  /** The id that it names where it does not resolve. */
  readonly missing?: string
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
  /** Where it is served; undefined = on every frontend, also those to come. */
  readonly frontends: FrontendSet | undefined
  /** Regular-expression paths of a delegated Route must also stay below one of these; empty = anywhere. */
  readonly within: readonly string[]
  /** One of `VirtualHost.rules`. */
  readonly rule: Rule
  /** What decides between equally specific matches: see `compareMatches`. */
  readonly order: MatchOrder
}

export interface MatchOrder {
  /** Creation of the Route, milliseconds since the epoch; undefined in a folder. */
  readonly created: number | undefined
  /** Place of the rule in its Route. */
  readonly rule: number
  /** Place of the match in its rule. */
  readonly match: number
}

export type SessionAffinityConfig =
  | {
      readonly type: 'cookie'
      readonly name: string
      /** Seconds; undefined: the session of the browser. */
      readonly maxAge: number | undefined
      readonly sameSite: 'Lax' | 'Strict' | 'None'
    }
  /** Name in lower case. */
  | { readonly type: 'header'; readonly name: string }

/** One Backend, or one Service named directly by a rule. Its endpoints live outside the snapshot, keyed by `id`. */
export interface BackendConfig {
  /** `namespace/name`, or `service:namespace/name:port` for a Service named directly. */
  readonly id: string
  readonly protocol: UpstreamProtocol
  /** Present exactly where the protocol runs over TLS: `HTTPS`, `H2`, `GRPCS`. */
  readonly tls: UpstreamTls | undefined
  /** The version of the PROXY header that begins each connection; undefined = none. */
  readonly proxyProtocol: 'V1' | 'V2' | undefined
  readonly algorithm: 'RoundRobin' | 'WeightedRoundRobin' | 'LeastRequest' | 'PeakEWMA' | 'Random' | 'ConsistentHash'
  /** Selectors, the first that a request has counts; empty unless the algorithm is ConsistentHash. */
  readonly hashOn: readonly string[]
  /** Milliseconds in which the share of a new endpoint grows; 0 = none. */
  readonly slowStart: number
  /** Whether endpoints of the gateway's own zone are preferred. */
  readonly zoneAware: boolean
  /** Endpoints that one replica of the gateway uses, at the least; 0 = all. */
  readonly subsetSize: number
  /** How clients come back to their endpoint; undefined: they do not. */
  readonly sessionAffinity: SessionAffinityConfig | undefined
  readonly hostHeader: 'Preserve' | 'UseServerName'
  /** The host name sent with `UseServerName`: the endpoint's DNS name where it has one. */
  readonly maxConnections: number
  readonly maxPending: number
  /** 0 = unlimited. */
  readonly maxConcurrentRequests: number
  /** Of each endpoint, by what its requests take; absent = none. */
  readonly adaptiveLimit?: AdaptiveLimitConfig
  /** Milliseconds. */
  readonly connectTimeout: number
  readonly idleTimeout: number
  /** 0 = unlimited. */
  readonly maxRequestsPerConnection: number
  /** Namespaces besides its own whose policies may name it; undefined = none. */
  readonly allowed?: 'All' | readonly string[]
  /** Absent: neither probes nor ejections, and no panic. */
  readonly health?: HealthConfig
}

/** One address of a Backend as the control thread resolved it. Identity: backend id + address + port. */
export interface EndpointAddress {
  /** IPv4 or IPv6 literal in canonical form, or a DNS name that control resolves before it reaches a worker. */
  readonly address: string
  /** 0: that of the targets of `address`, an SRV name. */
  readonly port: number
  /** 1 … 1,000,000. */
  readonly weight: number
  readonly zone?: string
  /**
   * The zones whose clients it is meant for, with commas between them, where that is not just its own: hints of its
   * EndpointSlice, which count where every ready endpoint of the Service has one.
   */
  readonly serves?: string
  /** The DNS name it was resolved from, for `hostHeader: UseServerName`. */
  readonly hostname?: string
  /** Ready pods take traffic; serving-but-terminating ones only when nothing else is left. */
  readonly state: 'ready' | 'draining'
}
