/** The policies of one rule after merging and defaulting: everything a filter chain is composed from. */

import type { TokenIssuerPlan } from './token-issuer/plan.ts'

export interface PolicySet {
  /** SHA-256 of the canonical form, hex, first 32 characters. */
  readonly digest: string
  /** What answers: the backends of the rule, or the gateway itself. */
  readonly action:
    | { readonly type: 'forward' }
    | ({ readonly type: 'redirect' } & Redirect)
    | ({ readonly type: 'respond' } & Respond)
    | ({ readonly type: 'issueTokens' } & TokenIssuerPlan)
  /** Where it forwards: what keeps a user in one part of the split. */
  readonly splitAffinity?: SplitAffinityConfig
  readonly rewrite?: Rewrite
  readonly requestHeaders?: HeaderEdits
  readonly responseHeaders?: HeaderEdits
  readonly timeouts: Timeouts
  readonly retry: Retry
  readonly hedge?: HedgeConfig
  readonly limits: Limits
  /**
   * Fields that no client of this rule may send, in lower case with hyphens only: other rules tell its Backends by them
   * who the client is.
   */
  readonly withheld?: readonly string[]
  /** Lower-case tokens of Upgrade that may pass; empty = none. */
  readonly upgrades: readonly string[]
  readonly pathEncoding: 'Strict' | 'KeepEncodedSlash'
  /** Of the policies that are rows (definition.ts), by key: what only the policy's own filter reads. */
  readonly policies?: Readonly<Record<string, unknown>>
}

export interface SplitAffinityConfig {
  /** Selectors; the first that a request has. */
  readonly by: readonly string[]
  /** Name of the cookie that is set where a request has none of them. */
  readonly cookie?: string
}

export type PathRewrite =
  | { readonly type: 'ReplaceFullPath'; readonly replaceFullPath: string }
  | { readonly type: 'ReplacePrefixMatch'; readonly replacePrefixMatch: string }
  /** RE2 pattern, searched once from the left; `$1`…`$9` and `$0` in the substitution, `$$` is a dollar. */
  | { readonly type: 'ReplaceRegex'; readonly pattern: string; readonly substitution: string }

export interface Rewrite {
  /** Sent as Host to the upstream. */
  readonly hostname?: string
  readonly path?: PathRewrite
}

export interface Redirect {
  readonly scheme?: 'http' | 'https'
  readonly hostname?: string
  readonly port?: number
  readonly path?: PathRewrite
  readonly statusCode: 301 | 302 | 303 | 307 | 308
}

export interface Respond {
  readonly statusCode: number
  readonly contentType?: string
  readonly body?: string
}

export interface HeaderValue {
  /** Lower case. */
  readonly name: string
  /** May hold `%{selector}` variables; `%%` is a percent sign. */
  readonly value: string
}

export interface HeaderEdits {
  readonly set: readonly HeaderValue[]
  readonly add: readonly HeaderValue[]
  /** Lower case. */
  readonly remove: readonly string[]
}

/** Milliseconds; 0 = none. */
export interface Timeouts {
  /** The whole exchange. */
  readonly request: number
  /** One try, from its start to the end of the response. */
  readonly backendRequest: number
  /** One try until the response's head. */
  readonly responseHead: number
  /** No byte either way. */
  readonly idle: number
  /** No byte either way on an upgraded connection. */
  readonly tunnelIdle: number
}

export interface Retry {
  /** Besides the first try. */
  readonly attempts: number
  readonly reasons: readonly (
    | 'ConnectFailure'
    | 'ResetBeforeResponse'
    | 'ResponseHeadTimeout'
    | 'BackendRequestTimeout'
  )[]
  /** Upstream status codes that are tried again. */
  readonly codes: readonly number[]
  /** The same of gRPC calls. */
  readonly grpcCodes: readonly number[]
  /** That are tried again though the request may have been processed. */
  readonly methods: readonly string[]
  /** Milliseconds. */
  readonly backoff: number
  /** At most this share of the requests of the last ten seconds may be retries. */
  readonly budgetPercent: number
}

/** A second attempt beside a slow one. */
export interface HedgeConfig {
  /** Milliseconds. */
  readonly after: number
  /** At most this share of the requests of the last ten seconds. */
  readonly maxPercent: number
}

export interface Limits {
  /** Bytes; -1 = unlimited. */
  readonly maxRequestBytes: number
  readonly concurrency?: ConcurrencyLimit
}

/** Requests in flight, of all rules that share the limit. */
export interface ConcurrencyLimit {
  readonly requests: number
  /** Where it is stated: whoever has the same counts together. */
  readonly origin: string
}
