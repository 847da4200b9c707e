/** Records of an archive in a map, for tests of what stands on them; replicas that share them are of one installation. */
import type { ArchiveFault } from '../../../src/cache/response-archive.ts'
import {
  type Commit,
  type FoundRecords,
  type PieceName,
  prefixOf,
  RecordFault,
  type Records,
} from '../../../src/store/archive/records.ts'

interface HeapStamp {
  readonly prefix: Uint8Array
  readonly gone: number
}

export class HeapRecords implements Records {
  readonly records = new Map<string, Uint8Array>()
  readonly pieces = new Map<string, Uint8Array>()
  readonly #gone = new Map<string, number>()
  /** Set: every call fails so. */
  fault: ArchiveFault | null = null
  lookups = 0
  commits = 0
  /** A piece that is asked for; false: it is gone. */
  hasPiece: (index: number) => boolean = () => true

  async find(_owner: string, root: string, variant: string | null): Promise<FoundRecords> {
    this.#check()
    this.lookups++
    const record = this.records.get(root) ?? null
    const stamp: HeapStamp = { prefix: prefixOf(record), gone: this.#gone.get(root) ?? 0 }
    return { stamp, root: record, variant: variant === null ? null : (this.records.get(`${root} ${variant}`) ?? null) }
  }

  async commit(_owner: string, { root, stamp, record, variant }: Commit): Promise<boolean> {
    this.#check()
    const { prefix, gone } = stamp as HeapStamp
    const there = this.records.get(root) ?? null
    if (gone !== (this.#gone.get(root) ?? 0) || Buffer.compare(prefixOf(there), prefix) !== 0) return false
    if (variant !== null) {
      const name = `${root} ${variant.name}`
      const former = prefixOf(this.records.get(name) ?? null)
      if (variant.expected !== undefined && Buffer.compare(former, variant.expected) !== 0) return false
      this.records.set(name, new Uint8Array(variant.record))
    }
    if (record !== null) this.records.set(root, new Uint8Array(record))
    this.commits++
    return true
  }

  async remove(_owner: string, root: string): Promise<void> {
    this.#check()
    this.records.delete(root)
    this.#gone.set(root, (this.#gone.get(root) ?? 0) + 1)
  }

  async hasPieces(pieces: PieceName, count: number): Promise<boolean> {
    this.#check()
    return Array.from({ length: count }, (_, i) => this.pieces.has(nameOf(pieces, i + 1))).every(Boolean)
  }

  async readPiece(pieces: PieceName, index: number): Promise<Uint8Array | null> {
    this.#check()
    return this.hasPiece(index) ? (this.pieces.get(nameOf(pieces, index)) ?? null) : null
  }

  async writePiece(pieces: PieceName, index: number, bytes: Buffer): Promise<void> {
    this.#check()
    this.pieces.set(nameOf(pieces, index), new Uint8Array(bytes))
  }

  dropPieces(pieces: PieceName, count: number): void {
    for (let i = 1; i <= count; i++) this.pieces.delete(nameOf(pieces, i))
  }

  #check(): void {
    if (this.fault !== null) throw new RecordFault(this.fault, 'a fault of the test')
  }
}

const nameOf = ({ root, token }: PieceName, index: number): string =>
  `${root} ${Buffer.from(token).toString('hex')} ${index}`
