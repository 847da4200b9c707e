/**
 * One process at a time keeps something in a folder: a lock of the system on a file, which the system gives back when
 * the process ends however it does. `node:sqlite` is how Node takes one.
 */
import { closeSync, constants, lstatSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface FolderClaim {
  release(): void
}

const SQLITE_BUSY = 5
const { O_RDWR, O_CREAT, O_EXCL } = constants
/** On a disk that knows no locks, or takes no file, nobody can be kept out. */
const UNLOCKED: FolderClaim = Object.freeze({ release: () => {} })

/**
 * Held until it is released, or until the thread ends.
 *
 * @param name of a file that is there for nothing else
 * @returns undefined: another process has it, or another thread of this one
 */
export function claimFolder(directory: string, name: string): FolderClaim | undefined {
  let database: DatabaseSync | undefined
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const path = join(directory, name)
    create(path)
    // A link leads elsewhere, and a pipe has no end.
    if (!lstatSync(path).isFile()) return UNLOCKED
    database = new DatabaseSync(path, { timeout: 0, allowExtension: false })
    // Nothing is ever written, so nothing needs a file to be undone from.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return { release: () => database?.close() }
  } catch (error) {
    database?.close()
    return (error as { errcode?: unknown }).errcode === SQLITE_BUSY ? undefined : UNLOCKED
  }
}

/** One that is there is not opened: to close it again would give back the lock that this process may have on it. */
function create(path: string): void {
  try {
    closeSync(openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
