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

/** What has become of a purge. */
export interface PurgeReach {
  /** All replicas that are known, this one too. */
  readonly members: readonly { readonly name: string; readonly acts: boolean }[]
  /** Whether those are all that may serve. */
  readonly complete: boolean
}

export interface PurgeStore {
  /** It tells records that it has taken when they act everywhere: they are not to be sent again. */
  readonly tellsLater?: boolean
  /**
   * Keeps records, each with its id, for all; they are told here, too.
   *
   * @returns rejects when that is not certain
   */
  append(records: readonly PurgeRecord[]): Promise<void>
  /** Resolves when every replica acts by the record, or when it is too late for that. */
  reach(id: number): Promise<PurgeReach>
  /** What people know other replicas by that were there lately, for when they cannot be asked for. */
  readonly others?: readonly string[]
  /** Who shares it, as people know them, where nobody lists pods; undefined: that cannot be known now. */
  sharers?(): Promise<readonly string[] | undefined>
  /** Resolves when the others know that this one is not there any more, or cannot be told. */
  stop(): Promise<void>
}

/** A pod of the installation. */
export interface ReplicaPod {
  /** `namespace/name` */
  readonly name: string
  readonly addresses: readonly string[]
  /** By their names in the Service that lists the pods. */
  readonly ports: ReadonlyMap<string, number>
  /** By its probe. One that is not may serve all the same: it drains, or it starts. */
  readonly ready: boolean
}

/** Who else there is, as far as somebody else than the replicas themselves says it. */
export interface OtherReplicas {
  /** What people know this one by; in a cluster as {@link ReplicaPod.name}. */
  readonly own: string
  /** Without this one; undefined: nobody lists them. */
  pods(): readonly ReplicaPod[] | undefined
  /** There may be others, and they cannot be listed (yet). */
  readonly unlisted?: boolean
  /** Whether the process of a pod has ended for certain. */
  hasEnded(pod: ReplicaPod): Promise<boolean>
}

/** Outside of a cluster nobody knows of others. */
export const aloneAs = (own: string): OtherReplicas => ({ own, pods: () => undefined, hasEnded: async () => false })
