/** Blocks of packed tables as a worker maps them, and the texts in them. */
import * as L from './pack-layout.ts'

/** One block, mapped. */
export interface BlockView {
  readonly id: number
  readonly words: Int32Array
  readonly bytes: Buffer
}

/** @param known the block that had this index until now */
export function mapBlock(shared: SharedArrayBuffer, known: BlockView | undefined): BlockView {
  const words = new Int32Array(shared)
  const id = words.length === 0 ? 0 : words[L.BLOCK_ID]!
  if (known !== undefined && known.id === id) return known
  return { id, words, bytes: Buffer.from(shared) }
}

/** Text whose record begins `at` words into the block. */
export function readText(block: BlockView, at: number): string {
  const head = block.words[at]!
  const start = (at + L.TEXT_BYTES) * 4
  const end = start + (head >>> 1)
  return (head & 1) === 0 ? block.bytes.latin1Slice(start, end) : block.bytes.utf8Slice(start, end)
}

/** Whether the text whose record begins `at` words into the block is `text`, without decoding it. */
export function textIs(block: BlockView, at: number, text: string): boolean {
  const head = block.words[at]!
  if ((head & 1) === 1) return readText(block, at) === text
  const length = head >>> 1
  if (text.length !== length) return false
  const { bytes } = block
  const start = (at + L.TEXT_BYTES) * 4
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}

/**
 * Whether the first `length` characters of `text` are the text whose record begins `at` words into the block. Keys are
 * ASCII or match nothing.
 */
export function textBegins(block: BlockView, at: number, text: string, length: number): boolean {
  if (block.words[at] !== length << 1) return false
  const { bytes } = block
  const start = (at + L.TEXT_BYTES) * 4
  for (let i = 0; i < length; i++) if (bytes[start + i] !== text.charCodeAt(i)) return false
  return true
}
