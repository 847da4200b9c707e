/**
 * Heads of responses as they arrive, encoded as `stored-head.ts` has them without a string for any of their fields.
 * What is not as usual (a field that was added, several dates, one that cannot be read) is for `encode-head.ts`.
 */
import type { Fields } from '../message/fields.ts'
import {
  encodeHead,
  isReadableField,
  MAX_LINES_BYTES,
  MAX_STORED_FIELDS,
  REPRESENTATION_FIELDS,
} from './encode-head.ts'
import { FieldNumbers } from './field-numbers.ts'
import { PRESENCE } from './field-presence.ts'
import { FIXED, HEAD_VERSION, NONE, REPRESENTATION, ROW } from './stored-head.ts'
import { UNSTORED } from './unstored-fields.ts'

/** Of fields; 0: none of these. */
const [SKIPPED, ODD, ETAG, LAST_MODIFIED, DATE, DESCRIBES] = [1, 2, 3, 4, 5, 6]

const KINDS_BY_NAME = new Map([
  ...[...UNSTORED].map((name) => [name, SKIPPED!] as const),
  ...[...REPRESENTATION_FIELDS].map((name) => [name, DESCRIBES!] as const),
  // It names fields that are not stored; a range is stored of a part alone.
  ['connection', ODD!],
  ['content-range', ODD!],
  ['etag', ETAG!],
  ['last-modified', LAST_MODIFIED!],
  ['date', DATE!],
])
/** Above the bits of presence. */
const KIND_SHIFT = 16
const PRESENCE_MASK = (1 << KIND_SHIFT) - 1
const NUMBERS = new FieldNumbers(
  new Map(
    [...KINDS_BY_NAME.keys(), ...PRESENCE.keys()].map((name) => [
      name,
      ((KINDS_BY_NAME.get(name) ?? 0) << KIND_SHIFT) | (PRESENCE.get(name) ?? 0),
    ]),
  ),
)

/** As `encode-head.ts` has it, of a name and a value. */
const MAX_NAME = 0xff
const MAX_VALUE = 0xffff
/** Values up to here are copied byte by byte. */
const SHORT = 32

const SPACE = Buffer.alloc(FIXED + ROW * MAX_STORED_FIELDS + MAX_LINES_BYTES)
/** Of it, what was returned last: heads of one origin have few lengths. */
let view = SPACE
/** Of each field that was read, as far as there may be so many. */
const READ = new Int32Array(MAX_STORED_FIELDS)
const KINDS = new Uint8Array(MAX_STORED_FIELDS)
/** Of a byte of a name. */
const LOWER = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte))

/** Looks at all names once for who judges and for {@link encodeResponse}. @returns as `presenceIn` */
export function readHead(fields: Fields): number {
  return NUMBERS.in(fields, READ) & PRESENCE_MASK
}

/**
 * As {@link encodeHead}, of what was given to {@link readHead} last and has not been changed since.
 *
 * @returns valid until the next call; null: it is too large to be stored
 */
export function encodeResponse(
  status: number,
  fields: Fields,
  excluded: readonly string[],
  date: string,
): Buffer | null {
  const usual = excluded.length === 0 ? encodeReceived(status, fields, date) : null
  return usual ?? encodeHead(status, fields, excluded, date)
}

/**
 * Of what was given to {@link readHead} last, too.
 *
 * @param now when it arrived, as IMF-fixdate
 * @returns valid until the next call; null: it is not as usual
 */
export function encodeReceived(status: number, fields: Fields, now: string): Buffer | null {
  const { count } = fields
  if (fields.added !== null || count > MAX_STORED_FIELDS) return null
  let stored = 0
  let [etags, changes, dates] = [0, 0, 0]
  for (let i = 0; i < count; i++) {
    const kind = fields.isRemoved(i) ? SKIPPED! : READ[i]! >> KIND_SHIFT
    if (kind === ODD || fields.nameLength(i) > MAX_NAME) return null
    KINDS[i] = kind
    if (kind === SKIPPED) continue
    stored++
    if (kind === ETAG) etags++
    else if (kind === LAST_MODIFIED) changes++
    else if (kind === DATE) {
      dates++
      if (!isReadableField(fields, i, now)) return null
    }
  }
  if (dates !== 1) return null
  const table = FIXED + ROW * stored
  const end = writeLines(fields, table, etags > 0)
  if (end < 0) return null
  // Of what is fixed all others are written below.
  SPACE[1] = 0
  SPACE[0] = HEAD_VERSION
  put16(2, status)
  put16(4, stored)
  // Several of one name contradict each other, and count as none.
  put16(6, etags === 1 ? indexOf(ETAG!, count) : NONE)
  put16(8, changes === 1 ? indexOf(LAST_MODIFIED!, count) : NONE)
  put16(10, indexOf(DATE!, count))
  put16(12, NONE)
  const lines = end - table
  put16(16, lines)
  put16(18, lines >>> 16)
  if (view.length !== end) view = SPACE.subarray(0, end)
  return view
}

/** @returns behind the last one, -1: they are too long */
function writeLines(fields: Fields, start: number, hasEtag: boolean): number {
  const { bytes, count } = fields
  let at = start
  let row = FIXED
  for (let i = 0; i < count; i++) {
    const kind = KINDS[i]!
    if (kind === SKIPPED) continue
    const nameStart = fields.nameStart(i)
    const nameLength = fields.nameEnd(i) - nameStart
    const valueStart = fields.valueStart(i)
    const valueLength = fields.valueEnd(i) - valueStart
    if (valueLength > MAX_VALUE || at - start + nameLength + valueLength + 4 > MAX_LINES_BYTES) return -1
    const describes = kind === DESCRIBES || (kind === LAST_MODIFIED && hasEtag)
    SPACE[row] = valueLength & 0xff
    SPACE[row + 1] = valueLength >>> 8
    SPACE[row + 2] = nameLength
    SPACE[row + 3] = describes ? REPRESENTATION : 0
    row += ROW
    for (let from = nameStart; from < nameStart + nameLength; from++) SPACE[at++] = LOWER[bytes[from]!]!
    SPACE[at++] = 0x3a
    SPACE[at++] = 0x20
    if (valueLength > SHORT) {
      bytes.copy(SPACE, at, valueStart, valueStart + valueLength)
      at += valueLength
    } else for (let from = valueStart; from < valueStart + valueLength; from++) SPACE[at++] = bytes[from]!
    SPACE[at++] = 0x0d
    SPACE[at++] = 0x0a
  }
  return at
}

/** Among the stored ones. */
function indexOf(kind: number, count: number): number {
  let index = 0
  for (let i = 0; i < count; i++) {
    if (KINDS[i] === kind) return index
    if (KINDS[i] !== SKIPPED) index++
  }
  return NONE
}

function put16(at: number, value: number): void {
  SPACE[at] = value & 0xff
  SPACE[at + 1] = (value >>> 8) & 0xff
}
