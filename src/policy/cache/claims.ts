/** Claims of keys in the memory: of a primary key, and of the variant that its record leads to. */
import { requestDirectives } from '../../cache/cache-control.ts'
import { CacheFlag, NUMBERS_BYTES } from '../../cache/cache-numbers.ts'
import { OwnKey } from '../../cache/key.ts'
import {
  type Begun,
  type EntryHead,
  type EntryKey,
  EntryKind,
  type Fill,
  type FillUnderWay,
  type ResponseMemory,
} from '../../cache/response-memory.ts'
import { writeVariant } from '../../cache/vary.ts'
import type { RequestDirectives, StoreReason, StoringRequest } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'
import type { CacheServices } from '../cache-services.ts'
import type { Exchange } from '../exchange.ts'
import type { Lookup } from './lookup.ts'
import type { Recalled } from './recall.ts'
import { beginKey, KEY, type KeyRule } from './request-key.ts'
import { encodeVary } from './vary-record.ts'

/** Of a record that leads to variants: for as long as memory has room. */
const FOREVER = Number.MAX_SAFE_INTEGER
const NO_NUMBERS = new Uint8Array(NUMBERS_BYTES)

/** Where the variants of a key are. */
export interface VariantPlace {
  readonly memory: ResponseMemory
  readonly rule: KeyRule
  /** A copy. */
  readonly primary: EntryKey
  /** Names of the record that was found, and its serial; null: none was. */
  readonly names: readonly string[] | null
  readonly recordSerial: number
  /** Of the purge log, when the request was sent. */
  readonly began: number
  /** Of the request. */
  readonly fields: Fields
}

/** Of a request whose key is in `KEY`. */
export function placeOf(x: Exchange, rule: KeyRule, found: Lookup, { memory, purges }: CacheServices): VariantPlace {
  x.request.detach()
  const { names, recordSerial, primaryLength } = found
  const bytes = KEY.copy().subarray(0, primaryLength)
  const primary = { bytes, length: primaryLength }
  return { memory, rule, primary, names, recordSerial, began: purges.newest, fields: x.request }
}

/** Why nothing can be stored under a key now. */
export type NoFill = Extract<StoreReason, 'NoRoom' | 'AnotherRequest'>

/** @returns the claim; else why there is none */
export function claimed(begun: Begun): Fill | NoFill {
  if (begun === 'none') return 'NoRoom'
  if (begun === 'found') return 'AnotherRequest'
  if (begun.type === 'fill') return begun
  begun.cancel()
  return 'AnotherRequest'
}

export function fillOf(begun: Begun): Fill | null {
  const fill = claimed(begun)
  return typeof fill === 'string' ? null : fill
}

/** What somebody is writing; null: nobody is any more. @param seen serial of what is there and of no use */
export function followOf(memory: ResponseMemory, key: EntryKey, { namespace }: KeyRule, seen = 0): FillUnderWay | null {
  const begun = memory.begin(key, namespace, seen)
  if (typeof begun === 'string') return null
  if (begun.type === 'under-way') return begun
  begun.withdraw()
  return null
}

export function recordOf(kind: EntryKind, head: Uint8Array, until: number, began: number): EntryHead {
  return { kind, numbers: NO_NUMBERS, head, subject: NOTHING, bodyBytes: 0, until, began }
}

const NOTHING = new Uint8Array(0)

/**
 * From the claim of a key to that of the key with more names: a record of them under the primary key leads to it.
 * `KEY` is the variant's then.
 *
 * @returns the claim; else why there is none
 */
export function toVariant(fill: Fill, place: VariantPlace, names: readonly string[]): Fill | NoFill {
  beginVariant(place, names)
  const variant = claimNew(place)
  if (place.names === null) fill.record(namesRecord(place, names))
  else {
    fill.fail()
    recordNames(place, names, place.recordSerial)
  }
  return variant
}

/** `KEY` is that of the variant then. */
export function beginVariant({ primary, fields }: VariantPlace, names: readonly string[]): void {
  beginKey(primary)
  writeVariant(KEY, names, fields)
}

/** Of what is in `KEY` and not stored. @returns the claim; else why there is none: no room also for a key too long */
export function claimNew({ memory, rule }: VariantPlace): Fill | NoFill {
  return KEY.tooLong ? 'NoRoom' : claimed(memory.begin(KEY, rule.namespace, 0))
}

/** Under the primary key, unless another one is about it. @param seen serial of what is there */
export function recordNames(place: VariantPlace, names: readonly string[], seen: number): void {
  const { memory, rule, primary } = place
  fillOf(memory.begin(primary, rule.namespace, seen))?.record(namesRecord(place, names))
}

function namesRecord({ began }: VariantPlace, names: readonly string[]): EntryHead {
  return recordOf(EntryKind.Vary, encodeVary(names), FOREVER, began)
}

/** A fill with the key that it is of. */
export interface Claim {
  readonly fill: Fill
  readonly key: EntryKey
}

/**
 * Where a response of the archive goes, whose variant is chosen by these names.
 *
 * @returns null: what the memory knows of variants does not fit to it; the claim is as it was
 */
export function claimFor(names: readonly string[] | null, claim: Claim, place: VariantPlace): Claim | null {
  const known = place.names
  if (names === null || (known !== null && names.join() === known.join())) return claim
  if (known !== null && !known.every((name) => names.includes(name))) return null
  const fill = toVariant(claim.fill, place, names)
  return typeof fill === 'string' ? null : { fill, key: keyCopy() }
}

/** A request of which the key is in `KEY`. */
export interface KeyedRequest {
  readonly x: Exchange
  readonly rule: KeyRule
  readonly directives: RequestDirectives
  readonly content: Uint8Array | null
  /** What the archive said; null: it was not asked. */
  readonly recalled: Recalled | null
  /** What the rules have to know of it; null: it was not asked for yet. */
  readonly storing: StoringRequest | null
}

/** A request that may hold a claim while the archive is asked. */
export interface Claiming extends KeyedRequest {
  recalled: Recalled | null
  claim: Claim | null
}

/** A request looks again at most so often, where what it has waited for is of no use to it. */
export const MAX_ROUNDS = 3

/** A request on its way through the cache. */
export interface Asking extends Claiming {
  storing: StoringRequest | null
  round: number
  /** Monotonic; when it has waited long enough. 0: it has not begun to wait. */
  deadline: Milliseconds
  /** What it has waited for has failed. */
  failed: boolean
  collapsed: boolean
  /** What was missing of its range has been fetched for it. */
  filled: boolean
  /** What was stored was purged: it is not found any more when the request looks again. */
  purged: boolean
}

export function askingOf(x: Exchange, rule: KeyRule): Asking {
  return {
    x,
    rule,
    directives: requestDirectives(x.request),
    content: null,
    recalled: null,
    storing: null,
    claim: null,
    round: 0,
    deadline: 0,
    failed: false,
    collapsed: false,
    filled: false,
    purged: false,
  }
}

/**
 * The claim that was taken for the archive, if it is of the key that is in `KEY` now; where the archive is still to be
 * asked, a new one. Whoever gets it ends it.
 *
 * @returns null: another request has it, or there is no use in asking
 */
export function claimOf(asking: Claiming, found: Lookup, memory: ResponseMemory): Claim | null {
  const { claim, recalled, directives, rule } = asking
  asking.claim = null
  if (claim !== null) {
    if (Buffer.compare(claim.key.bytes, KEY.bytes.subarray(0, KEY.length)) === 0) return claim
    claim.fill.withdraw()
    return null
  }
  if (recalled !== null || leavesArchive(directives, found)) return null
  const fill = fillOf(memory.begin(KEY, rule.namespace, found.seen))
  return fill === null ? null : { fill, key: keyCopy() }
}

/** Whether the archive is not asked: what it has would be of no use, or would have to be validated as well. */
export function leavesArchive(directives: RequestDirectives, { state, entry, numbers }: Lookup): boolean {
  if (state === 'uncacheable' || directives.noCache) return true
  return entry !== null && (numbers.flags & CacheFlag.AlwaysValidate) !== 0
}

export function keyCopy(): EntryKey {
  return new OwnKey(KEY)
}
