/** Heads as bytes, see `stored-head.ts`: made of what an origin sends, of a stored one and its update, and checked. */
import { Fields } from '../message/fields.ts'
import { isFinalStatus } from '../message/head.ts'
import { parseHttpDate } from './http-date.ts'
import { valueIs } from './one-field.ts'
import { FIXED, HEAD_VERSION, NONE, REPRESENTATION, ROW, type StoredHead } from './stored-head.ts'
import { connectionNames, isStored, isUpdated } from './unstored-fields.ts'

/** Of names and values with what separates them; a response with a longer head is not stored. */
export const MAX_LINES_BYTES = 64 * 1024
export const MAX_STORED_FIELDS = 512
const MAX_NAME = 0xff
const MAX_VALUE = 0xffff
const COLON = 0x3a
const SP = 0x20
const CR = 0x0d
const LF = 0x0a

/**
 * What is not sent with a 304 (RFC 9110 §15.4.5): it describes the representation and guides no cache. `Last-Modified`
 * is one of them where there is an ETag.
 */
export const REPRESENTATION_FIELDS: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-md5',
  'content-range',
  'content-type',
  'content-digest',
  'repr-digest',
  'digest',
])

export interface Line {
  readonly name: string
  readonly value: string
}

/**
 * @param excluded names in lower case that must not be stored, besides those that never are
 * @param date when it arrived, as IMF-fixdate: the Date of a response that has none
 * @returns null: it is too large to be stored
 */
export function encodeHead(status: number, fields: Fields, excluded: readonly string[], date: string): Buffer | null {
  const without = [...connectionNames(fields), ...excluded]
  const lines: Line[] = []
  fields.forEach((name, value) => {
    // Of the whole a range has no meaning.
    if (isStored(name, without) && (name !== 'content-range' || status === 206)) lines.push({ name, value })
  })
  return encodeLines(status, lines, date)
}

/**
 * The head of a stored response after a newer one for the same representation: a 304, the response to a HEAD, or
 * another part of it (RFC 9111 §3.2). Its status stays.
 *
 * @returns null: it is too large to be stored
 */
export function updateHead(
  stored: StoredHead,
  newer: Fields,
  excluded: readonly string[],
  date: string,
): Buffer | null {
  const updating = updatingLines(newer, excluded)
  return encodeLines(stored.status, [...keptLines(stored, updating, excluded), ...updating], date)
}

/** What of a newer response takes the place of stored fields. */
export function updatingLines(newer: Fields, excluded: readonly string[]): readonly Line[] {
  const without = [...connectionNames(newer), ...excluded]
  const lines: Line[] = []
  newer.forEach((name, value) => {
    if (isUpdated(name, without)) lines.push({ name, value })
  })
  return lines
}

/** What of a stored head stays: a newer response without a Date is of now, and not of when the stored one was made. */
export function keptLines(stored: StoredHead, updating: readonly Line[], excluded: readonly string[]): Line[] {
  const replaced = new Set(updating.map(({ name }) => name)).add('date')
  const lines: Line[] = []
  stored.fields(new Fields()).forEach((name, value) => {
    if (!replaced.has(name) && isStored(name, excluded)) lines.push({ name, value })
  })
  return lines
}

/** @returns null: it is too large to be stored */
export function encodeLines(status: number, given: readonly Line[], date: string): Buffer | null {
  const lines = withDate(given, date)
  const count = lines.length
  if (count > MAX_STORED_FIELDS) return null
  let text = ''
  for (const { name, value } of lines) {
    if (name.length > MAX_NAME || value.length > MAX_VALUE) return null
    text += `${name}: ${value}\r\n`
    if (text.length > MAX_LINES_BYTES) return null
  }
  const size = text.length
  const at = FIXED + ROW * count
  const bytes = Buffer.allocUnsafe(at + size)
  bytes.fill(0, 0, at)
  bytes[0] = HEAD_VERSION
  bytes.writeUInt16LE(status, 2)
  bytes.writeUInt16LE(count, 4)
  for (const [offset, name] of INDEXED) bytes.writeUInt16LE(indexOf(lines, name), offset)
  bytes.writeUInt32LE(size, 16)
  writeTable(bytes, lines)
  bytes.latin1Write(text, at)
  return bytes
}

function writeTable(bytes: Buffer, lines: readonly Line[]): void {
  const hasEtag = lines.some(isEtag)
  let row = FIXED
  for (const { name, value } of lines) {
    bytes[row] = value.length & 0xff
    bytes[row + 1] = value.length >>> 8
    bytes[row + 2] = name.length
    if (REPRESENTATION_FIELDS.has(name) || (hasEtag && name === 'last-modified')) bytes[row + 3] = REPRESENTATION
    row += ROW
  }
}

const isEtag = ({ name }: Line): boolean => name === 'etag'

/** One Date that can be read, which all later caches reckon from: else when it arrived (RFC 9110 §6.6.1). */
function withDate(lines: readonly Line[], date: string): readonly Line[] {
  const first = indexOf(lines, 'date')
  if (first !== NONE && isReadableDate(lines[first]!.value, date)) return lines
  return [...lines.filter(({ name }) => name !== 'date'), { name: 'date', value: date }]
}

let readable: string | null = null

/** Many responses of one second have the same Date. @param now when it arrived */
export function isReadableDate(date: string, now: string): boolean {
  if (date === readable) return true
  if (Number.isNaN(parseHttpDate(date, parseHttpDate(now, 0)))) return false
  // What is read otherwise at another time, years of two digits, is not remembered.
  if (date.length === IMF_FIXDATE) readable = date
  return true
}

/** {@link isReadableDate} of a parsed field. */
export function isReadableField(fields: Fields, index: number, now: string): boolean {
  return (readable !== null && valueIs(fields, index, readable)) || isReadableDate(fields.valueAt(index), now)
}

/** Characters of `Sun, 06 Nov 1994 08:49:37 GMT`. */
const IMF_FIXDATE = 29

/** Fields of which the position is kept, and where. */
const INDEXED = [
  [6, 'etag'],
  [8, 'last-modified'],
  [10, 'date'],
  [12, 'content-range'],
] as const

/** Of the only field of this name: several contradict each other, and count as none. */
function indexOf(lines: readonly Line[], name: string): number {
  let found = NONE
  for (let i = 0; i < lines.length; i++)
    if (lines[i]!.name === name) {
      if (found !== NONE) return NONE
      found = i
    }
  return found
}

/**
 * Whether these bytes are a whole head of this version that may be sent: for what comes from outside the process. It
 * fills exactly `start` to `end`.
 */
export function isStoredHead(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < FIXED || bytes[start] !== HEAD_VERSION || bytes[start + 1] !== 0) return false
  if (!isFinalStatus(bytes.readUInt16LE(start + 2))) return false
  const count = bytes.readUInt16LE(start + 4)
  const size = bytes.readUInt32LE(start + 16)
  const table = start + FIXED
  if (count > MAX_STORED_FIELDS || size > MAX_LINES_BYTES || table + ROW * count + size !== end) return false
  let at = table + ROW * count
  const names: string[] = []
  for (let i = 0; i < count; i++) {
    const row = table + ROW * i
    const nameEnd = at + bytes[row + 2]!
    const valueEnd = nameEnd + 2 + bytes.readUInt16LE(row)
    if (valueEnd + 2 > end || !isLine(bytes, at, nameEnd, valueEnd)) return false
    const name = bytes.latin1Slice(at, nameEnd)
    if (!isStored(name, [])) return false
    names.push(name)
    at = valueEnd + 2
  }
  if (at !== end) return false
  const lines = names.map((name) => ({ name, value: '' }))
  return INDEXED.every(([offset, name]) => bytes.readUInt16LE(start + offset) === indexOf(lines, name))
}

/** RFC 9110 §5.1 in lower case, §5.5. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/

function isLine(bytes: Buffer, start: number, nameEnd: number, valueEnd: number): boolean {
  return (
    bytes[nameEnd] === COLON &&
    bytes[nameEnd + 1] === SP &&
    bytes[valueEnd] === CR &&
    bytes[valueEnd + 1] === LF &&
    NAME.test(bytes.latin1Slice(start, nameEnd)) &&
    VALUE.test(bytes.latin1Slice(nameEnd + 2, valueEnd))
  )
}
