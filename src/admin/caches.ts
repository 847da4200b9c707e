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
  | 'NoReplica'

export interface CacheRefusal {
  readonly ok: false
  readonly status: 404 | 422 | 429 | 503
  readonly reason: CacheReason
  readonly title: string
  readonly detail: string
}

/** What an answer is of: replicas that answered, and the others. */
export interface Reach {
  readonly missing: readonly MissingReplica[]
  /** Whether it is of every replica that may serve, for certain. */
  readonly everywhere: boolean
  /** What that means, in a sentence. */
  readonly detail: string
}

/** A replica that an answer says nothing of. */
export interface MissingReplica {
  readonly name: string
  /** As a clause. */
  readonly why: string
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
  /** Requests a second, of all replicas together. */
  readonly rate?: number
}

/** A list that one replica works on. */
export interface ReplicaWarmUp {
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
  readonly problems: readonly WarmUpProblem[]
}

export interface WarmUpProblem {
  readonly url: string
  readonly problem: string
}

/** The sum, of which `urls` are those of the list. Nobody goes on in a replica that is missing. */
export interface WarmUpView extends Omit<ReplicaWarmUp, 'problems'>, Reach {
  readonly id: string
  readonly problems: readonly (WarmUpProblem & { readonly replica: string })[]
  readonly replicas: readonly (Omit<ReplicaWarmUp, 'problems'> & { readonly name: string })[]
}

export type WarmUpOutcome = { readonly ok: true; readonly created: boolean; readonly view: WarmUpView } | CacheRefusal

/** Objects in the memories of replicas; see `CachedObject`. */
export interface LookupView extends Reach {
  /** In the order of their keys, and of the replicas. */
  readonly items: readonly (CachedObject & { readonly replica: string })[]
  /** Those are all. */
  readonly complete: boolean
  /** What of the names nothing here has, a sentence for each. */
  readonly unknown: readonly string[]
  /** Those that have been looked into. */
  readonly replicas: readonly string[]
}

export type LookupOutcome = { readonly ok: true; readonly view: LookupView } | CacheRefusal

/** Of one replica. */
export interface ReplicaStatistics extends CacheNumbersView {
  readonly hitRatio: number
  /** Those that happened. */
  readonly requests: readonly { readonly result: string; readonly reason: string; readonly count: number }[]
  readonly responses: readonly { readonly reason: string; readonly count: number }[]
  readonly purges: { readonly history: PurgeView['history']; readonly problem?: string }
}

/** Of a memory, or of several. */
export interface CacheNumbersView {
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
}

/** The sum, and each. How purges are kept is said by the replica that was asked. */
export interface CacheStatisticsView extends ReplicaStatistics, Reach {
  readonly replicas: readonly (ReplicaStatistics & { readonly name: string })[]
}

export type StatisticsOutcome = { readonly ok: true; readonly view: CacheStatisticsView } | CacheRefusal

/** @param replica asked alone; undefined: all are asked, each for a bounded time */
export interface CacheRequests {
  statistics(replica?: string): Promise<StatisticsOutcome>
  /** What a purge of the same would concern, in the memories of replicas. */
  lookup(namespace: string | undefined, body: PurgeBody, replica?: string): Promise<LookupOutcome>
  /** @param namespace undefined: of each rule that the hosts of its URLs or prefixes lead to */
  purge(namespace: string | undefined, body: PurgeBody): Promise<PurgeOutcome>
  warmUp(body: WarmUpBody, replica?: string): Promise<WarmUpOutcome>
  warmUpState(id: string): WarmUpOutcome
}
