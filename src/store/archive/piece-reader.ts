/** Reads a part of a body, piece by piece, a little ahead of who takes it. */
import { ArchiveError, type ArchiveReader } from '../../cache/response-archive.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { PieceQueue } from './piece-queue.ts'
import type { PieceName, Records } from './records.ts'
import { openPiece, PIECE_BYTES, type RecordBody } from './sealed-record.ts'

/** Pieces of one body that are asked for at a time. */
const AHEAD = 2

export interface PieceSource {
  readonly records: Records
  readonly queue: PieceQueue
  readonly name: PieceName
  readonly key: Uint8Array
  readonly identity: Uint8Array
  readonly body: RecordBody
  /** The first one, which came with the record. */
  readonly first: Buffer
  /** Hears of a piece that is not there any more. */
  gone(): void
  /** Hears of a piece that was there and cannot be used. */
  foreign(): void
  read(bytes: number): void
}

export class PieceReader implements ArchiveReader {
  readonly #source: PieceSource
  readonly #to: number
  readonly #patience: Milliseconds
  #at: number
  /** Index of the next piece to be asked for. */
  #next: number
  #closed = false
  readonly #ahead: Promise<Buffer>[] = []

  constructor(source: PieceSource, from: number, to: number, patience: Milliseconds) {
    this.#source = source
    this.#patience = patience
    this.#to = Math.min(to, source.body.bytes)
    this.#at = Math.max(0, from)
    this.#next = Math.floor(this.#at / PIECE_BYTES)
  }

  async next(): Promise<Uint8Array | null> {
    if (this.#closed || this.#at >= this.#to) return null
    const index = Math.floor(this.#at / PIECE_BYTES)
    this.#ask()
    const piece = await this.#ahead.shift()!
    if (this.#closed) return null
    const begin = this.#at - index * PIECE_BYTES
    const end = Math.min(piece.length, this.#to - index * PIECE_BYTES)
    this.#at += end - begin
    this.#ask()
    return piece.subarray(begin, end)
  }

  close(): void {
    this.#closed = true
    this.#ahead.length = 0
  }

  #ask(): void {
    while (this.#ahead.length < AHEAD && this.#next * PIECE_BYTES < this.#to) {
      const piece = this.#piece(this.#next++)
      // Nobody may come for it.
      piece.catch(() => {})
      this.#ahead.push(piece)
    }
  }

  async #piece(index: number): Promise<Buffer> {
    const { records, queue, name, key, identity, body, first, gone, foreign, read } = this.#source
    if (index === 0) return first
    return await queue.read(
      name.owner,
      async () => {
        const sealed = await records.readPiece(name, index)
        if (sealed === null) {
          gone()
          throw new ArchiveError('a part of the body is gone')
        }
        const piece = openPiece(key, identity, body, index, sealed)
        if (piece === undefined) {
          foreign()
          throw new ArchiveError('a part of the body is not what was written')
        }
        read(piece.length)
        return piece
      },
      this.#patience,
      () => !this.#closed,
    )
  }
}
