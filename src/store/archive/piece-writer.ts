/** Writes the body of a response in sealed pieces, a few at a time. */
import type { ArchiveSource } from '../../cache/response-archive.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { PieceName, Records } from './records.ts'
import { PIECE_BYTES, piecesOf, type RecordBody, sealPiece } from './sealed-record.ts'

/** Pieces of one body that are written at a time. */
const WRITTEN_AHEAD = 4

export interface WrittenBody {
  readonly records: Records
  readonly name: PieceName
  /** Of the token. */
  readonly key: Uint8Array
  readonly identity: Uint8Array
  readonly body: RecordBody
  readonly source: ArchiveSource
  readonly ttl: Milliseconds
}

/**
 * @returns the sealed first piece, which goes into the record; undefined: the source is gone
 * @throws {RecordFault} rejects with it when nothing more is being written
 */
export async function writePieces(written: WrittenBody): Promise<Buffer | undefined> {
  const { records, name, key, identity, body, source, ttl } = written
  const plain = Buffer.allocUnsafe(Math.min(PIECE_BYTES, body.bytes))
  let gone = false
  const sealed = (index: number): Buffer | undefined => {
    const from = index * PIECE_BYTES
    const piece = plain.subarray(0, Math.min(PIECE_BYTES, body.bytes - from))
    gone ||= !source.copy(from, piece)
    return gone ? undefined : sealPiece(key, identity, body, index, piece)
  }
  const count = piecesOf(body.bytes)
  let next = 1
  let failed = false
  const write = async (): Promise<void> => {
    while (next <= count && !failed) {
      const index = next++
      const bytes = sealed(index)
      if (bytes === undefined) return
      try {
        await records.writePiece(name, index, bytes, ttl)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const results = await Promise.allSettled(Array.from({ length: Math.min(WRITTEN_AHEAD, count) }, write))
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return sealed(0)
}
