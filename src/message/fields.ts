/**
 * The header or trailer fields of one message, as a codec leaves them: spans over bytes, plus edits. Nothing is copied
 * or turned into a string until a filter, the router or a writer asks for it, and a plain request asks for almost
 * nothing. Names given to the methods are in lower case.
 *
 * What surrounds the spans in the bytes is the codec's own: the message knows it by the {@link FieldLayout} alone.
 */

import { Buffer } from 'node:buffer'
import { isFieldName } from './field-name.ts'
import { isFieldValue, isPadded, withoutOws } from './field-value.ts'

/**
 * Names the form in which a codec keeps whole sections of fields in bytes. A writer that knows the layout copies runs
 * of them as they are; any other goes from field to field.
 */
export type FieldLayout = symbol

/**
 * The fields lie in their bytes as lines of HTTP/1.1, `name: value` and CRLF one behind the other (RFC 9112 §5). Not so
 * where white space around a value differs from one space before it: that is not part of the value and is not sent on
 * (§5.1).
 */
export const LINES: FieldLayout = Symbol('HTTP/1.1 field lines')

/** Four offsets a field: name start, name end, value start, value end (white space around the value already cut). */
const STRIDE = 4

const NO_BYTES = Buffer.alloc(0)

/** Fields of which it is known whether anybody has read them: a bit each. Those behind them count as read. */
const NOTED = 32
const ALL = -1

/**
 * The name that {@link Fields.removeLoosely} takes: some servers read `_` and `-` as one, others (lighttpd) all that is
 * neither letter nor digit.
 *
 * @param name in any case
 */
export function looseName(name: string): string {
  return /^[a-z0-9-]*$/.test(name) ? name : name.toLowerCase().replaceAll(/[^a-z0-9]/g, '-')
}

const HYPHEN = 0x2d

/** @param byte of a name, letters in lower case */
function isLetterOrDigit(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39)
}

export class Fields {
  #bytes: Buffer = NO_BYTES
  /** Spans of the parsed fields, {@link STRIDE} numbers each; only the first `count * 4` count. */
  #spans: number[] = []
  /** How many fields were parsed (removed ones included). */
  count = 0
  /** Offset behind the last byte that belongs to the parsed fields, in their layout. */
  end = 0
  /** Null where the bytes around the spans mean nothing. */
  layout: FieldLayout | null = null
  /** Nobody writes to the bytes any more: there is no need to {@link detach}. Set by a codec. */
  lasting = false
  /**
   * Whether a parsed field was taken out: its name's start is then stored as its complement, which costs no memory of
   * its own.
   */
  #touched = false
  /** Fields added by us: name, value, name, value … */
  #added: string[] | null = null
  /** Indexes of the parsed fields that no codec may put into a table. */
  #unindexed: number[] | null = null
  /** Bits of the first {@link NOTED} parsed fields: somebody has read the value. */
  #read = 0
  /** Likewise, by {@link allApart}. */
  #readApart = 0

  /** Forgets everything, to be used for the next message. @param bytes in which its fields will be */
  clear(bytes: Buffer = NO_BYTES): void {
    this.#bytes = bytes
    this.count = 0
    this.end = 0
    this.layout = null
    this.lasting = false
    this.#touched = false
    this.#added = null
    this.#unindexed = null
    this.#read = 0
    this.#readApart = 0
  }

  /** Copies the bytes, for whoever needs the fields after the buffer they were read into is used again. */
  detach(): void {
    if (this.lasting || this.count === 0) return
    const start = this.nameStart(0)
    const length = this.end - start
    const own = Buffer.allocUnsafe(length)
    this.#bytes.copy(own, 0, start, this.end)
    this.#bytes = own
    const spans = this.#spans
    for (let i = 0; i < this.count * STRIDE; i++) spans[i]! += spans[i]! < 0 ? start : -start
    this.end = length
    this.lasting = true
  }

  /** One with the same fields and bytes of its own, which is changed by itself. */
  copy(): Fields {
    const copy = new Fields()
    copy.#read = this.#read = ALL
    copy.#bytes = this.#bytes
    copy.#spans = this.#spans.slice(0, this.count * STRIDE)
    copy.count = this.count
    copy.end = this.end
    copy.layout = this.layout
    copy.#touched = this.#touched
    copy.#added = this.#added === null ? null : [...this.#added]
    copy.#unindexed = this.#unindexed === null ? null : [...this.#unindexed]
    copy.detach()
    return copy
  }

  /** What the spans are offsets in. Whoever has it counts as a reader of all values. */
  get bytes(): Buffer {
    this.#read = ALL
    return this.#bytes
  }

  /** The same, for one that looks at no other value than this. */
  bytesOf(index: number): Buffer {
    this.#read |= 1 << index
    return this.#bytes
  }

  /** The same, for a codec that takes a head as a whole: no value counts as read. */
  get unread(): Buffer {
    return this.#bytes
  }

  /**
   * Whether anybody can have got to know the value of parsed field `index` since {@link clear}, its length included:
   * each way to a value notes it. Where it is false, whatever was done with the message would have been done with any
   * other value.
   */
  wasRead(index: number): boolean {
    return index >= NOTED || (this.#read & (1 << index)) !== 0
  }

  /** Whether the value was read by {@link allApart}; false of those of which that is not noted. */
  wasReadApart(index: number): boolean {
    return index < NOTED && (this.#readApart & (1 << index)) !== 0
  }

  /** Called by a parser for each field, in order: no span begins before those of an earlier field. */
  push(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    const at = this.count++ * STRIDE
    const spans = this.#spans
    spans[at] = nameStart
    spans[at + 1] = nameEnd
    spans[at + 2] = valueStart
    spans[at + 3] = valueEnd
  }

  /** Moves the end of the last value, for a parser that has joined another one to it. */
  stretchLast(valueEnd: number): void {
    this.#spans[this.count * STRIDE - 1] = valueEnd
  }

  /** Called by a parser before it pushes a field that no codec may put into a table (RFC 7541 §6.2.3). */
  keepUnindexed(): void {
    if (this.#unindexed === null) this.#unindexed = [this.count]
    else this.#unindexed.push(this.count)
  }

  get someUnindexed(): boolean {
    return this.#unindexed !== null
  }

  isUnindexed(index: number): boolean {
    return this.#unindexed?.includes(index) === true
  }

  /** True while no parsed field was removed: a writer that knows the layout may copy all bytes as one run. */
  get untouched(): boolean {
    return !this.#touched
  }

  /** Fields added by us, flat: name, value, … */
  get added(): readonly string[] | null {
    return this.#added
  }

  isRemoved(index: number): boolean {
    return this.#spans[index * STRIDE]! < 0
  }

  /** Takes parsed field number `index` out of the message. */
  removeAt(index: number): void {
    const start = this.#spans[index * STRIDE]!
    if (start < 0) return
    this.#spans[index * STRIDE] = ~start
    this.#touched = true
  }

  /** Where the name of parsed field `index` begins, removed or not. */
  nameStart(index: number): number {
    const start = this.#spans[index * STRIDE]!
    return start < 0 ? ~start : start
  }

  nameEnd(index: number): number {
    return this.#spans[index * STRIDE + 1]!
  }

  valueStart(index: number): number {
    this.#read |= 1 << index
    return this.#spans[index * STRIDE + 2]!
  }

  valueEnd(index: number): number {
    this.#read |= 1 << index
    return this.#spans[index * STRIDE + 3]!
  }

  /** Bytes of the name of parsed field `index`: the cheapest way to rule most names out. */
  nameLength(index: number): number {
    return this.#spans[index * STRIDE + 1]! - this.nameStart(index)
  }

  /** The first character of the name of parsed field `index`, in lower case where it is a letter. */
  initialAt(index: number): number {
    return this.#bytes[this.nameStart(index)]! | 0x20
  }

  /** Whether parsed field `index` has this lower-case name. */
  nameIs(index: number, name: string): boolean {
    const start = this.nameStart(index)
    const length = name.length
    if (this.#spans[index * STRIDE + 1]! - start !== length) return false
    const bytes = this.#bytes
    for (let i = 0; i < length; i++) {
      let byte = bytes[start + i]!
      if (byte >= 0x41 && byte <= 0x5a) byte += 0x20
      if (byte !== name.charCodeAt(i)) return false
    }
    return true
  }

  /** As {@link nameIs}, where what is neither letter nor digit also stands for `-`: see {@link looseName}. */
  nameIsLoosely(index: number, name: string): boolean {
    return this.nameLength(index) === name.length && this.nameBeginsLoosely(index, name)
  }

  /**
   * Whether the name of parsed field `index` begins with these lower-case characters, what is neither letter nor digit
   * in the message also standing for `-`.
   */
  nameBeginsLoosely(index: number, prefix: string): boolean {
    const start = this.nameStart(index)
    const length = prefix.length
    if (this.nameLength(index) < length) return false
    const bytes = this.#bytes
    for (let i = 0; i < length; i++) {
      let byte = bytes[start + i]!
      if (byte >= 0x41 && byte <= 0x5a) byte += 0x20
      const wanted = prefix.charCodeAt(i)
      if (byte !== wanted && (wanted !== HYPHEN || isLetterOrDigit(byte))) return false
    }
    return true
  }

  /** Name of parsed field `index`, in lower case. */
  nameAt(index: number): string {
    return this.#bytes.latin1Slice(this.nameStart(index), this.nameEnd(index)).toLowerCase()
  }

  /** Value of parsed field `index`; bytes above 0x7f are kept as Latin-1 characters. */
  valueAt(index: number): string {
    return this.#bytes.latin1Slice(this.valueStart(index), this.valueEnd(index))
  }

  has(name: string): boolean {
    for (let i = 0; i < this.count; i++) if (this.nameIs(i, name) && !this.isRemoved(i)) return true
    const added = this.#added
    if (added !== null) for (let i = 0; i < added.length; i += 2) if (added[i] === name) return true
    return false
  }

  /** The first value, or undefined. */
  get(name: string): string | undefined {
    for (let i = 0; i < this.count; i++) if (this.nameIs(i, name) && !this.isRemoved(i)) return this.valueAt(i)
    const added = this.#added
    if (added !== null) for (let i = 0; i < added.length; i += 2) if (added[i] === name) return added[i + 1]
    return undefined
  }

  /** All values in order; several lines of one list-valued field are joined by `, ` (RFC 9110 §5.3). */
  joined(name: string): string | undefined {
    let all: string | undefined
    for (const value of this.all(name)) all = all === undefined ? value : `${all}, ${value}`
    return all
  }

  all(name: string): string[] {
    // Most have one value, for which a list that grows is too large.
    let values: string[] | null = null
    for (let i = 0; i < this.count; i++) {
      if (!this.nameIs(i, name) || this.isRemoved(i)) continue
      if (values === null) values = [this.valueAt(i)]
      else values.push(this.valueAt(i))
    }
    const added = this.#added
    if (added !== null)
      for (let i = 0; i < added.length; i += 2) if (added[i] === name) (values ??= []).push(added[i + 1] as string)
    return values ?? []
  }

  /**
   * As {@link all}, and apart from what {@link wasRead} says: for values that are read again of each request that is
   * not read as a whole. Whoever calls it has to be asked there.
   */
  allApart(name: string): string[] {
    const read = this.#read
    this.#read = 0
    const values = this.all(name)
    this.#readApart |= this.#read
    this.#read = read
    return values
  }

  /** Removes every field of this name. */
  remove(name: string): void {
    for (let i = 0; i < this.count; i++) if (this.nameIs(i, name)) this.removeAt(i)
    const added = this.#added
    if (added === null) return
    for (let i = added.length - 2; i >= 0; i -= 2) if (added[i] === name) added.splice(i, 2)
  }

  /**
   * Removes every field of this name in every spelling, see {@link looseName}.
   *
   * @param name in lower case, with hyphens only
   */
  removeLoosely(name: string): void {
    for (let i = 0; i < this.count; i++) if (this.nameIsLoosely(i, name)) this.removeAt(i)
    const added = this.#added
    if (added === null) return
    for (let i = added.length - 2; i >= 0; i -= 2) if (looseName(added[i]!) === name) added.splice(i, 2)
  }

  /**
   * As {@link removeLoosely}, for however many names at the cost of the fields that there are.
   *
   * @param names in lower case, with hyphens only
   */
  removeAllLoosely(names: ReadonlySet<string>): void {
    for (let i = 0; i < this.count; i++) if (names.has(looseName(this.nameAt(i)))) this.removeAt(i)
    const added = this.#added
    if (added === null) return
    for (let i = added.length - 2; i >= 0; i -= 2) if (names.has(looseName(added[i]!))) added.splice(i, 2)
  }

  /**
   * White space around the value is left out.
   * @throws {TypeError} when the name is none in lower case (RFC 9110 §5.1), or the value holds a byte that §5.5
   * forbids: CR, LF, NUL and other controls
   */
  add(name: string, value: string): void {
    if (!isFieldName(name)) throw new TypeError(`not a field name in lower case: ${JSON.stringify(name)}`)
    if (!isFieldValue(value)) throw new TypeError(`not a field value for ${name}: ${JSON.stringify(value)}`)
    const own = isPadded(value) ? withoutOws(value) : value
    if (this.#added === null) this.#added = [name, own]
    else this.#added.push(name, own)
  }

  /** The same for a name and a value that the gateway has made: nothing is checked. */
  addOwn(name: string, value: string): void {
    if (this.#added === null) this.#added = [name, value]
    else this.#added.push(name, value)
  }

  set(name: string, value: string): void {
    this.remove(name)
    this.add(name, value)
  }

  /** Every field that is to be sent, names in lower case. */
  forEach(visit: (name: string, value: string) => void): void {
    for (let i = 0; i < this.count; i++) if (!this.isRemoved(i)) visit(this.nameAt(i), this.valueAt(i))
    const added = this.#added
    if (added !== null) for (let i = 0; i < added.length; i += 2) visit(added[i] as string, added[i + 1] as string)
  }

  static from(pairs: Readonly<Record<string, string>>): Fields {
    const fields = new Fields()
    for (const [name, value] of Object.entries(pairs)) fields.add(name, value)
    return fields
  }
}
