/**
 * The one file in which a cluster is remembered. It is replaced as a whole: whoever reads it finds the old one or the
 * new one.
 */
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Milliseconds } from '../../lib/clock.ts'
import { codeOf, isMissing } from '../read-text.ts'

/** Some 20,000 Routes with what they need; while it is replaced there are two. */
export const MAX_STATE_BYTES = 64 * 1_024 * 1_024

/** Left by a process that was killed while it wrote; nothing takes so long to write. */
const ABANDONED: Milliseconds = 3_600_000

// Not there on Windows, where nobody but an administrator makes links.
const NO_LINK = constants.O_NOFOLLOW ?? 0

export class StateFile {
  readonly path: string
  readonly #folder: string

  constructor(stateDirectory: string) {
    this.#folder = join(stateDirectory, 'cluster')
    this.path = join(this.#folder, 'objects')
  }

  /** Whether there is something that could be read. */
  async exists(): Promise<boolean> {
    return await lstat(this.path).then(
      () => true,
      () => false,
    )
  }

  /**
   * @returns undefined where there is none
   * @throws {Error} when it is not a file of ours to read, or too large
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
   * Safe beside another process that does the same: the last one to come to an end stays.
   *
   * @param parts drawn one by one as they are written
   * @returns bytes written
   * @throws {Error} when it cannot be written, or is too large; the file is then as it was
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

  /** What killed processes have left is deleted. @param now of the wall clock */
  async sweep(now: Milliseconds): Promise<void> {
    try {
      await this.#refuseLink()
      for (const name of await readdir(this.#folder)) {
        if (!name.startsWith('objects.') || !name.endsWith('.tmp')) continue
        const path = join(this.#folder, name)
        if (now - (await stat(path)).mtimeMs > ABANDONED) await rm(path, { force: true })
      }
    } catch {
      // Another process was faster, or whoever reads or writes next says what is wrong.
    }
  }

  /** Whoever may write the folder above could have put a link in place of ours, to have us write elsewhere. */
  async #refuseLink(): Promise<void> {
    const stats = await lstat(this.#folder)
    if (stats.isSymbolicLink()) throw linked()
  }
}

/**
 * Reads what lies where others may write, too: nothing but a file, and no link to one.
 *
 * @returns undefined where there is none
 * @throws {Error} when it is something else, or has more than `most` bytes
 */
export async function readPlainFile(path: string, most: number): Promise<Buffer | undefined> {
  let handle: FileHandle | undefined
  try {
    // A FIFO in its place would hold up the thread of the pool that opens it.
    handle = await open(path, constants.O_RDONLY | NO_LINK | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) throw new TypeError('it is not a file')
    if (stats.size > most) throw new TypeError(`it has ${stats.size} bytes, at most ${most}`)
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
    if (codeOf(error) === 'ELOOP') throw linked()
    throw error
  } finally {
    await handle?.close().catch(() => {})
  }
}

/**
 * Puts a file in the place of another, or of a link; whoever reads finds the old one or the new one.
 *
 * @returns bytes written
 * @throws {Error} when it cannot be written, or would have more than `most`; what was there is then as it was
 */
export async function replaceFile(path: string, parts: Iterable<Buffer>, most: number): Promise<number> {
  const temporary = `${path}.${randomUUID()}.tmp`
  let written = 0
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_LINK
    const handle = await open(temporary, flags, 0o600)
    try {
      for (const part of parts) {
        written += part.length
        if (written > most) throw new TypeError(`it would have more than ${most} bytes`)
        await handle.writeFile(part)
      }
      // A rename that survives a power cut must not point at nothing.
      await handle.sync()
    } finally {
      await handle.close()
    }
    // Takes the place of a link, too; does not follow it.
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
  return written
}

function linked(): TypeError {
  return new TypeError('there is a symbolic link in its place, and those are not followed')
}

/** What was renamed there survives a power cut. */
export async function syncFolder(path: string): Promise<void> {
  // Not every file system can.
  const handle = await open(path, constants.O_RDONLY).catch(() => undefined)
  await handle?.sync().catch(() => {})
  await handle?.close().catch(() => {})
}

/** For a person who has to do something about it. */
export function diskTrouble(error: unknown): string {
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return 'the disk is full'
  if (code === 'EROFS') return 'the file system is read-only'
  if (code === 'EACCES' || code === 'EPERM') return 'not allowed; give the user that runs Headgate permission'
  return error instanceof Error ? error.message : String(error)
}
