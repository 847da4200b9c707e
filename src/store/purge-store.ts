/**
 * Where purges are kept beyond this process: a list of records, each with its place, which all replicas read, and which
 * outlives all of them. It is one *history*, with an identity; where records of it were lost, it is another one.
 */
import type { PurgeRecord } from '../cache/purge-record.ts'

export interface PurgeStoreEvents {
  /**
   * The history is this one, and records behind the place are going to be told.
   *
   * @param missed what this process knew before is of another history, or it lacks records between the place it has
   *   told last and this one
   */
  began(history: number, floor: number, missed: boolean): void
  /** The next record, in the order of their places. */
  told(record: PurgeRecord): void
  /** Its state, for people; undefined: it is well. */
  failure(message: string | undefined): void
}

/** What has become of a purge in other replicas. */
export interface PurgeReach {
  /** All that are there. */
  readonly replicas: number
  /** Those that act by it. */
  readonly reached: number
}

export interface PurgeStore {
  /**
   * Keeps records, each with its id, for all; they are told here, too.
   *
   * @returns rejects when that is not certain
   */
  append(records: readonly PurgeRecord[]): Promise<void>
  /** Resolves when every replica acts by the record, or when it is too late for that. */
  reach(id: number): Promise<PurgeReach>
  stop(): void
}
