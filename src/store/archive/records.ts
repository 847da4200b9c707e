/**
 * What keeps the records of an archive: it knows names and bytes, and neither keys nor responses. A record stands
 * under its root, or under a name beside it (a variant); bodies longer than one piece lie in pieces beside it.
 */
import type { ArchiveFault } from '../../cache/response-archive.ts'
import type { Milliseconds } from '../../lib/clock.ts'

/**
 * Bytes at the beginning of a record: format, kind, 16 of its token, and how many pieces lie beside it (32 bits, the
 * highest first). They say which record it is; by them a change sees whether another one came before it.
 */
export const PREFIX_BYTES = 22
export const TOKEN_AT = 2
export const TOKEN_BYTES = 16
export const PIECES_AT = TOKEN_AT + TOKEN_BYTES

/** What was there at one moment; only the records that made it can read it. */
export type Stamp = object

export interface FoundRecords {
  readonly stamp: Stamp
  readonly root: Uint8Array | null
  /** Null also where none was asked for. */
  readonly variant: Uint8Array | null
}

export interface Commit {
  readonly root: string
  /** As {@link Records.find} returned it: nothing else was put or removed since, or this has no effect. */
  readonly stamp: Stamp
  /** Null: what is there stays, for as long as this one at least. */
  readonly record: Uint8Array | null
  readonly variant: {
    readonly name: string
    readonly record: Uint8Array
    /** Its prefix as it was found, empty where there was none; undefined: whatever is there. */
    readonly expected: Uint8Array | undefined
  } | null
  readonly ttl: Milliseconds
}

export interface PieceName {
  readonly owner: string
  readonly root: string
  readonly token: Uint8Array
}

/** All calls reject with a {@link RecordFault}, within a time of their own; those of `find` within the deadline. */
export interface Records {
  find(owner: string, root: string, variant: string | null): Promise<FoundRecords>
  /** @returns false: something else came before */
  commit(owner: string, commit: Commit): Promise<boolean>
  /** With it go all stamps up to now. */
  remove(owner: string, root: string): Promise<void>
  /** Whether all of them are there; they stay for as long as their record does. */
  hasPieces(pieces: PieceName, count: number): Promise<boolean>
  /** @param index from 1: the first piece is in the record itself @returns null where there is none */
  readPiece(pieces: PieceName, index: number): Promise<Uint8Array | null>
  /** In order, or up to a few at a time; they count with the commit of a record that has their token. */
  writePiece(pieces: PieceName, index: number, bytes: Buffer, ttl: Milliseconds): Promise<void>
  /** There will be no record with this token. Never rejects, and nobody waits for it. */
  dropPieces(pieces: PieceName, count: number): void
}

export class RecordFault extends Error {
  override readonly name = 'RecordFault'
  readonly reason: ArchiveFault | 'refused'

  /** @param reason `refused`: there is no room for what is written */
  constructor(reason: ArchiveFault | 'refused', message: string) {
    super(message)
    this.reason = reason
  }
}

/** @returns the prefix of a record, of whatever is there */
export function prefixOf(record: Uint8Array | null): Uint8Array {
  return record === null ? new Uint8Array(0) : record.slice(0, PREFIX_BYTES)
}
