/** What workers ask the thread that has the files of the archive, and what it answers. */
import type { ArchiveFault } from '../../cache/response-archive.ts'
import type { Milliseconds } from '../../lib/clock.ts'

export type FileCall =
  | { readonly call: 'find'; readonly owner: string; readonly root: string; readonly variant: string | null }
  | {
      readonly call: 'commit'
      readonly owner: string
      readonly root: string
      readonly stamp: FileStamp
      readonly record: Uint8Array | null
      readonly variant: {
        readonly name: string
        readonly record: Uint8Array
        readonly expected: Uint8Array | undefined
      } | null
      readonly ttl: Milliseconds
    }
  | { readonly call: 'remove'; readonly owner: string; readonly root: string }
  | ({ readonly call: 'has-pieces'; readonly count: number } & Pieces)
  | ({ readonly call: 'read-piece'; readonly index: number } & Pieces)
  | ({
      readonly call: 'write-piece'
      readonly index: number
      readonly bytes: Uint8Array
      readonly ttl: Milliseconds
    } & Pieces)
  | ({ readonly call: 'drop-pieces' } & Pieces)

interface Pieces {
  readonly owner: string
  readonly root: string
  readonly token: Uint8Array
}

/** See `Stamp`. */
export interface FileStamp {
  /** Of the record that was there, empty where there was none. */
  readonly prefix: Uint8Array
  /** Number of the removal before it. */
  readonly gone: number
  /** Of the thread: what another one knew of removals is not known any more. */
  readonly life: string
}

export interface FileFound {
  readonly stamp: FileStamp
  readonly root: Uint8Array | null
  readonly variant: Uint8Array | null
}

/** From a worker to the thread. */
export interface FileRequest {
  readonly id: number
  /** Behind it nobody waits for the reply; monotonic, which all threads have in common. */
  readonly until: Milliseconds
  readonly call: FileCall
}

/** From the thread to a worker. */
export type FileReply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: ArchiveFault | 'refused'; readonly message: string }
