/**
 * What the rules need to know of a stored response besides its head, as numbers with a fixed layout: whether a response
 * may be reused is decided from them alone, no field of its head is parsed again. All times are milliseconds of the
 * wall clock since the Unix epoch, all spans are milliseconds.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** Bits of {@link CacheNumbers.flags}. */
export const CacheFlag = {
  /** Never reused without successful validation: `no-cache` without field names (RFC 9111 §5.2.2.4). */
  AlwaysValidate: 1 << 0,
  /**
   * Never reused stale, whatever a client or an operator allows: `must-revalidate`, `proxy-revalidate`, `s-maxage` (RFC
   * 9111 §4.2.4, §5.2.2.2, §5.2.2.8, §5.2.2.10).
   */
  NeverStale: 1 << 1,
  /** `immutable` (RFC 8246): a reload by a client does not validate it while it is fresh. */
  Immutable: 1 << 2,
  /** The lifetime is an estimate (RFC 9111 §4.2.2). */
  Heuristic: 1 << 3,
  /** The lifetime is of the operator, who states one where the origin says nothing. */
  Configured: 1 << 4,
  /** The lifetime was cut by the operator's greatest. */
  Capped: 1 << 5,
  /** The request had a credential and the response allows all clients to get it (RFC 9111 §3.5). */
  Credentials: 1 << 6,
  /** Partial content (206), RFC 9111 §3.3. */
  Partial: 1 << 7,
  /** There is something to validate it with: an ETag or a date of the last change (RFC 9111 §4.3.1). */
  Validator: 1 << 8,
  /** It was marked stale: by a purge that keeps it for a while. See {@link expireAt}. */
  MarkedStale: 1 << 9,
  /** The date of its last change is a strong validator (RFC 9110 §8.8.2.2): 1 s or more before its Date. */
  StrongLastModified: 1 << 10,
} as const

export interface CacheNumbers {
  status: number
  /** Of {@link CacheFlag}. */
  flags: number
  /** When the origin generated it, by our clock: received − corrected initial age (RFC 9111 §4.2.3). */
  born: Milliseconds
  /** When its head arrived here. */
  received: Milliseconds
  /** From {@link born} on (RFC 9111 §4.2.1). */
  lifetime: Milliseconds
  /** After the lifetime, in whole seconds (RFC 5861 §3); 0: not at all. */
  staleWhileRevalidate: Milliseconds
  /** After the lifetime, in whole seconds (RFC 5861 §4); 0: not at all. */
  staleIfError: Milliseconds
  /** What its Date says, or {@link received} where it has none: of two responses the later is used (RFC 9111 §4). */
  date: Milliseconds
  /** NaN where the field is absent or broken. */
  lastModified: Milliseconds
}

export function emptyNumbers(): CacheNumbers {
  return {
    status: 0,
    flags: 0,
    born: 0,
    received: 0,
    lifetime: 0,
    staleWhileRevalidate: 0,
    staleIfError: 0,
    date: 0,
    lastModified: Number.NaN,
  }
}

/** Bytes of the layout, which begins at a multiple of eight; little-endian as every number of a processor we run on. */
export const NUMBERS_BYTES = 56
/** Offset of the flags in the layout: a 32-bit word, so that a bit can be set atomically. */
export const FLAGS_OFFSET = 48
/** Of the layout: what reads another one (from Redis, from a file) treats the entry as missing. */
export const NUMBERS_VERSION = 1

const SECOND = 1_000
const MAX_U32 = 0xffff_ffff

export function writeNumbers(view: DataView, offset: number, numbers: CacheNumbers): void {
  view.setFloat64(offset, numbers.born, true)
  view.setFloat64(offset + 8, numbers.received, true)
  view.setFloat64(offset + 16, numbers.lifetime, true)
  view.setFloat64(offset + 24, numbers.date, true)
  view.setFloat64(offset + 32, numbers.lastModified, true)
  view.setUint32(offset + 40, seconds(numbers.staleWhileRevalidate), true)
  view.setUint32(offset + 44, seconds(numbers.staleIfError), true)
  view.setUint32(offset + FLAGS_OFFSET, numbers.flags, true)
  view.setUint32(offset + 52, numbers.status, true)
}

function seconds(span: Milliseconds): number {
  return Math.min(MAX_U32, Math.floor(span / SECOND))
}

export function readNumbers(view: DataView, offset: number, into: CacheNumbers): CacheNumbers {
  into.born = view.getFloat64(offset, true)
  into.received = view.getFloat64(offset + 8, true)
  into.lifetime = view.getFloat64(offset + 16, true)
  into.date = view.getFloat64(offset + 24, true)
  into.lastModified = view.getFloat64(offset + 32, true)
  into.staleWhileRevalidate = view.getUint32(offset + 40, true) * SECOND
  into.staleIfError = view.getUint32(offset + 44, true) * SECOND
  into.flags = view.getUint32(offset + FLAGS_OFFSET, true)
  into.status = view.getUint32(offset + 52, true)
  return into
}

/**
 * What a soft purge at this time makes of a response: it is stale from then on, and may be served stale for as long as
 * if its lifetime had ended then. One whose lifetime ended earlier keeps that end.
 */
export function expireAt(numbers: CacheNumbers, time: Milliseconds): void {
  numbers.flags |= CacheFlag.MarkedStale
  numbers.lifetime = Math.max(0, Math.min(numbers.lifetime, time - numbers.born))
}
