/** Registrations in the state directory, in one SQLite file; each write is one short transaction. */
import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import {
  type KeptRegistration,
  LEASE,
  MAX_REGISTERED,
  REGISTRATION_ID,
  type RegistrationChange,
} from '../api/registration.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { isCorrupt, openSqlite, setAsideSqlite, textOf } from './sqlite-file.ts'

export interface RegistrationStoreOptions {
  /** Made when it is not there. */
  readonly stateDirectory: string
  /** What cannot be kept, and what follows from it; undefined: it can again. Told when it changes. */
  readonly failure: (message: string | undefined) => void
}

const FILE = 'registrations.db'
const VERSION = 1

const SCHEMA = `CREATE TABLE IF NOT EXISTS registration (
  backend TEXT NOT NULL, id TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL, weight INTEGER NOT NULL,
  zone TEXT, metadata TEXT NOT NULL, lease REAL NOT NULL, state TEXT NOT NULL,
  endWall REAL NOT NULL, endUptime REAL NOT NULL, boot TEXT NOT NULL, PRIMARY KEY (backend, id)) STRICT, WITHOUT ROWID`

interface Statements {
  readonly put: StatementSync
  readonly remove: StatementSync
}

export class RegistrationStore {
  readonly #path: string
  readonly #directory: string
  readonly #failure: RegistrationStoreOptions['failure']
  #database: DatabaseSync | undefined
  #statements: Statements | undefined
  /** The newest of each that is not on disk yet. */
  readonly #pending = new Map<string, RegistrationChange>()
  #failing = false

  constructor({ stateDirectory, failure }: RegistrationStoreOptions) {
    this.#directory = stateDirectory
    this.#path = join(stateDirectory, FILE)
    this.#failure = failure
  }

  /** What an earlier process kept. A file that cannot be read is set aside, and a new one begun. */
  open(): KeptRegistration[] {
    try {
      return this.#open()
    } catch (error) {
      if (!isCorrupt(error)) {
        this.#failed(error, 'registrations of before are not known, and none outlives this process')
        return []
      }
      return this.#beginAnew(error)
    }
  }

  /** Kept at once. What cannot be kept is tried again with the next change, and by {@link retry}. */
  write(changes: readonly RegistrationChange[]): void {
    for (const change of changes) this.#pending.set(`${change.backend} ${change.id}`, change)
    this.#flush()
  }

  /** Tries again what could not be kept. */
  retry(): void {
    if (this.#pending.size > 0 || this.#failing) this.#flush()
  }

  close(): void {
    if (this.#pending.size > 0) this.#flush()
    this.#close()
  }

  #open(): KeptRegistration[] {
    const database = openSqlite({ directory: this.#directory, name: FILE, schema: SCHEMA, version: VERSION })
    this.#database = database
    const rows = database.prepare(`SELECT * FROM registration LIMIT ${2 * MAX_REGISTERED.process}`).all()
    this.#statements = {
      put: database.prepare('INSERT OR REPLACE INTO registration VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'),
      remove: database.prepare('DELETE FROM registration WHERE backend = ? AND id = ?'),
    }
    return rows.flatMap((row) => keptOf(row) ?? [])
  }

  #beginAnew(cause: unknown): KeptRegistration[] {
    this.#close()
    try {
      setAsideSqlite({ directory: this.#directory, name: FILE })
      const kept = this.#open()
      this.#failure(
        `${this.#path} could not be read (${textOf(cause)}) and was set aside as ${FILE}.corrupt: services register again with their next heartbeat that is refused`,
      )
      this.#failing = true
      return kept
    } catch (error) {
      this.#failed(error, 'no registration outlives this process')
      return []
    }
  }

  #flush(): void {
    try {
      if (this.#statements === undefined) this.#open()
      const database = this.#database!
      database.exec('BEGIN IMMEDIATE')
      try {
        for (const { backend, id, kept } of this.#pending.values()) {
          if (kept === undefined) this.#statements!.remove.run(backend, id)
          else this.#statements!.put.run(...columnsOf(kept))
        }
        database.exec('COMMIT')
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK')
        throw error
      }
      this.#pending.clear()
      if (this.#failing) this.#failure(undefined)
      this.#failing = false
    } catch (error) {
      // A new connection finds the file as it is by then: it may have been replaced or its file system mounted again.
      this.#close()
      this.#failed(error, 'registrations work on, but what changes now does not outlive this process')
    }
  }

  #failed(error: unknown, outcome: string): void {
    this.#failing = true
    this.#failure(`${this.#path} cannot be used (${textOf(error)}): ${outcome}`)
  }

  #close(): void {
    this.#statements = undefined
    try {
      this.#database?.close()
    } catch {
      // It was not open.
    }
    this.#database = undefined
  }
}

function columnsOf(kept: KeptRegistration) {
  const { backend, id, address, port, weight, zone = null, metadata, lease, state, endWall, endUptime, boot } = kept
  const text = JSON.stringify(metadata)
  return [backend, id, address, port, weight, zone, text, lease, state, endWall, endUptime, boot] as const
}

const ID = new RegExp(REGISTRATION_ID)

/** Undefined for a row that this version would not have accepted. */
function keptOf(row: Readonly<Record<string, unknown>>): KeptRegistration | undefined {
  const { backend, id, address, port, weight, zone, metadata, lease, state, endWall, endUptime, boot } = row
  const valid =
    typeof backend === 'string' &&
    backend.includes('/') &&
    typeof id === 'string' &&
    ID.test(id) &&
    typeof address === 'string' &&
    canonicalAddress(address) === address &&
    isWithin(port, 1, 65_535) &&
    isWithin(weight, 1, 1_000_000) &&
    isWithin(lease, LEASE.min, LEASE.max) &&
    (state === 'ready' || state === 'draining')
  const labels = valid ? metadataOf(metadata) : undefined
  if (!valid || labels === undefined) return undefined
  return {
    ...{ backend, id, address, state, metadata: labels },
    ...{ port: Number(port), weight: Number(weight), lease: Number(lease) },
    ...(typeof zone === 'string' && { zone }),
    ...{ endWall: Number(endWall), endUptime: Number(endUptime), boot: String(boot) },
  }
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

function metadataOf(text: unknown): Record<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(String(text))
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, String(one)]))
  } catch {
    return undefined
  }
}
