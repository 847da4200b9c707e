/**
 * The head of a response as it stands in an archive: what the memory keeps beside the body, and how far it had been
 * judged by purges. Written from an entry of the memory, read into what a fill takes. Little-endian:
 *
 * ```
 * version 1 · of the numbers 1 · 0 2 · labels 4 │ numbers 56 · history 8 · position 8 · labels · stored head
 * ```
 */
import { NUMBERS_BYTES, NUMBERS_VERSION } from './cache-numbers.ts'
import { isStoredHead } from './encode-head.ts'
import { MAX_LABELS, namespaceOf } from './purge-labels.ts'
import type { EntryBytes } from './response-memory.ts'

const VERSION = 1
const COUNT_AT = 4
const NUMBERS_AT = 8
const HISTORY_AT = NUMBERS_AT + NUMBERS_BYTES
const POSITION_AT = HISTORY_AT + 8
const LABELS_AT = POSITION_AT + 8
const LABEL_BYTES = 8

/** Where in the history of purges an object was fetched, or judged last. */
export interface PurgePlace {
  readonly history: number
  readonly position: number
}

export interface ArchivedResponse {
  /** NUMBERS_BYTES of them, at a multiple of eight. */
  readonly numbers: Uint8Array
  readonly labels: Float64Array
  readonly place: PurgePlace
  readonly head: Buffer
}

export type ArchivedEntry = Pick<
  EntryBytes,
  'bytes' | 'headAt' | 'headBytes' | 'numbersAt' | 'subjectAt' | 'subjectBytes'
>

/** A copy; the entry may be left or released then. */
export function encodeArchived(entry: ArchivedEntry, { history, position }: PurgePlace): Buffer {
  const { bytes, headAt, headBytes, numbersAt, subjectAt, subjectBytes } = entry
  const record = Buffer.alloc(LABELS_AT + subjectBytes + headBytes)
  record[0] = VERSION
  record[1] = NUMBERS_VERSION
  record.writeUInt32LE(subjectBytes / LABEL_BYTES, COUNT_AT)
  bytes.copy(record, NUMBERS_AT, numbersAt, numbersAt + NUMBERS_BYTES)
  record.writeDoubleLE(history, HISTORY_AT)
  record.writeDoubleLE(position, POSITION_AT)
  bytes.copy(record, LABELS_AT, subjectAt, subjectAt + subjectBytes)
  bytes.copy(record, LABELS_AT + subjectBytes, headAt, headAt + headBytes)
  return record
}

/**
 * Reads what comes from outside of the process.
 *
 * @param namespace label of the namespace whose rule asks
 * @returns null: it is of another version, or cannot be what a rule of this namespace has put
 */
export function decodeArchived(bytes: Uint8Array, namespace: number): ArchivedResponse | null {
  // A copy, in which numbers and labels stand at multiples of eight.
  const record = Buffer.from(new Uint8Array(bytes).buffer)
  if (record.length < LABELS_AT || record[0] !== VERSION || record[1] !== NUMBERS_VERSION) return null
  const count = record.readUInt32LE(COUNT_AT)
  const headAt = LABELS_AT + count * LABEL_BYTES
  if (count === 0 || count > MAX_LABELS || !isStoredHead(record, headAt, record.length)) return null
  const labels = new Float64Array(record.buffer, LABELS_AT, count)
  if (namespaceOf(labels) !== namespace) return null
  return {
    numbers: record.subarray(NUMBERS_AT, HISTORY_AT),
    labels,
    place: { history: record.readDoubleLE(HISTORY_AT), position: record.readDoubleLE(POSITION_AT) },
    head: record.subarray(headAt),
  }
}
