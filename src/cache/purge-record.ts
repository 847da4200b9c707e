/** One purge, as threads and replicas tell it each other. */

/**
 * - `label`: objects that have the label
 * - `labels`: objects that have one of several
 * - `url`: the object of a path and a query
 * - `prefix`: objects below a path
 * - `all`: objects of the namespace
 * - `everything`: of all namespaces; for those whose purges may have been missed
 * - `mark`: the purge `id` has a place in the history of all replicas; without one, another record stands for it
 * - `history`: which history that is, and from which place on it is known
 */
const KINDS = ['label', 'url', 'prefix', 'all', 'everything', 'mark', 'history', 'labels'] as const
export type PurgeKind = (typeof KINDS)[number]

export interface PurgeRecord {
  readonly kind: PurgeKind
  /** Objects become stale instead of going. */
  readonly soft: boolean
  /** Of `namespaceLabel`; 0 where none is meant. */
  readonly namespace: number
  /** Of `label`, `prefix`, and the whole path of `url`; the identity of a `history`. */
  readonly label: number
  /** Of `url`: the label with its query. */
  readonly exact: number
  /** Of `url`: labels of the parameters of its query; of `labels`: these; with spaces between them. */
  readonly text: string
  /** What the other replicas know it by; 0: it is none of their business. */
  readonly id: number
  /** Its place in the history of all replicas; 0: it has none (yet). */
  readonly position: number
}

/** Another one is of another version of the gateway: what it says is not known, so all of it counts as said. */
const VERSION = 1
const [KIND_AT, SOFT_AT, VERSION_AT, LENGTH_AT] = [0, 1, 2, 4]
const [NAMESPACE_AT, LABEL_AT, EXACT_AT, ID_AT, POSITION_AT, TEXT_AT] = [8, 16, 24, 32, 40, 48]
const ALIGNMENT = 8
/** UTF-8 bytes of a text. */
export const MAX_PURGE_TEXT = 8_000

/** Of a label in a text. */
const RADIX = 36

/** One record for all of them, since each record costs every thread some microseconds. */
export function labelsPurge(labels: readonly number[]): Pick<PurgeRecord, 'kind' | 'label' | 'text'> {
  if (labels.length === 1) return { kind: 'label', label: labels[0]!, text: '' }
  return { kind: 'labels', label: 0, text: labels.map((label) => label.toString(RADIX)).join(' ') }
}

/** Of the text of a record of the kind `labels`. */
export function labelsOf(text: string): number[] {
  return text.split(' ').map((label) => Number.parseInt(label, RADIX))
}

export const PLAIN: Omit<PurgeRecord, 'kind'> = {
  soft: false,
  namespace: 0,
  label: 0,
  exact: 0,
  text: '',
  id: 0,
  position: 0,
}

export function encodePurge(record: PurgeRecord): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(record.text)
  if (text.length > MAX_PURGE_TEXT) throw new RangeError(`the text of a purge has ${MAX_PURGE_TEXT} bytes at most`)
  const bytes = new Uint8Array(TEXT_AT + Math.ceil(text.length / ALIGNMENT) * ALIGNMENT)
  const view = new DataView(bytes.buffer)
  bytes[KIND_AT] = KINDS.indexOf(record.kind)
  bytes[SOFT_AT] = record.soft ? 1 : 0
  bytes[VERSION_AT] = VERSION
  view.setUint32(LENGTH_AT, text.length, true)
  view.setFloat64(NAMESPACE_AT, record.namespace, true)
  view.setFloat64(LABEL_AT, record.label, true)
  view.setFloat64(EXACT_AT, record.exact, true)
  view.setFloat64(ID_AT, record.id, true)
  view.setFloat64(POSITION_AT, record.position, true)
  bytes.set(text, TEXT_AT)
  return bytes
}

/** @returns undefined when it is none that this version knows */
export function decodePurge(bytes: Uint8Array): PurgeRecord | undefined {
  if (bytes.length < TEXT_AT || bytes[VERSION_AT] !== VERSION) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const kind = KINDS[bytes[KIND_AT]!]
  const length = view.getUint32(LENGTH_AT, true)
  if (kind === undefined || length > bytes.length - TEXT_AT) return undefined
  const numbers = [NAMESPACE_AT, LABEL_AT, EXACT_AT, ID_AT, POSITION_AT].map((at) => view.getFloat64(at, true))
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) return undefined
  const [namespace, label, exact, id, position] = numbers as [number, number, number, number, number]
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + TEXT_AT, length).toString()
  return { kind, soft: bytes[SOFT_AT] === 1, namespace, label, exact, text, id, position }
}
