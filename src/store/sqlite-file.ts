/**
 * A file of SQLite in the state directory. One thread owns it, as `node:sqlite` blocks the thread that calls it. The
 * write-ahead log survives the end of the process at any moment.
 */
import { closeSync, constants, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface SqliteFile {
  /** Made when it is not there. */
  readonly directory: string
  readonly name: string
  /** Statements that make what is not there yet. */
  readonly schema: string
  /** Of the schema: a file of a newer one is refused. */
  readonly version: number
  /** Statements that make a file of this version one of the next, by version. */
  readonly upgrades?: Readonly<Record<number, string>>
}

/** For another process with the same state directory, for example one that is about to end. */
const BUSY_MS = 200

/** @throws what keeps the file from being used */
export function openSqlite({ directory, name, schema, version, upgrades = {} }: SqliteFile): DatabaseSync {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, name)
  // Made here, readable for nobody else; a link would lead elsewhere.
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600))
  const database = new DatabaseSync(path, { timeout: BUSY_MS, allowExtension: false })
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF')
    const { user_version: found } = database.prepare('PRAGMA user_version').get() as { user_version: number }
    if (found > version) throw new TypeError(`it was written by a newer version of Headgate (format ${found})`)
    // 0: the file is new. All of it or nothing, whenever the process ends.
    const statements = Array.from({ length: found === 0 ? 0 : version - found }, (_, i) => upgrades[found + i] ?? '')
    database.exec(`BEGIN IMMEDIATE; ${[...statements, schema].join('; ')}; PRAGMA user_version = ${version}; COMMIT`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Puts a file aside that cannot be read, as NAME.corrupt. */
export function setAsideSqlite({ directory, name }: Pick<SqliteFile, 'directory' | 'name'>): void {
  const path = join(directory, name)
  renameSync(path, `${path}.corrupt`)
  for (const side of ['-wal', '-shm']) rmSync(`${path}${side}`, { force: true })
}

/** SQLITE_CORRUPT and SQLITE_NOTADB, or a schema that is another. */
export function isCorrupt(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | undefined)?.errcode
  return typeof code === 'number' && ((code & 0xff) === 11 || (code & 0xff) === 26 || (code & 0xff) === 1)
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
