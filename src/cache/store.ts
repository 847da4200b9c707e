/** Bytes by key for a time: cached responses, decisions of external services, sessions. */
import type { Milliseconds } from '../lib/clock.ts'

/** Whose keys: two scopes never see each other's. */
export interface StoreScope {
  /** Whom the bytes are counted to, a namespace: no owner takes the room of the others. */
  readonly owner: string
  /** What uses it, such as `cache`. */
  readonly name: string
}

export interface Store {
  /** Longer values are not kept. */
  readonly maxValueBytes: number

  /**
   * The bytes, which nobody may change; undefined when there are none or their time is over.
   *
   * @throws rejects with the reason of the signal once that fires, and when the store cannot be reached
   */
  get(key: string, signal?: AbortSignal): Promise<Uint8Array | undefined>

  /**
   * Keeps a copy for at most so long, in place of what was there: a store may forget sooner.
   *
   * @param ttl from 0; at 0 nothing is kept
   * @returns false: it is not kept, and neither is what was there before
   */
  set(key: string, value: Uint8Array, ttl: Milliseconds, signal?: AbortSignal): Promise<boolean>

  /** Without effect where there is nothing. */
  delete(key: string, signal?: AbortSignal): Promise<void>
}

export interface Stores {
  /** The same scope opens the same keys, so that they outlive the filter that has made them. */
  open(scope: StoreScope): Store
}
