/** What the cache would do with a request, for people and programs: by which key, from which store, and why. */
import type { CachedObject } from './cached-object.ts'
import type { CacheResult } from './results.ts'

export type CacheVerdictName =
  /** Served from what is stored, without the origin. */
  | 'hit'
  | 'stale'
  /** The origin is asked whether what is stored is current. */
  | 'validate'
  /** The origin is asked, and its response may be stored. */
  | 'miss'
  /** The request is none of the cache's business. */
  | 'bypass'
  /** 504. */
  | 'refused'
  /** It depends on what nobody can know before the request is made, such as who its client is. */
  | 'unknown'

export interface StoreExplanation {
  readonly store: 'Memory' | 'Redis' | 'File'
  /** `away`: it could not be asked in time. `nothing`: none of use, also where it was purged. */
  readonly state: 'found' | 'nothing' | 'purged' | 'uncacheable' | 'away'
}

export interface CacheExplanation {
  readonly verdict: CacheVerdictName
  /** As in metrics and access log; absent where the verdict is unknown. */
  readonly result?: CacheResult
  /** In a sentence, with the section of the rule. */
  readonly why: string
  /** In words, without what may say who somebody is; absent where there is none. */
  readonly key?: string
  /** Of the whole key: SHA-256, hex, first 32 characters. */
  readonly keyDigest?: string
  /** Names of the fields by which responses of this key vary; the request's values are part of the key. */
  readonly vary?: readonly string[]
  /** Where it was looked for. */
  readonly stores: readonly StoreExplanation[]
  /** What would be served or validated. */
  readonly stored?: Omit<CachedObject, 'key' | 'keyDigest' | 'validator'> & {
    /** Seconds of freshness that are left, negative where it is stale. */
    readonly left: number
    /** Of its response, those with which it can be purged; at most 32. */
    readonly tagNames: readonly string[]
  }
}

/** Why a request becomes of the cache what it does. */
export const WHY: Readonly<Record<CacheResult, string>> = {
  'hit Memory': 'what is stored is fresh (RFC 9111 §4.2)',
  'hit Archive': 'what the archive has is fresh (RFC 9111 §4.2)',
  'hit Collapsed': 'another request is fetching it',
  'stale StaleWhileRevalidate': 'it is stale, is served at once, and is fetched anew in the background (RFC 5861 §3)',
  'stale MaxStale': 'the client takes stale responses: max-stale (RFC 9111 §5.2.1.2)',
  'stale StaleIfError': 'the origin fails, and stale-if-error allows it (RFC 5861 §4)',
  'revalidated Expired': 'its lifetime has ended, and the origin says that it is current (RFC 9111 §4.3)',
  'revalidated NoCache': 'the origin wants to be asked each time: no-cache (RFC 9111 §5.2.2.4)',
  'revalidated RequestNoCache': 'the client wants the origin to be asked: no-cache (RFC 9111 §5.2.1.4)',
  'revalidated RequestMaxAge': 'it is older than max-age of the client (RFC 9111 §5.2.1.1)',
  'revalidated RequestMinFresh': 'it is not fresh for as long as min-fresh of the client (RFC 9111 §5.2.1.3)',
  'revalidated MarkedStale': 'a soft purge has ended its lifetime',
  'revalidated ClockSetBack': 'the clock was set back, so that no age is known (RFC 9111 §4.2.3)',
  'miss NotStored': 'nothing is stored for the key (RFC 9111 §4)',
  'miss Variant': 'nothing is stored for the values of the fields that Vary names (RFC 9111 §4.1)',
  'miss Partial': 'parts are stored, but not all of the range that is asked for (RFC 9111 §3.3)',
  'miss Expired': 'its lifetime has ended (RFC 9111 §4.2)',
  'miss NoCache': 'the origin wants to be asked each time: no-cache (RFC 9111 §5.2.2.4)',
  'miss RequestNoCache': 'the client wants the origin to be asked: no-cache (RFC 9111 §5.2.1.4)',
  'miss RequestMaxAge': 'it is older than max-age of the client (RFC 9111 §5.2.1.1)',
  'miss RequestMinFresh': 'it is not fresh for as long as min-fresh of the client (RFC 9111 §5.2.1.3)',
  'miss MarkedStale': 'a soft purge has ended its lifetime',
  'miss ClockSetBack': 'the clock was set back, so that no age is known (RFC 9111 §4.2.3)',
  'miss Purged': 'it was purged',
  'miss Uncacheable': 'the last response for the key could not be stored (RFC 9111 §3), so nobody waits for this one',
  'miss CollapseTimeout': 'another request was fetching it for too long',
  'miss NotShared': 'what another request has fetched was not for this one',
  'bypass Method': 'only GET, HEAD and QUERY are looked up (RFC 9111 §3)',
  'bypass Condition': 'the request has what the policy names in bypass',
  'bypass RequestNoStore': 'the client wants nothing to be stored: no-store (RFC 9111 §5.2.1.5)',
  'bypass RequestContent': 'the request has content that is no part of a key (RFC 9110 §9.3.1)',
  'bypass Query': 'the query has parameters that the key does not have, and key.query says Bypass',
  'bypass Upgrade': 'the request asks for another protocol (RFC 9110 §7.8)',
  'bypass Precondition': 'the origin alone can judge If-Match and If-Unmodified-Since (RFC 9111 §4.3.2)',
  'bypass Range': 'several ranges of what is not stored go to the origin as they are (RFC 9110 §14.2)',
  'bypass KeyTooLong': 'the key would be longer than keys may be',
  'refused OnlyIfCached': 'the client wants no request to the origin: only-if-cached (RFC 9111 §5.2.1.7)',
}
