/**
 * A validated Route with the defaults of its schema applied (`crds/headgate.dev_routes.yaml`).
 */
import type { TokenIssuer } from '../policy/token-issuer/plan.ts'
import type { KubeObject } from './object.ts'
import type { Duration, PathRewritePolicy, Policies, Selector, ServiceRef } from './policies.ts'

export interface Route extends KubeObject {
  readonly kind: 'Route'
  readonly spec: RouteSpec
}

export interface RouteSpec {
  /** Absent = served only by the installation marked as default. */
  readonly ingressClassName?: string
  /** Names of listeners; none = all. */
  readonly listeners?: readonly string[]
  /** Lower case; none = the catch-all. */
  readonly hostnames?: readonly string[]
  readonly delegates?: readonly Delegate[]
  readonly maintenance?: Maintenance
  readonly tls?: RouteTls
  readonly policies?: RoutePolicies
  /** May be empty for a Route that only owns and delegates its hostnames. */
  readonly rules: readonly RouteRule[]
}

export interface RoutePolicies extends Policies {
  /** Cannot be replaced by rules or delegates. */
  readonly enforced?: Policies
}

export interface NamespaceGrant {
  readonly from: 'Names' | 'All' | 'Selector'
  /** Only with `from: Names`. */
  readonly names?: readonly string[]
  /** Only with `from: Selector`. */
  readonly selector?: LabelSelector
}

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
    readonly values?: readonly string[]
  }[]
}

export interface Delegate {
  readonly namespaces: NamespaceGrant
  readonly pathPrefixes: readonly string[]
}

export interface Maintenance {
  readonly enabled: boolean
  readonly retryAfter?: Duration
  readonly allow?: readonly string[]
}

export interface RouteTls {
  readonly mode: 'Terminate' | 'Passthrough'
  readonly certificates?: readonly { readonly secretName: string; readonly namespace?: string }[]
  readonly http: HttpMode
  readonly hsts?: { readonly maxAge: Duration; readonly includeSubDomains: boolean; readonly preload: boolean }
  readonly minVersion: 'TLS1.2' | 'TLS1.3'
  readonly clientCertificate?: {
    readonly caSecretName: string
    readonly crlSecretName?: string
    readonly mode: 'Require' | 'Optional'
  }
}

/** Behaviour for plain HTTP on a hostname with TLS. */
export type HttpMode = 'Redirect' | 'Serve' | 'Closed'

/** Exactly one of `backendRefs`, `redirect`, `respond`, `tokenIssuer` is set. */
export interface RouteRule {
  readonly name: string
  /** At least one; none written = one entry with PathPrefix `/`. */
  readonly matches: readonly RouteMatch[]
  readonly backendRefs?: readonly BackendRef[]
  readonly splitAffinity?: { readonly by: readonly Selector[]; readonly cookie?: { readonly name: string } }
  readonly http?: HttpMode
  readonly redirect?: RouteRedirect
  readonly respond?: RouteRespond
  readonly tokenIssuer?: TokenIssuer
  readonly policies?: Policies
}

/** All that is stated must hold. */
export interface RouteMatch {
  /** None written = PathPrefix `/`. */
  readonly path: RoutePathMatch
  readonly method?: string
  readonly headers?: readonly RouteValueMatch[]
  readonly queryParams?: readonly RouteValueMatch[]
  readonly cookies?: readonly RouteValueMatch[]
  readonly sourceCIDRs?: readonly string[]
}

export interface RoutePathMatch {
  readonly type: 'Exact' | 'PathPrefix' | 'RegularExpression'
  readonly value: string
}

export interface RouteValueMatch {
  /** Header names in lower case; query and cookie names as written. */
  readonly name: string
  readonly type: 'Exact' | 'RegularExpression' | 'Present' | 'Absent'
  /** Set exactly with Exact and RegularExpression. */
  readonly value?: string
}

/** A Backend by name, or a Service of the same namespace directly: exactly one of `name` and `service`. */
export interface BackendRef {
  readonly name?: string
  /** Of the Backend; none = the Route's own. */
  readonly namespace?: string
  readonly service?: ServiceRef
  /** 0 … 1,000,000; 0 gets nothing. */
  readonly weight: number
  readonly priority: number
}

export interface RouteRedirect {
  readonly scheme?: 'http' | 'https'
  readonly hostname?: string
  readonly port?: number
  readonly path?: PathRewritePolicy
  readonly statusCode: 301 | 302 | 303 | 307 | 308
}

export interface RouteRespond {
  readonly statusCode: number
  readonly contentType?: string
  readonly body?: string
}
