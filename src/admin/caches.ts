/** What the admin API asks of the HTTP cache, and its answers. */

import type { CachedObject } from '../cache/cached-object.ts'

/** Why it is refused: a closed list, in docs/admin.md. */
export type CacheReason =
  | 'InvalidPurge'
  | 'NamespaceUnknown'
  | 'NotServing'
  | 'InvalidWarmUp'
  | 'TooManyWarmUps'
  | 'NoWarmUp'

export interface CacheRefusal {
  readonly ok: false
  readonly status: 404 | 422 | 429 | 503
  readonly reason: CacheReason
  readonly title: string
  readonly detail: string
}

/** The body of a purge, structure and types validated. */
export interface PurgeBody {
  readonly urls?: readonly string[]
  readonly prefixes?: readonly string[]
  readonly tags?: readonly string[]
  readonly route?: string
  readonly rule?: string
  readonly all?: boolean
  readonly soft?: boolean
}

export interface PurgeView {
  readonly namespaces: readonly string[]
  /** Names that were purged; each in each namespace. */
  readonly purged: number
  readonly soft: boolean
  /** Replicas that are known, and those in which it acts. */
  readonly replicas: number
  readonly reached: number
  /** Names of those in which it acts, this one first, and of the others; in a cluster `namespace/pod`. */
  readonly acts: readonly string[]
  readonly missing: readonly string[]
  /** Whether it acts in every replica that may serve, for certain. */
  readonly everywhere: boolean
  /** Where it is kept for those that were not reached, and for after a restart. */
  readonly history: 'Redis' | 'Peers' | 'File' | 'None'
  readonly kept: boolean
  /** What of it nothing here has, a sentence for each: it was purged all the same. */
  readonly unknown: readonly string[]
  /** What that means, in a sentence. */
  readonly detail: string
}

export type PurgeOutcome = { readonly ok: true; readonly view: PurgeView } | CacheRefusal

/** Of one list. */
export const MAX_WARM_UP_URLS = 10_000

/** The body of a warm-up. */
export interface WarmUpBody {
  readonly urls: readonly string[]
  /** Requests a second. */
  readonly rate?: number
}

export interface WarmUpView {
  readonly id: string
  readonly state: 'running' | 'finished'
  readonly urls: number
  /** Of which there is an answer. */
  readonly requested: number
  /** They were in the cache before; they are since; they are not. */
  readonly hits: number
  readonly stored: number
  readonly others: number
  readonly failed: number
  /** Some of those that are not in the cache, and why. */
  readonly problems: readonly { readonly url: string; readonly problem: string }[]
}

export type WarmUpOutcome = { readonly ok: true; readonly created: boolean; readonly view: WarmUpView } | CacheRefusal

/** An object that is stored; see `CachedObject`. */
export interface LookupView {
  readonly items: readonly CachedObject[]
  /** Those are all. */
  readonly complete: boolean
  /** What of the names nothing here has, a sentence for each. */
  readonly unknown: readonly string[]
}

export type LookupOutcome = { readonly ok: true; readonly view: LookupView } | CacheRefusal

export interface CacheStatisticsView {
  /** Bytes of the memory, of all workers; 0: there is none. */
  readonly limit: number
  /** Responses, records of variants, keys that cannot be stored. */
  readonly entries: number
  readonly used: number
  readonly held: number
  readonly stored: number
  readonly evicted: number
  readonly removed: number
  readonly replaced: number
  /** What memory could not take. */
  readonly refused: number
  readonly hitRatio: number
  /** Those that happened. */
  readonly requests: readonly { readonly result: string; readonly reason: string; readonly count: number }[]
  readonly responses: readonly { readonly reason: string; readonly count: number }[]
  readonly purges: { readonly history: PurgeView['history']; readonly problem?: string }
}

export interface CacheRequests {
  statistics(): CacheStatisticsView
  /** What a purge of the same would concern, in the memory of this replica. */
  lookup(namespace: string | undefined, body: PurgeBody): Promise<LookupOutcome>
  /** @param namespace undefined: of each rule that the hosts of its URLs or prefixes lead to */
  purge(namespace: string | undefined, body: PurgeBody): Promise<PurgeOutcome>
  warmUp(body: WarmUpBody): WarmUpOutcome
  warmUpState(id: string): WarmUpOutcome
}
