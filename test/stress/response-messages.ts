/** What the stress test of the memory of responses and its workers say to each other. */
import type { CacheBuffers } from '../../src/shared-memory/process-buffers.ts'

export interface ResponseStressData {
  readonly seed: number
  readonly index: number
  readonly cache: CacheBuffers
  /** `WORKERS` × `KEYS` cells: who believes to have the claim of a key. */
  readonly claims: SharedArrayBuffer
  /** `WORKERS` × `COUNTERS` numbers; those of a worker that died stay. */
  readonly counters: SharedArrayBuffer
}

export type ResponseStressSays =
  | { readonly type: 'violation'; readonly what: string }
  | { readonly type: 'started' }
  | { readonly type: 'finished' }

export const WORKERS = 3
export const KEYS = 400
/** Of which a few are asked for most. */
export const HOT_KEYS = 20
/** So small that everything is evicted all the time. */
export const CACHE_BYTES = 3 * 1_024 * 1_024

export const Counter = {
  Hits: 0,
  CheckedBytes: 1,
  Stored: 2,
  HeldBodies: 3,
  Followed: 4,
  Failed: 5,
  Copied: 6,
  /** Only in a longer run. */
  TakenBack: 7,
  /** Came to their end without being kept; were read whole all the same. */
  Passed: 8,
  PassedWhole: 9,
} as const
export const COUNTERS = Object.keys(Counter).length

/** The byte at a place in a body: seeds and places far apart give others. */
export function bodyByte(seed: number, at: number): number {
  return (seed * 101 + at * 7 + (at >>> 8) * 13 + (at >>> 16) * 29 + ((seed >>> 8) ^ (at >>> 4))) & 0xff
}

/** @returns the first place at which the bytes are not those of the body from there on; -1: none */
export function firstForeign(seed: number, from: number, bytes: Uint8Array, length: number): number {
  for (let i = 0; i < length; i++) if (bytes[i] !== bodyByte(seed, from + i)) return from + i
  return -1
}
