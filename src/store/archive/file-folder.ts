/**
 * Files of the archive, in the state directory. Each is whole from its first moment on, or it is not there: it is
 * written under another name and renamed. What is no regular file of ours is never opened, followed or removed. Calls
 * of the file system are synchronous: the thread that owns the folder waits for the disk, and nobody else does.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

const FOLDER = 'cache'
/** Of files: ROOT, ROOT.v.NAME, ROOT.p.TOKEN, and what is being written of them. */
const ROOT = '[A-Za-z0-9_-]{43}'
const NAME = new RegExp(`^${ROOT}(\\.v\\.${ROOT}|\\.p\\.[0-9a-f]{32})?(\\.\\d+\\.tmp)?$`)
const SUBFOLDER = /^[A-Za-z0-9_-]{2}$/
const TEMPORARY = /\.tmp$/
const NO_LINK = constants.O_NOFOLLOW ?? 0

/** Bytes of the disk that are left to others, and at most which part of it. */
const RESERVED = 64 * 1_024 * 1_024
const RESERVED_PART = 20

/** What a file takes of the disk. */
const BLOCK = 4_096

export class FileFolder {
  readonly path: string

  /** @throws what keeps it from being used, such as a link in its place */
  constructor(stateDirectory: string) {
    this.path = join(stateDirectory, FOLDER)
    mkdirSync(this.path, { recursive: true, mode: 0o700 })
    if (!lstatSync(this.path).isDirectory()) throw new TypeError(`${this.path} is no folder`)
  }

  /** What the disk has left, besides what stays for others: for the rest of the state directory, mostly. */
  get room(): { readonly free: number; readonly reserved: number } {
    try {
      const { bavail, blocks, bsize } = statfsSync(this.path)
      return { free: bavail * bsize, reserved: Math.min(RESERVED, (blocks * bsize) / RESERVED_PART) }
    } catch {
      // Gone; it is made anew by what is written.
      return { free: Number.POSITIVE_INFINITY, reserved: 0 }
    }
  }

  /** Names of subfolders; files lie in one that follows from their root. */
  subfolders(): string[] {
    return readdirSync(this.path).filter((name) => SUBFOLDER.test(name))
  }

  /** Ours, in a subfolder; none where it is no folder. */
  files(subfolder: string): string[] {
    const path = join(this.path, subfolder)
    try {
      if (!lstatSync(path).isDirectory()) return []
      return readdirSync(path).filter((name) => NAME.test(name) && subfolderOf(name) === subfolder)
    } catch {
      return []
    }
  }

  /** @returns the bytes of a part, null where there is no such file of ours with at most `most` bytes in all */
  read(name: string, most: number, from = 0, length = Number.POSITIVE_INFINITY): Uint8Array | null {
    const file = this.#open(name)
    if (file === undefined) return null
    try {
      const stats = fstatSync(file)
      if (!stats.isFile() || stats.size > most) return null
      // Of its own memory: it is handed to another thread.
      const bytes = new Uint8Array(Math.max(0, Math.min(length, stats.size - from)))
      let read = 0
      while (read < bytes.length) {
        const count = readSync(file, bytes, read, bytes.length - read, from + read)
        if (count === 0) return null
        read += count
      }
      return bytes
    } finally {
      closeSync(file)
    }
  }

  /** Its size, and when it was written; undefined where there is no such file. */
  look(name: string): { readonly size: number; readonly written: number } | undefined {
    try {
      const stats = lstatSync(this.#pathOf(name))
      return stats.isFile() ? { size: stats.size, written: stats.mtimeMs } : undefined
    } catch {
      return undefined
    }
  }

  /** In place of what is there. @throws when it cannot be written; what was there stays */
  write(name: string, parts: readonly Uint8Array[]): void {
    const path = this.#pathOf(name)
    const draft = `${path}.${process.pid}.tmp`
    try {
      this.#put(draft, constants.O_CREAT | constants.O_EXCL, parts)
      renameSync(draft, path)
    } catch (error) {
      rmSync(draft, { force: true })
      throw error
    }
  }

  /** A part of a file that nobody reads yet, made where it is not there. @throws when it cannot be written */
  writeAt(name: string, from: number, bytes: Uint8Array): void {
    this.#put(this.#pathOf(name), constants.O_CREAT, [bytes], from)
  }

  /** @returns false: it stays, as the disk takes nothing now; at the next start it is found again */
  remove(name: string): boolean {
    try {
      rmSync(this.#pathOf(name), { force: true })
      return true
    } catch {
      return false
    }
  }

  /** The subfolder of a file, where it was the last one: it takes of the disk as much as a file. */
  removeSubfolder(name: string): void {
    try {
      rmdirSync(join(this.path, subfolderOf(name)))
    } catch {
      // There are others in it.
    }
  }

  #put(path: string, flags: number, parts: readonly Uint8Array[], from = 0): void {
    const file = this.#create(path, constants.O_WRONLY | NO_LINK | constants.O_NONBLOCK | flags)
    try {
      let at = from
      for (const part of parts)
        for (let written = 0; written < part.length; ) {
          const count = writeSync(file, part, written, part.length - written, at)
          written += count
          at += count
        }
    } finally {
      closeSync(file)
    }
  }

  #create(path: string, flags: number): number {
    try {
      return openSync(path, flags, 0o600)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      this.#makeFolder(join(path, '..'))
      return openSync(path, flags, 0o600)
    }
  }

  /** Two steps: of one that makes both at once the error says only that nothing is there, as of a read-only disk. */
  #makeFolder(path: string): void {
    for (const folder of [this.path, path])
      try {
        mkdirSync(folder, { mode: 0o700 })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
  }

  #open(name: string): number | undefined {
    try {
      // Without O_NONBLOCK a pipe in its place would hold the thread.
      return openSync(this.#pathOf(name), constants.O_RDONLY | NO_LINK | constants.O_NONBLOCK)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
      throw error
    }
  }

  #pathOf(name: string): string {
    return join(this.path, subfolderOf(name), name)
  }
}

export const isTemporary = (name: string): boolean => TEMPORARY.test(name)

/** What a file of so many bytes takes, with its name. */
export const diskBytes = (size: number): number => Math.ceil(size / BLOCK) * BLOCK + BLOCK / 16

const subfolderOf = (name: string): string => name.slice(0, 2)
