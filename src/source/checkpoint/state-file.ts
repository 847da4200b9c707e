/**
 * The file of a checkpoint. It is replaced atomically: a reader sees the old content or the new one.
 */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Milliseconds } from '../../lib/clock.ts'
import { codeOf, isMissing } from '../read-text.ts'

/** About 20,000 Routes with their references; during a replacement two files exist. */
export const MAX_STATE_BYTES = 64 * 1_024 * 1_024

/** Age from which a temporary file counts as abandoned by a killed process. */
const ABANDONED_AFTER: Milliseconds = 3_600_000

// Absent on Windows, where only administrators create links.
const NO_LINK = constants.O_NOFOLLOW ?? 0

export class StateFile {
  readonly path: string
  readonly #folder: string

  constructor(stateDirectory: string) {
    this.#folder = join(stateDirectory, 'cluster')
    this.path = join(this.#folder, 'objects')
  }

  /** Whether the file exists. */
  async exists(): Promise<boolean> {
    return await lstat(this.path).then(
      () => true,
      () => false,
    )
  }

  /**
   * @returns undefined where there is none
   * @throws {Error} when it is not a regular file, or too large
   */
  async read(): Promise<Buffer | undefined> {
    try {
      await this.#refuseLink()
    } catch (error) {
      if (isMissing(error)) return undefined
      throw error
    }
    return await readPlainFile(this.path, MAX_STATE_BYTES)
  }

  /**
   * Replaces the file atomically. Safe with concurrent processes: the last one to finish wins.
   *
   * @param parts taken one by one as they are written
   * @returns bytes written
   * @throws {Error} when it cannot be written or is too large; the file is then unchanged
   */
  async replace(parts: Iterable<Buffer>): Promise<number> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await this.#refuseLink()
    const written = await replaceFile(this.path, parts, MAX_STATE_BYTES)
    await syncFolder(this.#folder)
    return written
  }

  async remove(): Promise<void> {
    await this.#refuseLink()
    await rm(this.path, { force: true })
  }

  /** Deletes temporary files of killed processes. @param now wall clock */
  async sweep(now: Milliseconds): Promise<void> {
    try {
      await this.#refuseLink()
      for (const name of await readdir(this.#folder)) {
        if (!name.startsWith('objects.') || !name.endsWith('.tmp')) continue
        const path = join(this.#folder, name)
        if (now - (await stat(path)).mtimeMs > ABANDONED_AFTER) await rm(path, { force: true })
      }
    } catch {
      // Another process deleted the file, or the next read or write reports the error.
    }
  }

  /** A user with write permission on the parent folder could replace ours with a link and redirect the writes. */
  async #refuseLink(): Promise<void> {
    const stats = await lstat(this.#folder)
    if (stats.isSymbolicLink()) throw symbolicLinkError()
  }
}

/**
 * Reads a file in a folder that others may write: regular files only, without following links.
 *
 * @returns undefined where there is none
 * @throws {Error} when it is not a regular file, or has more than `maxBytes`
 */
export async function readPlainFile(path: string, maxBytes: number): Promise<Buffer | undefined> {
  let handle: FileHandle | undefined
  try {
    // Without O_NONBLOCK, opening a FIFO would block a thread of the pool.
    handle = await open(path, constants.O_RDONLY | NO_LINK | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) throw new TypeError('it is not a file')
    if (stats.size > maxBytes) throw new TypeError(`it has ${stats.size} bytes; the maximum is ${maxBytes}`)
    const bytes = Buffer.allocUnsafeSlow(stats.size)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.subarray(0, length)
  } catch (error) {
    if (isMissing(error)) return undefined
    if (codeOf(error) === 'ELOOP') throw symbolicLinkError()
    throw error
  } finally {
    await handle?.close().catch(() => {})
  }
}

/**
 * Atomically replaces a file or a link: a reader sees the old content or the new one.
 *
 * @returns bytes written
 * @throws {Error} when it cannot be written, or would exceed `maxBytes`; the existing file is then unchanged
 */
export async function replaceFile(path: string, parts: Iterable<Buffer>, maxBytes: number): Promise<number> {
  const temporary = `${path}.${randomUUID()}.tmp`
  let written = 0
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_LINK
    const handle = await open(temporary, flags, 0o600)
    try {
      for (const part of parts) {
        written += part.length
        if (written > maxBytes) throw new TypeError(`it would have more than ${maxBytes} bytes`)
        await handle.writeFile(part)
      }
      // Synced before the rename, so that after a power failure the new name does not refer to an empty file.
      await handle.sync()
    } finally {
      await handle.close()
    }
    // Replaces a link as well and does not follow it.
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
  return written
}

function symbolicLinkError(): TypeError {
  return new TypeError('it is a symbolic link, which is not followed')
}

/** Makes renames in the folder durable. */
export async function syncFolder(path: string): Promise<void> {
  // Not every file system supports it.
  const handle = await open(path, constants.O_RDONLY).catch(() => undefined)
  await handle?.sync().catch(() => {})
  await handle?.close().catch(() => {})
}
