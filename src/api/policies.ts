/**
 * The policies a rule, a Route or the settings may state, as they stand in the document: durations and quantities are
 * still text, and nothing here has a default before it is merged (api.md, "Merge" and "Defaults").
 */

import type { GrpcStatusName } from '../lib/grpc-status.ts'
import type { CacheValue } from '../policy/cache/value.ts'

/** A span of time such as `1d2h`, `30s`, `250ms`; see `src/lib/quantity.ts`. */
export type Duration = string

/** Bytes: a whole number, or text such as `10Mi`, `500k`; see `src/lib/quantity.ts`. */
export type ByteQuantity = number | string

/** One way to say "by what": `client.ip`, `client.ip/64`, `header:NAME`, `cookie:NAME`, `claim:PATH`, `consumer`, … */
export type Selector = string

export interface HeaderEntry {
  /** Lower case. */
  readonly name: string
  /** May hold `%{selector}` variables; `%%` is a percent sign. */
  readonly value: string
}

export interface HeaderEditsPolicy {
  readonly set?: readonly HeaderEntry[]
  readonly add?: readonly HeaderEntry[]
  readonly remove?: readonly string[]
}

/** Exactly the field that `type` names is set. */
export interface PathRewritePolicy {
  readonly type: 'ReplaceFullPath' | 'ReplacePrefixMatch' | 'ReplaceRegex'
  readonly replaceFullPath?: string
  readonly replacePrefixMatch?: string
  readonly replaceRegex?: { readonly pattern: string; readonly substitution: string }
}

export interface RewritePolicy {
  readonly hostname?: string
  readonly path?: PathRewritePolicy
}

/** `0s` = none. */
export interface TimeoutsPolicy {
  readonly request?: Duration
  readonly backendRequest?: Duration
  readonly responseHead?: Duration
  readonly idle?: Duration
  readonly tunnelIdle?: Duration
}

export type RetryReason = 'ConnectFailure' | 'ResetBeforeResponse' | 'ResponseHeadTimeout' | 'BackendRequestTimeout'

export interface RetryPolicy {
  /** Besides the first try. */
  readonly attempts?: number
  readonly reasons?: readonly RetryReason[]
  readonly codes?: readonly number[]
  readonly grpcCodes?: readonly GrpcStatusName[]
  readonly methods?: readonly string[]
  readonly backoff?: Duration
  readonly budgetPercent?: number
}

export interface HedgePolicy {
  readonly after: Duration
  readonly maxPercent?: number
}

export interface LimitsPolicy {
  readonly maxRequestBytes?: ByteQuantity
  /** 0 = unlimited. */
  readonly maxConcurrentRequests?: number
}

export interface AccessPolicy {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
}

export interface CorsPolicy {
  readonly allowOrigins: readonly string[]
  readonly allowMethods?: readonly string[]
  readonly allowHeaders?: readonly string[]
  readonly exposeHeaders?: readonly string[]
  readonly allowCredentials?: boolean
  readonly maxAge?: Duration
}

/** A Backend by name, or a Service directly: exactly one of `name` and `service`. */
export interface PolicyBackendRef {
  readonly name?: string
  /** Of the Backend; none = the Route's own. */
  readonly namespace?: string
  readonly service?: ServiceRef
}

export interface ServiceRef {
  readonly name: string
  /** Number, or the name of a port of the Service. */
  readonly port: number | string
}

/** Exactly one of the three is set. */
export interface CredentialSource {
  readonly header?: string
  readonly cookie?: string
  readonly query?: string
  /** Only with `header`. */
  readonly scheme?: string
}

/** Exactly one is set. */
export interface JwtKeys {
  readonly jwksURI?: string
  readonly jwksSecretName?: string
  readonly publicKeySecretName?: string
  readonly sharedSecretName?: string
  readonly issuerRule?: string
}

export interface JwtAuth {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly algorithms?: readonly string[]
  readonly keys: JwtKeys
  readonly from?: readonly CredentialSource[]
  readonly claimsToHeaders?: readonly { readonly claim: string; readonly header: string }[]
  readonly keepToken?: boolean
  readonly clockSkew?: Duration
}

export interface ApiKeyAuth {
  readonly secretName: string
  readonly from: readonly CredentialSource[]
}

export interface BasicAuth {
  readonly secretName: string
  readonly realm?: string
}

export interface ExternalAuth {
  readonly backendRef: PolicyBackendRef
  readonly path?: string
  readonly protocol?: 'HTTP' | 'GRPC'
  readonly requestHeaders?: readonly string[]
  readonly responseHeaders?: readonly string[]
  readonly clientHeaders?: readonly string[]
  readonly signIn?: { readonly url: string; readonly returnParam?: string }
  readonly timeout?: Duration
  readonly failOpen?: boolean
  readonly cache?: { readonly ttl: Duration; readonly by: readonly Selector[] }
}

export interface OidcAuth {
  readonly secretName: string
  readonly scopes?: readonly string[]
  readonly redirectPath?: string
  readonly logoutPath?: string
  readonly cookie?: { readonly name?: string; readonly sameSite?: 'Lax' | 'Strict' | 'None' }
}

export interface ClientCertificateAuth {
  readonly toHeaders?: readonly {
    readonly field: 'Subject' | 'SubjectAltName' | 'Fingerprint'
    readonly header: string
  }[]
}

/** Exactly one is set. */
export interface AuthMethod {
  readonly jwt?: JwtAuth
  readonly apiKey?: ApiKeyAuth
  readonly basic?: BasicAuth
  readonly external?: ExternalAuth
  readonly oidc?: OidcAuth
  readonly clientCertificate?: ClientCertificateAuth
  /** Switches an inherited `auth` off. */
  readonly anonymous?: Readonly<Record<string, never>>
}

/** One method, or `anyOf` several. */
export interface AuthPolicy extends AuthMethod {
  readonly anyOf?: readonly AuthMethod[]
}

/** At most one test: a claim with `equals`, `in`, `hasAny` or `hasAll`, or one of the others. */
export interface AuthorizationRule {
  readonly name: string
  readonly when?: { readonly methods?: readonly string[]; readonly paths?: readonly string[] }
  readonly claim?: string
  readonly equals?: string
  readonly in?: readonly string[]
  readonly hasAny?: readonly string[]
  readonly hasAll?: readonly string[]
  readonly scopes?: readonly string[]
  readonly consumers?: readonly string[]
  readonly groups?: readonly string[]
  readonly sourceCIDRs?: readonly string[]
  readonly cel?: string
  readonly dryRun?: boolean
}

/** `requests` with `per`, or `quota` with `per`. */
export interface RateLimit {
  readonly name: string
  readonly when?: { readonly claim: string; readonly in: readonly string[] }
  readonly requests?: number
  readonly quota?: number
  readonly per: Duration
  readonly burst?: number
  readonly by: readonly Selector[]
  readonly scope?: 'Local' | 'Cluster'
  readonly stage?: 'BeforeAuth' | 'AfterAuth'
  readonly missing?: 'ByClientIP' | 'Deny' | 'Skip'
  readonly onStoreError?: 'Allow' | 'Deny'
  readonly dryRun?: boolean
}

export interface CompressionPolicy {
  readonly algorithms: readonly ('zstd' | 'br' | 'gzip')[]
  readonly minBytes?: ByteQuantity
}

export interface FaultPolicy {
  readonly delay?: { readonly percent: number; readonly duration: Duration }
  readonly abort?: { readonly percent: number; readonly statusCode: number }
}

export interface PluginUse {
  readonly name: string
  readonly config?: Readonly<Record<string, unknown>>
}

/**
 * Every key is merged by itself: a rule's own replaces the Route's, a Route's own the settings'. The policies that are
 * rows (src/policy/definition.ts) stand beside these keys, each with a type of its own.
 */
export interface Policies {
  readonly rewrite?: RewritePolicy
  readonly requestHeaders?: HeaderEditsPolicy
  readonly responseHeaders?: HeaderEditsPolicy
  readonly timeouts?: TimeoutsPolicy
  readonly retry?: RetryPolicy
  readonly hedge?: HedgePolicy
  /** Tokens of Upgrade that may pass, lower case. */
  readonly upgrades?: readonly string[]
  readonly limits?: LimitsPolicy
  readonly access?: AccessPolicy
  readonly cors?: CorsPolicy
  readonly auth?: AuthPolicy
  readonly authorization?: readonly AuthorizationRule[]
  readonly rateLimits?: readonly RateLimit[]
  readonly cache?: CacheValue
  readonly compression?: CompressionPolicy
  readonly fault?: FaultPolicy
  readonly pathEncoding?: 'Strict' | 'KeepEncodedSlash'
  readonly plugins?: readonly PluginUse[]
}
