/** Reads a text file, and only regular files. */
import { constants, statSync } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import type { SourceProblemReason } from './source.ts'

export type ReadResult =
  | {
      readonly ok: true
      readonly text: string
      /** Changes whenever the file may have changed. */
      readonly signature: string
      /** The file was modified so recently that another write may leave the same signature ("racily clean" in git). */
      readonly racy: boolean
    }
  /** The file does not exist. */
  | { readonly ok: false; readonly gone: true }
  /** A folder, FIFO, socket or device, which was not opened. */
  | { readonly ok: false; readonly gone: false; readonly regular: false; readonly kind: string }
  | {
      readonly ok: false
      readonly gone: false
      readonly regular: true
      readonly reason: SourceProblemReason
      readonly message: string
      readonly signature: string
    }

/** Derives two strings from `stat`: the identity of the file, and the signature of its state. */
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

/** The timestamps of file systems have a resolution of up to two seconds (FAT). */
const TIMESTAMP_RESOLUTION_MS = 2_000

/**
 * Opens regular files only: opening a FIFO waits for a writer and blocks a thread of Node's shared pool, and opening a
 * device may have effects. `stat` decides first; `O_NONBLOCK` and a second `stat` cover a change in between.
 *
 * @param limit bytes
 */
export async function readText(path: string, limit: number): Promise<ReadResult> {
  let handle: FileHandle | undefined
  try {
    const before = await stat(path, { bigint: true })
    if (!before.isFile()) return { ok: false, gone: false, regular: false, kind: fileTypeName(before) }
    if (before.size > BigInt(limit)) return failure(before, 'TooLarge', tooLarge(Number(before.size), limit))
    try {
      handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    } catch (error) {
      if (isMissing(error)) return { ok: false, gone: true }
      return failure(before, 'Unreadable', describeReadError(error))
    }
    const opened = await handle.stat({ bigint: true })
    if (!opened.isFile()) return { ok: false, gone: false, regular: false, kind: fileTypeName(opened) }
    const bytes = await readAtMost(handle, Number(opened.size), limit)
    if (bytes === null) return failure(opened, 'TooLarge', tooLarge(limit + 1, limit))
    const decoded = decode(bytes)
    if (decoded.text === undefined) return failure(opened, 'NotText', decoded.message)
    const racy = Date.now() - Number(opened.mtimeMs) < TIMESTAMP_RESOLUTION_MS
    return { ok: true, text: decoded.text, signature: identify(opened).signature, racy }
  } catch (error) {
    if (isMissing(error)) return { ok: false, gone: true }
    return {
      ok: false,
      gone: false,
      regular: true,
      reason: 'Unreadable',
      message: describeReadError(error),
      signature: '',
    }
  } finally {
    await handle?.close().catch(() => {})
  }
}

function failure(stats: FileStats, reason: SourceProblemReason, message: string): ReadResult {
  return { ok: false, gone: false, regular: true, reason, message, signature: identify(stats).signature }
}

/** Reads to the end, even if the file has grown since `stat`; null when it exceeds the limit. */
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
    return { message: 'The file is binary (it contains NUL bytes); move it out of this folder or rename it.' }
  try {
    return { text: utf8.decode(bytes) }
  } catch {
    return {
      message: 'The file is not valid UTF-8: it is binary, half-written or in another encoding; save it as UTF-8.',
    }
  }
}

/** Like `stat`; undefined on any error. */
export function tryStat(path: string): FileStats | undefined {
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

/** Describes why a file or folder cannot be read, and the remedy. */
export function describeReadError(error: unknown): string {
  const code = codeOf(error)
  if (code === 'EACCES' || code === 'EPERM')
    return 'Permission denied; grant read access to the user that runs Headgate.'
  if (code === 'EMFILE' || code === 'ENFILE') return 'Too many open files; raise the limit (ulimit -n).'
  if (code === 'ELOOP') return 'The symbolic link points to itself; remove or correct it.'
  return `It cannot be read (${code || String(error)}).`
}

export function fileTypeName(stats: FileStats): string {
  if (stats.isDirectory()) return 'a folder'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return 'a device'
}

function tooLarge(size: number, limit: number): string {
  const mib = (bytes: number) => `${(bytes / 1048576).toFixed(1).replace(/\.0$/, '')} MiB`
  return `The file is too large (${mib(size)}, at most ${mib(limit)} are read); split it into several files.`
}
