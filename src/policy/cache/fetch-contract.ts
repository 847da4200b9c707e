/** What a fetch is told, what it is given, and what it says of the head that comes: see `fetch.ts`. */
import type { CacheNumbers } from '../../cache/cache-numbers.ts'
import type { LabelledObject } from '../../cache/purge-labels.ts'
import type { EntryKey, Fill } from '../../cache/response-memory.ts'
import type { CacheRules, StoreReason, StoringRequest } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { ClientOrigin } from '../../message/client-origin.ts'
import type { Fields } from '../../message/fields.ts'
import type { CacheServices } from '../cache-services.ts'
import type { SharedHold } from './entry-body.ts'
import type { PartPlace } from './part-place.ts'
import type { PassServices } from './pass-on.ts'
import type { KeepRequest, Recalls } from './recall.ts'
import type { KeyRule } from './request-key.ts'
import type { StoredParts } from './stored-parts.ts'

/** What is known of the request, so that it can be judged when the exchange is over. */
export interface FetchRequest {
  readonly rule: KeyRule
  /** The key under which it was looked up, a copy. */
  readonly key: EntryKey
  /** Of it, the part without a variant. */
  readonly primaryLength: number
  /** Names of the record of variants that was found, and its serial; null: none was. */
  readonly names: readonly string[] | null
  readonly recordSerial: number
  /** Serial of what was found under the key. */
  readonly seen: number
  /** The key is that of a part, of which a range is asked for; null: of a whole. */
  readonly part: PartPlace | null
  readonly storing: StoringRequest
  /** For purges. */
  readonly labelled: LabelledObject
  /** Scheme and authority, to which cache groups belong. */
  readonly origin: ClientOrigin
  /** Wall clock. */
  readonly sent: Milliseconds
  /** The last purge when it was sent. */
  readonly began: number
  /** Where the archive has its place for it; null: there is none. */
  readonly keep: KeepRequest | null
}

/** What was found, is stale and is being validated. */
export interface StaleResponse {
  readonly hold: SharedHold
  readonly numbers: CacheNumbers
}

/** What the head of a response has led to. */
export type HeadOutcome =
  /** Its body is to be written. */
  | { readonly type: 'stored'; readonly fill: Fill }
  /** The stale response is current: this is its head now. */
  | { readonly type: 'updated'; readonly head: Buffer; readonly numbers: CacheNumbers; readonly stored: boolean }
  /** The stale response is not what the origin has, and there is no other: it has to be fetched anew. */
  | { readonly type: 'mismatch' }
  | { readonly type: 'not-stored'; readonly reason: StoreReason }

export interface FetchServices {
  readonly cache: CacheServices
  readonly recalls: Recalls | null
  readonly parts: StoredParts
  readonly rules: CacheRules
  readonly maxObjectBytes: number
  /**
   * Labels of the tags in a response; null: more than an object may have.
   *
   * @param present which fields there are
   */
  tagsOf(origin: ClientOrigin, fields: Fields, present: number): readonly number[] | null
  nextTurn(run: () => void): void
  readonly passing: PassServices
  wall(): Milliseconds
}
