/** The head of a response as a fill takes it. */
import { type CacheNumbers, NUMBERS_BYTES, writeNumbers } from '../../cache/cache-numbers.ts'
import { FIXED_LABELS, MAX_LABELS } from '../../cache/purge-labels.ts'
import { EntryKind, type Fill } from '../../cache/response-memory.ts'
import { usefulUntil } from '../../cache/reuse.ts'

/** Of the response whose head is given next: written by `writeLabels`. */
export const LABELS = new Float64Array(MAX_LABELS)
/** The bytes of labels without tags. */
const UNTAGGED = Buffer.from(LABELS.buffer, 0, FIXED_LABELS * Float64Array.BYTES_PER_ELEMENT)
const NUMBERS_VIEW = new DataView(new ArrayBuffer(NUMBERS_BYTES))
/** The same bytes. */
const WRITTEN_NUMBERS = new Uint8Array(NUMBERS_VIEW.buffer)

export interface FillHead {
  readonly head: Buffer
  readonly numbers: CacheNumbers
  /** So many of {@link LABELS}. */
  readonly labels: number
  /** -1: unknown. */
  readonly bodyBytes: number
  /** The last purge when its request was sent. */
  readonly began: number
}

/** @returns false: there is no room for it; the fill has failed */
export function giveHead(fill: Fill, { head, numbers, labels, bodyBytes, began }: FillHead): boolean {
  writeNumbers(NUMBERS_VIEW, 0, numbers)
  return fill.head({
    kind: EntryKind.Response,
    numbers: WRITTEN_NUMBERS,
    head,
    subject: labels === FIXED_LABELS ? UNTAGGED : new Uint8Array(LABELS.buffer, 0, labels * 8),
    bodyBytes,
    until: usefulUntil(numbers),
    began,
  })
}
