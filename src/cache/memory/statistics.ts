/** What happens in the memory of the cache: cells of each worker, which it alone writes and anybody sums. */
import { type Layout, STATISTICS, workerWords } from './layout.ts'

export const Statistic = {
  /** Now: whole responses, vary records and keys that cannot be stored. */
  Entries: 0,
  /** Now, of records of all kinds, also those that wait to be freed. */
  UsedBytes: 1,
  /** Now: of entries that are gone and are still being read. */
  HeldBytes: 2,
  Stored: 3,
  /** Made room for others. */
  Evicted: 4,
  /** Removed, by a purge or because they are of no use any more. */
  Removed: 5,
  /** In place of an entry of the same key. */
  Replaced: 6,
  FailedFills: 7,
  /** Not stored: no room, also for what is longer than an entry may be. */
  NoRoom: 8,
  /** Not stored: the slots of the index in which it may stand are full. */
  NoSlot: 9,
  /** Neither stored nor waited for: claims of other keys, or as many fills as may be. */
  NoClaim: 10,
  /** Not held, since as many entries as may be are. */
  NoPin: 11,
  /** Taken from readers that were so slow that too much was held. */
  TakenBack: 12,
} as const
export type Statistic = (typeof Statistic)[keyof typeof Statistic]

export class MemoryStatistics {
  readonly #cells: Float64Array<SharedArrayBuffer>
  readonly #at: number

  constructor(buffer: SharedArrayBuffer, layout: Layout, worker: number) {
    this.#cells = new Float64Array(buffer)
    this.#at = (workerWords(layout, worker) + STATISTICS) / 2
  }

  add(statistic: Statistic, delta = 1): void {
    this.#cells[this.#at + statistic]! += delta
  }

  set(statistic: Statistic, value: number): void {
    this.#cells[this.#at + statistic] = value
  }

  get(statistic: Statistic): number {
    return this.#cells[this.#at + statistic]!
  }
}
