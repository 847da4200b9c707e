/** What is stored of a response, for people. */
import { CacheFlag, type CacheNumbers, emptyNumbers, readNumbers } from './cache-numbers.ts'
import { describeKey, digestOfKey } from './key-text.ts'
import type { EntryBytes } from './response-memory.ts'
import { currentAge } from './reuse.ts'
import { StoredHead } from './stored-head.ts'

export interface CachedObject {
  /** In words, without what may say who somebody is. */
  readonly key: string
  /** Tells keys apart whose words are the same, in all replicas. */
  readonly keyDigest: string
  /** What tells versions of the response apart, as the origin says it: its ETag, else when it was last changed. */
  readonly validator?: string
  readonly status: number
  /** Of the body. */
  readonly bytes: number
  /** Whether it may be served without asking the origin, and why not. */
  readonly state: 'fresh' | 'stale' | 'purged' | 'validated each time'
  /** Seconds. */
  readonly age: number
  readonly lifetime: number
  /** Where the lifetime comes from. */
  readonly lifetimeBy: 'origin' | 'estimate' | 'policy'
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly received: string
  readonly tags: number
}

const NUMBERS: CacheNumbers = emptyNumbers()
const HEAD = new StoredHead()
const MAX_VALIDATOR = 128
const SECOND = 1_000

/**
 * @param purged by what was purged since it was judged last
 * @param tags labels besides those that each object has
 * @param now of the wall clock
 */
export function describeObject(entry: EntryBytes, purged: boolean, tags: number, now: number): CachedObject {
  const { bytes, view, keyAt, keyBytes, numbersAt, headAt, bodyBytes } = entry
  const key = Buffer.from(bytes.subarray(keyAt, keyAt + keyBytes))
  HEAD.at(bytes, headAt)
  const validator = HEAD.etag ?? HEAD.lastModified
  return {
    ...{ key: describeKey(key), keyDigest: digestOfKey(key) },
    ...(validator !== undefined && { validator: validator.slice(0, MAX_VALIDATOR) }),
    ...describeStored(readNumbers(view, numbersAt, NUMBERS), { bodyBytes, purged, tags, now }),
  }
}

export interface StoredFacts {
  readonly bodyBytes: number
  readonly purged: boolean
  readonly tags: number
  /** Of the wall clock. */
  readonly now: number
}

export function describeStored(
  numbers: CacheNumbers,
  { bodyBytes, purged, tags, now }: StoredFacts,
): Omit<CachedObject, 'key' | 'keyDigest' | 'validator'> {
  const { flags, status, lifetime, received, staleWhileRevalidate, staleIfError } = numbers
  const age = currentAge(numbers, now)
  const stale = age >= lifetime || (flags & CacheFlag.MarkedStale) !== 0
  const validates = (flags & CacheFlag.AlwaysValidate) !== 0
  const by = (flags & CacheFlag.Heuristic) !== 0 ? 'estimate' : 'origin'
  return {
    status,
    bytes: bodyBytes,
    state: purged ? 'purged' : validates ? 'validated each time' : stale ? 'stale' : 'fresh',
    age: Math.round(age / SECOND),
    lifetime: Math.round(lifetime / SECOND),
    lifetimeBy: (flags & (CacheFlag.Configured | CacheFlag.Capped)) !== 0 ? 'policy' : by,
    staleWhileRevalidate: staleWhileRevalidate / SECOND,
    staleIfError: staleIfError / SECOND,
    received: new Date(received).toISOString(),
    tags,
  }
}
