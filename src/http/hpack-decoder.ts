/**
 * Decodes field blocks (RFC 7541) into field lines of HTTP/1.1: one buffer for a section, spans over it, and no object
 * or string for a field. Both tables hold their entries as such lines, already validated, so that an indexed field is
 * one copy.
 *
 * A section that is malformed or too large is read to its end, because the dynamic table must follow the peer's; one
 * that is many times too large is given up, and its connection with it.
 */
import type { HeadLimits } from '../message/head.ts'
import type { HeaderSection, SectionKind } from './header-section.ts'
import { BlockMemo } from './hpack-memo.ts'
import { isPseudo, isValueOf, kindOfName, type NameKind } from './hpack-names.ts'
import { BlockReader, copyBytes } from './hpack-reader.ts'
import { FIRST_DYNAMIC, STATIC_ENTRIES } from './hpack-static-table.ts'
import { DynamicTable, ENTRY_OVERHEAD } from './hpack-table.ts'
import { decodedBound } from './huffman.ts'
import { DECODED, type Decoding, SectionBuilder, UNDECODABLE } from './section-builder.ts'

/** SETTINGS_HEADER_TABLE_SIZE before any settings (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_SIZE = 4096

const CR = 0x0d
const LF = 0x0a
const COLON = 0x3a
const SP = 0x20
/** Bytes of a line besides name and value: colon, space, CRLF. */
const LINE_OVERHEAD = 4

/** The tag of an entry: bytes of its name, kind of its name, whether its value is not allowed. */
const KIND_SHIFT = 20
const NAME_LENGTH = (1 << KIND_SHIFT) - 1
const KIND = 0x0f
const BAD_VALUE = 1 << 24

/** Entries of the static table as lines. */
const STATIC_BYTES = Buffer.from(STATIC_ENTRIES.map(([name, value]) => `${name}: ${value}\r\n`).join(''), 'latin1')
const STATIC_STARTS: number[] = [0, 0]
const STATIC_TAGS: number[] = [0]
for (const [name, value] of STATIC_ENTRIES) {
  const start = STATIC_STARTS.at(-1)!
  STATIC_TAGS.push(name.length | (kindOfName(STATIC_BYTES, start, start + name.length) << KIND_SHIFT))
  STATIC_STARTS.push(start + name.length + value.length + LINE_OVERHEAD)
}

export class HpackDecoder {
  readonly #table: DynamicTable
  /** What the peer may choose as the size of its table. */
  #allowed: number
  /** The peer must choose a smaller size first (RFC 7541 §4.2). */
  #mustShrink = false
  /** Values of pseudo-header fields in the dynamic table, by the entry's number modulo the length. */
  #texts: string[] = []
  readonly #memo = new BlockMemo()
  readonly #reader = new BlockReader()
  readonly #builder = new SectionBuilder()
  /** Kind of the name that was read last. */
  #kind: NameKind = 0
  #fault = ''

  constructor(tableSize = DEFAULT_TABLE_SIZE) {
    this.#table = new DynamicTable(tableSize)
    this.#allowed = tableSize
  }

  /** Size of the dynamic table as entries are counted. */
  get tableSize(): number {
    return this.#table.size
  }

  /** The peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE. @param size below a MiB */
  allowTableSize(size: number): void {
    this.#allowed = size
    this.#table.raiseLimit(size)
    this.#mustShrink = this.#table.maxSize > size
    this.#memo.forget()
  }

  /**
   * @param bytes from `start` to `end` a complete field block, of all its frames
   * @param section filled in; valid where the result is `DECODED`
   */
  decode(
    bytes: Buffer,
    start: number,
    end: number,
    kind: SectionKind,
    limits: HeadLimits,
    section: HeaderSection,
  ): Decoding {
    const { next } = this.#table
    section.clear()
    const memo = this.#memo
    if (memo.recall(bytes, start, end, kind, limits, section)) return DECODED
    const builder = this.#builder
    const reader = this.#reader
    builder.begin(kind, limits, section, decodedBound(end - start) + LINE_OVERHEAD)
    reader.open(bytes, start, end)
    let decodable = true
    while (decodable && !reader.done) decodable = this.#representation(reader) && !builder.excessive
    reader.close()
    if (!decodable) {
      section.excessive = builder.excessive
      section.fault = section.excessive ? 'a section many times over its limit' : this.#fault
      return UNDECODABLE
    }
    const result = builder.finish()
    if (result === DECODED && this.#table.next === next) memo.remember(bytes, start, end, kind, limits, section)
    return result
  }

  /** Takes the next representation (RFC 7541 §6). @returns false when the block cannot be decoded */
  #representation(reader: BlockReader): boolean {
    const byte = reader.next
    if ((byte & 0xe0) === 0x20) return this.#resize(reader)
    if (this.#mustShrink) return this.#undecodable('no update of the table size where one is due')
    if (byte >= 0x80) return this.#indexed(reader)
    return byte >= 0x40 ? this.#literal(reader, 0x3f, true, false) : this.#literal(reader, 0x0f, false, byte >= 0x10)
  }

  #indexed(reader: BlockReader): boolean {
    const index = reader.integer(0x7f)
    if (index < 0) return this.#undecodable(BAD_INTEGER)
    if (index < FIRST_DYNAMIC) {
      if (index === 0) return this.#undecodable(NO_ENTRY)
      const start = STATIC_STARTS[index]!
      const length = STATIC_STARTS[index + 1]! - start
      this.#entry(STATIC_BYTES, start, length, STATIC_TAGS[index]!, STATIC_ENTRIES[index - 1]![1])
      return true
    }
    const table = this.#table
    const id = table.next - 1 - (index - FIRST_DYNAMIC)
    if (!table.has(id)) return this.#undecodable(NO_ENTRY)
    const texts = this.#texts
    const text = texts.length > 0 ? texts[id % texts.length]! : ''
    this.#entry(table.bytes, table.start(id), table.length(id), table.tag(id), text)
    return true
  }

  /** @param text its value where it is a pseudo-header field */
  #entry(source: Buffer, start: number, length: number, tag: number, text: string): void {
    const builder = this.#builder
    if (!builder.admit(length - LINE_OVERHEAD)) return
    const kind = (tag >> KIND_SHIFT) & KIND
    const allowed = (tag & BAD_VALUE) === 0
    if (isPseudo(kind)) return builder.pseudo(kind, allowed, text)
    const line = builder.position
    copyBytes(source, start, start + length, builder.out, line)
    builder.regular(kind, tag & NAME_LENGTH, line + length - 2, allowed, false)
  }

  /**
   * @param mask of the index
   * @param indexing the field becomes an entry of the dynamic table
   * @param never nobody who passes it on may index it (RFC 7541 §6.2.3)
   */
  #literal(reader: BlockReader, mask: number, indexing: boolean, never: boolean): boolean {
    const index = reader.integer(mask)
    if (index < 0) return this.#undecodable(BAD_INTEGER)
    const builder = this.#builder
    const { out, position: line } = builder
    const nameEnd = index === 0 ? this.#newName(reader, line) : this.#indexedName(index, line)
    if (nameEnd < 0) return this.#undecodable(index === 0 ? BAD_STRING : NO_ENTRY)
    out[nameEnd] = COLON
    out[nameEnd + 1] = SP
    const valueStart = nameEnd + 2
    const valueEnd = reader.string(out, valueStart)
    if (valueEnd < 0) return this.#undecodable(BAD_STRING)
    out[valueEnd] = CR
    out[valueEnd + 1] = LF
    const kind = this.#kind
    const allowed = isValueOf(kind, out, valueStart, valueEnd)
    const nameLength = nameEnd - line
    const text = isPseudo(kind) ? out.latin1Slice(valueStart, valueEnd) : ''
    if (indexing) this.#insert(line, valueEnd + 2, nameLength, allowed, text)
    if (!builder.admit(nameLength + valueEnd - valueStart)) return true
    if (isPseudo(kind)) builder.pseudo(kind, allowed, text)
    else builder.regular(kind, nameLength, valueEnd, allowed, never)
    return true
  }

  /** @returns the offset behind the name, -1 where there is none */
  #newName(reader: BlockReader, to: number): number {
    const { out } = this.#builder
    const end = reader.string(out, to)
    if (end >= 0) this.#kind = kindOfName(out, to, end)
    return end
  }

  /** Copies the name of an entry. @returns the offset behind it, -1: there is no such entry */
  #indexedName(index: number, to: number): number {
    let source: Buffer = STATIC_BYTES
    let start: number
    let tag: number
    if (index < FIRST_DYNAMIC) {
      start = STATIC_STARTS[index]!
      tag = STATIC_TAGS[index]!
    } else {
      const table = this.#table
      const id = table.next - 1 - (index - FIRST_DYNAMIC)
      if (!table.has(id)) return -1
      source = table.bytes
      start = table.start(id)
      tag = table.tag(id)
    }
    this.#kind = (tag >> KIND_SHIFT) & KIND
    const length = tag & NAME_LENGTH
    copyBytes(source, start, start + length, this.#builder.out, to)
    return to + length
  }

  #insert(line: number, lineEnd: number, nameLength: number, allowed: boolean, text: string): void {
    const table = this.#table
    const kind = this.#kind
    const tag = nameLength | (kind << KIND_SHIFT) | (allowed ? 0 : BAD_VALUE)
    const size = lineEnd - line - LINE_OVERHEAD + ENTRY_OVERHEAD
    const id = table.insert(this.#builder.out, line, lineEnd, size, tag)
    // Whatever it is, and even where nothing stays of it: other entries may be gone.
    this.#memo.forget()
    if (id < 0 || !isPseudo(kind)) return
    const slots = Math.floor(table.limit / ENTRY_OVERHEAD) + 1
    if (this.#texts.length !== slots) this.#texts = this.#movedTexts(slots)
    this.#texts[id % slots] = text
  }

  #movedTexts(slots: number): string[] {
    const texts: string[] = new Array(slots).fill('')
    const table = this.#table
    const old = this.#texts
    if (old.length > 0)
      for (let id = table.next - table.count; id < table.next; id++) texts[id % slots] = old[id % old.length]!
    return texts
  }

  /** RFC 7541 §4.2, §6.3. */
  #resize(reader: BlockReader): boolean {
    const size = reader.integer(0x1f)
    if (size < 0) return this.#undecodable(BAD_INTEGER)
    if (!this.#builder.empty) return this.#undecodable('an update of the table size behind a field')
    if (size > this.#allowed) return this.#undecodable('a table size above the one that is allowed')
    this.#table.resize(size)
    this.#mustShrink = false
    this.#memo.forget()
    return true
  }

  #undecodable(fault: string): false {
    this.#fault = fault
    return false
  }
}

const BAD_INTEGER = 'an integer that is cut off or too large'
const BAD_STRING = 'a string that is cut off or not in the Huffman code'
const NO_ENTRY = 'an index without an entry'
