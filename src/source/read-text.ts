/** Reads one regular text file and nothing else. */
import { constants, statSync } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { SourceProblemReason } from './source.ts'

export type ReadResult =
  | {
      readonly ok: true
      readonly text: string
      /** Changes whenever the file may have changed. */
      readonly signature: string
      /** The file was written to so shortly before that a further write may leave the same signature. */
      readonly unsure: boolean
    }
  /** Nothing of that name. */
  | { readonly ok: false; readonly gone: true }
  /** A folder, a FIFO, a socket or a device: it was not opened. */
  | { readonly ok: false; readonly gone: false; readonly regular: false; readonly kind: string }
  | {
      readonly ok: false
      readonly gone: false
      readonly regular: true
      readonly reason: SourceProblemReason
      readonly message: string
      readonly signature: string
    }

/** What `stat` says, as two strings: which file it is, and which state of it. */
export function identify(stats: FileStats): { identity: string; signature: string } {
  const identity = `${stats.dev}:${stats.ino}`
  return { identity, signature: `${identity}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}:${stats.mode}` }
}

/** The fields of `BigIntStats` that are used. */
export interface FileStats {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mode: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly mtimeMs: bigint
  isFile(): boolean
  isDirectory(): boolean
  isFIFO(): boolean
  isSocket(): boolean
}

/** File systems keep times in steps of up to two seconds (FAT). */
const TIME_STEP_MS = 2_000

/**
 * Opens regular files only: opening a FIFO waits for a writer and blocks a thread of the pool that all of Node shares,
 * opening a device may act on it. `stat` decides first, `O_NONBLOCK` and a second look guard the moment between.
 *
 * @param limit bytes
 */
export async function readText(path: string, limit: number): Promise<ReadResult> {
  let handle: FileHandle | undefined
  try {
    const before = await stat(path, { bigint: true })
    if (!before.isFile()) return { ok: false, gone: false, regular: false, kind: nameOf(before) }
    if (before.size > BigInt(limit)) return failure(before, 'TooLarge', tooLarge(Number(before.size), limit))
    try {
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    } catch (error) {
      if (isMissing(error)) return { ok: false, gone: true }
      return failure(before, 'Unreadable', unreadable(error))
    }
    const opened = await handle.stat({ bigint: true })
    if (!opened.isFile()) return { ok: false, gone: false, regular: false, kind: nameOf(opened) }
    const bytes = await readAtMost(handle, Number(opened.size), limit)
    if (bytes === null) return failure(opened, 'TooLarge', tooLarge(limit + 1, limit))
    const decoded = decode(bytes)
    if (decoded.text === undefined) return failure(opened, 'NotText', decoded.message)
    const unsure = Date.now() - Number(opened.mtimeMs) < TIME_STEP_MS
    return { ok: true, text: decoded.text, signature: identify(opened).signature, unsure }
  } catch (error) {
    if (isMissing(error)) return { ok: false, gone: true }
    return { ok: false, gone: false, regular: true, reason: 'Unreadable', message: unreadable(error), signature: '' }
  } finally {
    await handle?.close().catch(() => {})
  }
}

function failure(stats: FileStats, reason: SourceProblemReason, message: string): ReadResult {
  return { ok: false, gone: false, regular: true, reason, message, signature: identify(stats).signature }
}

/** Reads to the end, wherever it has moved since `stat`; null when that is beyond the limit. */
async function readAtMost(handle: FileHandle, expected: number, limit: number): Promise<Buffer | null> {
  let buffer = Buffer.allocUnsafe(Math.min(expected, limit) + 1)
  let length = 0
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length)
    if (bytesRead === 0) return buffer.subarray(0, length)
    length += bytesRead
    if (length > limit) return null
    if (length === buffer.length) {
      const larger = Buffer.allocUnsafe(Math.min(buffer.length * 2, limit + 1))
      buffer.copy(larger, 0, 0, length)
      buffer = larger
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decode(bytes: Buffer): { text: string } | { text?: undefined; message: string } {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    return { message: 'The file is UTF-16; save it as UTF-8.' }
  if (bytes.includes(0))
    return { message: 'The file is binary (it holds NUL bytes); move it out of this folder or rename it.' }
  try {
    return { text: utf8.decode(bytes) }
  } catch {
    return {
      message: 'The file is not valid UTF-8: it is binary, half-written or in another encoding; save it as UTF-8.',
    }
  }
}

/** What is at a path, where that may be known. */
export function statOrNothing(path: string): FileStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

export function isMissing(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** What to do about a file or folder that the system does not let us read. */
export function unreadable(error: unknown): string {
  const code = codeOf(error)
  if (code === 'EACCES' || code === 'EPERM')
    return 'Not allowed to read it; give the user that runs Headgate permission.'
  if (code === 'EMFILE' || code === 'ENFILE') return 'Too many open files; raise the limit (ulimit -n).'
  if (code === 'ELOOP') return 'The symbolic link leads to itself; remove or correct it.'
  return `It cannot be read (${code || String(error)}).`
}

export function nameOf(stats: FileStats): string {
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

function tooLarge(size: number, limit: number): string {
  const mib = (bytes: number) => `${(bytes / 1048576).toFixed(1).replace(/\.0$/, '')} MiB`
  return `The file is too large (${mib(size)}, at most ${mib(limit)} are read); split it into several files.`
}
