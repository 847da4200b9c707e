/** The memory in which all workers count what limits allow. */
import type { Milliseconds } from '../lib/clock.ts'
import { LIMIT_SLOT_BYTES, LimitTable } from '../shared-memory/limit-table.ts'
import { NamedPlaces, type PlaceBuffers } from '../shared-memory/named-places.ts'
import { secretWords } from './secret-words.ts'

/** Of the memory limit of the process: 2.6 MB of 512 MiB, which are 65,536 keys. */
const SHARE = 0.005
const FEWEST = 2 ** 14
const MOST = 2 ** 20

export interface LimitMemory {
  /** For `new LimitTable(…)`. */
  readonly limits: SharedArrayBuffer
  /** For `new NamedPlaces(…)`. */
  readonly places: PlaceBuffers
}

/** @param now monotonic */
export function allocateLimits(memoryLimit: number, workers: number, now: Milliseconds): LimitMemory {
  return {
    limits: LimitTable.allocate(limitKeys(memoryLimit), secretWords(), now),
    places: NamedPlaces.allocate(workers),
  }
}

/** Keys that are counted at a time; a power of two. */
export function limitKeys(memoryLimit: number): number {
  const slots = 2 ** Math.floor(Math.log2((memoryLimit * SHARE) / LIMIT_SLOT_BYTES))
  return Math.min(Math.max(slots, FEWEST), MOST)
}
