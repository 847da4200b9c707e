/**
 * Encodes sections of fields (RFC 7541) right into the buffer that is sent. Values that repeat are taken from the
 * dynamic table; others are written as they are: what the Huffman code saves in bytes it costs in time, on both sides.
 *
 * Blocks are to be sent in the order in which they are encoded, and every block that was begun is to be sent.
 */
import type { FieldBlock } from '../message/field-block.ts'
import type { Fields } from '../message/fields.ts'
import { HPACK_BLOCK } from './hpack-block.ts'
import { INDEXED, type KnownName, knownName, knownNameIn, lower, NEVER_INDEXED, UNSENT } from './hpack-policy.ts'
import { copyBytes } from './hpack-reader.ts'
import { FIRST_DYNAMIC } from './hpack-static-table.ts'
import { hashOf, MAX_INDEXED_VALUE, ValueIndex } from './hpack-value-index.ts'
import {
  INDEX,
  LITERAL_OVERHEAD,
  NEVER,
  SIZE_UPDATE,
  WITH_INDEXING,
  WITHOUT_INDEXING,
  writeInteger,
  writeNameIndex,
  writeString,
  writeText,
} from './hpack-writer.ts'

/** SETTINGS_HEADER_TABLE_SIZE before any settings; a larger table is not used, whatever the peer offers. */
const TABLE_SIZE = 4096
/** Bytes of the updates at the beginning of a block. */
export const BLOCK_OVERHEAD = 8

const STATUS = knownName(':status')!
const STATUS_INDEXES: ReadonlyMap<number, number> = new Map(
  STATUS.entries.map(([value, index]) => [Number(value), index]),
)
/** Values that are given as text and looked up as bytes. */
const VALUE = Buffer.allocUnsafeSlow(MAX_INDEXED_VALUE)

/** Bytes that the fields take at most. */
export function encodedBound(fields: Fields): number {
  const { count, added } = fields
  let bound = count === 0 ? 0 : fields.end - fields.nameStart(0) + count * LITERAL_OVERHEAD
  if (added !== null)
    for (let i = 0; i < added.length; i += 2) bound += added[i]!.length + added[i + 1]!.length + LITERAL_OVERHEAD
  return bound
}

/** Bytes that the block takes at most. */
export function encodedBlockBound({ pairs }: FieldBlock): number {
  let bound = 0
  for (let i = 0; i < pairs.length; i += 2) bound += pairs[i]!.length + pairs[i + 1]!.length + LITERAL_OVERHEAD
  return bound
}

export class HpackEncoder {
  readonly #index = new ValueIndex(TABLE_SIZE)
  /** The smallest and the latest size of the table since the last block; -1: no change. */
  #smallest = -1
  #latest = TABLE_SIZE
  /** The authority that was sent last, and its entry. */
  #authority = ''
  #authorityId = -1

  /** The peer's SETTINGS_HEADER_TABLE_SIZE: announced in the next block, as the smallest one before it (§4.2). */
  allowTableSize(size: number): void {
    const latest = Math.min(size, TABLE_SIZE)
    if (latest === this.#latest) return
    this.#latest = latest
    this.#smallest = this.#smallest < 0 ? latest : Math.min(this.#smallest, latest)
    this.#index.table.resize(latest)
  }

  /** Begins a block; up to {@link BLOCK_OVERHEAD} bytes. */
  begin(out: Buffer, to: number): number {
    if (this.#smallest < 0) return to
    let at = to
    if (this.#smallest < this.#latest) at = writeInteger(out, at, SIZE_UPDATE, 0x1f, this.#smallest)
    this.#smallest = -1
    return writeInteger(out, at, SIZE_UPDATE, 0x1f, this.#latest)
  }

  /** `:status`. */
  status(out: Buffer, to: number, status: number): number {
    const index = STATUS_INDEXES.get(status)
    if (index !== undefined) {
      out[to] = INDEX | index
      return to + 1
    }
    let at = writeNameIndex(out, to, WITHOUT_INDEXING, STATUS.index)
    out[at++] = 3
    out[at++] = 0x30 + Math.floor(status / 100)
    out[at++] = 0x30 + (Math.floor(status / 10) % 10)
    out[at++] = 0x30 + (status % 10)
    return at
  }

  authority(out: Buffer, to: number, value: string): number {
    const { table } = this.#index
    if (value === this.#authority && table.has(this.#authorityId))
      return writeInteger(out, to, INDEX, 0x7f, table.next - 1 - this.#authorityId + FIRST_DYNAMIC)
    const at = this.field(out, to, ':authority', value)
    // An entry is the newest when it was added now.
    const isEntry = out[to]! >= WITH_INDEXING && out[to]! < INDEX
    this.#authority = value
    this.#authorityId = isEntry ? table.next - 1 : -1
    return at
  }

  /** @param name in lower case, a pseudo-header field too */
  field(out: Buffer, to: number, name: string, value: string): number {
    const known = knownName(name)
    if (known === undefined)
      return writeText(out, writeText(out, writeNameIndex(out, to, WITHOUT_INDEXING, 0), name), value)
    const { policy, entries } = known
    if (policy === UNSENT) return to
    for (let i = 0; i < entries.length; i++)
      if (entries[i]![0] === value) return writeInteger(out, to, INDEX, 0x7f, entries[i]![1])
    if (policy === INDEXED && value.length <= MAX_INDEXED_VALUE) {
      const end = VALUE.latin1Write(value, 0)
      return this.#lookUp(out, to, known, hashOf(known, VALUE, 0, end), VALUE, 0, end)
    }
    const at = writeKnownName(out, to, policy === NEVER_INDEXED ? NEVER : WITHOUT_INDEXING, known)
    return writeText(out, at, value)
  }

  /** All fields that are to be sent. */
  fields(out: Buffer, to: number, fields: Fields): number {
    const { count, bytes, added } = fields
    const { someUnindexed } = fields
    let at = to
    for (let i = 0; i < count; i++) {
      if (fields.isRemoved(i)) continue
      const start = fields.nameStart(i)
      const end = fields.nameEnd(i)
      const known = knownNameIn(bytes, start, end)
      const never = someUnindexed && fields.isUnindexed(i)
      if (known === undefined) {
        at = writeInteger(out, writeNameIndex(out, at, never ? NEVER : WITHOUT_INDEXING, 0), 0, 0x7f, end - start)
        for (let from = start; from < end; from++) out[at++] = lower(bytes[from]!)
        at = writeString(out, at, bytes, fields.valueStart(i), fields.valueEnd(i))
      } else at = this.#known(out, at, known, never, bytes, fields.valueStart(i), fields.valueEnd(i))
    }
    if (added !== null) for (let i = 0; i < added.length; i += 2) at = this.field(out, at, added[i]!, added[i + 1]!)
    return at
  }

  block(out: Buffer, to: number, block: FieldBlock): number {
    const image = block.image(HPACK_BLOCK)
    let at = to
    for (let i = 0; i < image.length; i++) {
      const part = image[i]!
      if (part instanceof Uint8Array) {
        copyBytes(part, 0, part.length, out, at)
        at += part.length
      } else at = this.#lookUp(out, at, part.known, part.hash, part.value, 0, part.value.length)
    }
    return at
  }

  #known(out: Buffer, to: number, known: KnownName, never: boolean, bytes: Buffer, start: number, end: number): number {
    const { policy, entries } = known
    if (policy === UNSENT) return to
    if (!never && policy !== NEVER_INDEXED) {
      for (let i = 0; i < entries.length; i++)
        if (isText(bytes, start, end, entries[i]![0])) return writeInteger(out, to, INDEX, 0x7f, entries[i]![1])
      if (policy === INDEXED && end - start <= MAX_INDEXED_VALUE)
        return this.#lookUp(out, to, known, hashOf(known, bytes, start, end), bytes, start, end)
    }
    const representation = never || policy === NEVER_INDEXED ? NEVER : WITHOUT_INDEXING
    return writeString(out, writeKnownName(out, to, representation, known), bytes, start, end)
  }

  /** A field that the dynamic table has, or gets once its value has come before. */
  #lookUp(out: Buffer, to: number, known: KnownName, hash: number, bytes: Buffer, start: number, end: number): number {
    const index = this.#index
    const distance = index.find(known, hash, bytes, start, end)
    if (distance >= 0) return writeInteger(out, to, INDEX, 0x7f, distance + FIRST_DYNAMIC)
    const added = index.repeated && index.add(known, hash, bytes, start, end)
    const at = writeKnownName(out, to, added ? WITH_INDEXING : WITHOUT_INDEXING, known)
    return writeString(out, at, bytes, start, end)
  }
}

function writeKnownName(out: Buffer, to: number, representation: number, known: KnownName): number {
  const at = writeNameIndex(out, to, representation, known.index)
  return known.index > 0 ? at : writeText(out, at, known.name)
}

function isText(bytes: Buffer, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}
