/** What the stress test and its threads say to each other. */
import type { MessagePort } from 'node:worker_threads'
import type { EndpointBuffers } from '../../src/shared-memory/endpoint-table.ts'

export interface StressData {
  readonly seed: number
  readonly process: SharedArrayBuffer
  readonly endpoints: EndpointBuffers
  /** `SLOTS` × `LIMIT` tickets; the holder's index + 1. Whoever was admitted under the limit must find one. */
  readonly tickets: SharedArrayBuffer
  /** A ledger of one slot that takes one, and who has it. */
  readonly lone: SharedArrayBuffer
  readonly owners: SharedArrayBuffer
  /** A second identity table, into which all workers insert the same names at the same time. */
  readonly names: SharedArrayBuffer
  /** One cell: the name they are at. */
  readonly nextName: SharedArrayBuffer
  /** 0 for the control thread, 1 + index for a worker. */
  readonly thread: number
  readonly ports: readonly { readonly index: number; readonly port: MessagePort }[]
}

/** One endpoint as control tells it. */
export interface Told {
  readonly name: number
  readonly slot: number
}

export type ControlSays =
  | { readonly type: 'set'; readonly endpoints: readonly Told[] }
  | { readonly type: 'epoch'; readonly epoch: number }

export type MainSays =
  | { readonly type: 'port'; readonly index: number; readonly port: MessagePort }
  | { readonly type: 'gone'; readonly index: number }
  | { readonly type: 'finish' }

export type ThreadSays =
  | { readonly type: 'violation'; readonly what: string }
  | { readonly type: 'finished'; readonly rounds: number }

export const WORKERS = 3
export const SLOTS = 64
export const NAMES = 120
export const LIMIT = 2
/** Names that all workers insert into one table; less than it takes, so that none is ever refused. */
export const SHARED_NAMES = 50_000
export const SHARED_SLOTS = 65_536
/** So many names in a row want the same cell: where all workers are at once, each insertion is a fight for one word. */
const CROWD = 64

export function sharedDigest(name: number): bigint {
  return (BigInt(name + 1) << 32n) | BigInt(Math.floor(name / CROWD) * CROWD)
}

/** xorshift32: the same numbers for the same seed. */
export function random(seed: number): () => number {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
