/** What the rules of RFC 9111 decide, and from what: the words that store, filter and metrics have in common. */
import type { Milliseconds } from '../lib/clock.ts'
import type { Fields } from '../message/fields.ts'
import type { CacheNumbers } from './cache-numbers.ts'

/** What an operator states of the responses of a rule. Nothing of it makes anything reusable that an origin forbids. */
export interface CacheRules {
  /** `Override`: {@link defaultTtl} is the lifetime of what the origin says nothing about. */
  readonly mode: 'Standard' | 'Override'
  readonly defaultTtl?: Milliseconds
  /** No lifetime is greater, whoever states it. */
  readonly maxTtl?: Milliseconds
  /** The lifetime of responses with these statuses, where the origin says nothing. */
  readonly ttlByCode?: Pick<ReadonlyMap<number, Milliseconds>, 'get'>
  /** Where the origin says nothing of it (RFC 5861 §3). */
  readonly staleWhileRevalidate?: Milliseconds
  /** Where the origin says nothing of it (RFC 5861 §4). */
  readonly staleIfError?: Milliseconds
  /** Names of targeted fields in lower case, the most specific first (RFC 9213 §2.2). */
  readonly targets: readonly string[]
}

/** Of the request that led to a response which might be stored. */
export interface StoringRequest {
  readonly method: string
  /** As it was sent on. */
  readonly fields: Fields
  /** Which of them there are, see `field-presence.ts`; absent: it has to be looked. */
  readonly present?: number
  /**
   * Whether it came with a credential of any kind, also one that the gateway consumed and did not send on: RFC 9111
   * §3.5 holds for all of them. An Authorization field among {@link fields} counts in any case.
   */
  readonly credentials: boolean
  /** Whether the key holds all identities that the origin may read: then nobody else gets the response. */
  readonly identityInKey: boolean
  /** `InKey`: all of it is part of the key (RFC 10008 §2.7). */
  readonly content: 'None' | 'InKey' | 'NotInKey'
  /** Names in lower case of the fields that are part of the key, besides those that Vary names. */
  readonly keyedFields?: ReadonlySet<string>
}

export interface ResponseTimes {
  /** Wall clock when the request was sent. */
  readonly sent: Milliseconds
  /** Wall clock when the head of the response arrived. */
  readonly received: Milliseconds
}

/** Why a response is stored or not: labels of a metric, a closed list. */
export const STORE_REASONS = [
  'Stored',
  /** Neither GET nor QUERY. */
  'Method',
  /** It has a field by which applications take another URL or method, and which is no part of the key. */
  'RequestFields',
  /** A request with content that is no part of the key. */
  'RequestContent',
  /** `no-store` of the client (RFC 9111 §5.2.1.5). */
  'RequestNoStore',
  /** Not final, or not understood where that is necessary (RFC 9111 §3). */
  'Status',
  'NoStore',
  'Private',
  /** RFC 9111 §3.5. */
  'Credentials',
  'SetCookie',
  /** `Vary: *` (RFC 9111 §4.1), or a 304 that varies by more than the response that it confirms. */
  'VaryAny',
  /** A 206 that cannot be combined with others: several parts, or no range that can be understood. */
  'Partial',
  /** Neither an explicit lifetime nor anything that allows an estimate (RFC 9111 §3). */
  'NoLifetime',
  /** Never to be served without validation, with nothing to validate it with. */
  'AlreadyStale',
  /** It ended before its end (RFC 9111 §3.3). Decided by who reads it. */
  'Incomplete',
  /** More bytes than the operator allows for one object. Decided by who reads it. */
  'TooLarge',
  /** The memory has no room; or Redis or files, where they are no second tier. Decided by the store. */
  'NoRoom',
  /** Purged while it was fetched. Decided by the store. */
  'Purged',
  /** Another request is storing a response of this key, or has just done so. Decided by the store. */
  'AnotherRequest',
] as const

export type StoreReason = (typeof STORE_REASONS)[number]

export interface StoreVerdict {
  readonly store: boolean
  readonly reason: StoreReason
  /** Meaningful where it is to be stored. */
  readonly numbers: CacheNumbers
  /**
   * Names in lower case that must not be stored, besides those that never are: named by `private` or `no-cache` (RFC
   * 9111 §5.2.2.7, §5.2.2.4).
   */
  readonly excluded: readonly string[]
}

/** What to do with a response that is stored for a key. */
export type ReuseOutcome =
  /** Serve it. */
  | 'Fresh'
  /** Serve it, and fetch it anew in the background (RFC 5861 §3). */
  | 'StaleWhileRevalidate'
  /** Serve it: the client takes stale responses (`max-stale`, RFC 9111 §5.2.1.2). */
  | 'Stale'
  /** Ask the origin first, with the stored validators where there are some (RFC 9111 §4.3). */
  | 'Validate'
  /** Do not ask the origin either: 504 (`only-if-cached`, RFC 9111 §5.2.1.7). */
  | 'GatewayTimeout'

/** Why a stored response is served or not: labels of a metric, a closed list. */
export const REUSE_REASONS = [
  'Fresh',
  'StaleWhileRevalidate',
  'MaxStale',
  'StaleIfError',
  /** Its lifetime has ended. */
  'Expired',
  /** `no-cache` of the origin. */
  'NoCache',
  /** `no-cache` of the client (or `Pragma`). */
  'RequestNoCache',
  'RequestMaxAge',
  'RequestMinFresh',
  /** Marked by a purge. */
  'MarkedStale',
  /** Our clock was set back to before its arrival: its age is not known. */
  'ClockSetBack',
  /** Nothing is stored. */
  'NotStored',
] as const

export type ReuseReason = (typeof REUSE_REASONS)[number]

/** Written by the rules, read in the same turn; one object serves all requests of a worker. */
export interface ReuseVerdict {
  outcome: ReuseOutcome
  reason: ReuseReason
  /** Whole seconds, for the Age field (RFC 9111 §5.1). */
  age: number
  /** Whole seconds of freshness that are left, negative when it is stale: `ttl` of Cache-Status (RFC 9211 §2.4). */
  ttl: number
  /** Where the origin cannot be asked or fails: whether it may be served instead (RFC 5861 §4). */
  staleIfError: boolean
}

/** Of Cache-Control of a request (RFC 9111 §5.2.1). */
export interface RequestDirectives {
  readonly noCache: boolean
  readonly noStore: boolean
  readonly onlyIfCached: boolean
  /** −1 where absent. */
  readonly maxAge: Milliseconds
  /** −1 where absent. */
  readonly minFresh: Milliseconds
  /** −1 where absent, infinite without a value. */
  readonly maxStale: Milliseconds
  /** −1 where absent (RFC 5861 §4). */
  readonly staleIfError: Milliseconds
}
