/** What files may take, and what is said of those that take more. */
import { textSize } from '../../lib/heap-size.ts'
import { formatMebibytes, type MemoryBudget } from '../../lib/memory-budget.ts'
import type { SourceProblem } from '../source.ts'
import type { Definition } from './definition.ts'

export interface FileBounds {
  /** Bytes of a file. */
  readonly maxFileBytes: number
  /** Bytes of all files. */
  readonly maxBytes: number
  /** Bytes that all files take when they are read. */
  readonly maxHeldBytes: number
}

export function boundsOf({ file, files, filesHeld }: Pick<MemoryBudget, 'file' | 'files' | 'filesHeld'>): FileBounds {
  return { maxFileBytes: file, maxBytes: files, maxHeldBytes: filesHeld }
}

/** The text, and what it is in Base64. */
const CERTIFICATE_COPIES = 3
const PROBLEM_BYTES = 500

/** Bytes, about, that a file of manifests takes. */
export function heldBytes(
  text: string,
  definitions: readonly Definition[],
  problems: readonly Pick<SourceProblem, 'severity'>[],
): number {
  let bytes = textSize(text) + problems.length * PROBLEM_BYTES
  for (const definition of definitions) bytes += definition.bytes
  return bytes
}

/** The same of a part of a certificate. */
export function certificateBytes(text: string): number {
  return text.length * CERTIFICATE_COPIES
}

/** The message for a file that takes more when it is read than is left. */
export function noRoom(held: number, room: number): string {
  return `What is in the file takes about ${formatMebibytes(held)} of memory, and the other files leave ${formatMebibytes(room)}; delete what is not needed, in this file or another, or raise the memory limit.`
}

/** The message for a file with which all files have more bytes than they may. */
export function allTooLarge(maxBytes: number): string {
  return `All files together exceed the limit of ${formatMebibytes(maxBytes)}; delete files that are not needed, or raise the memory limit.`
}
