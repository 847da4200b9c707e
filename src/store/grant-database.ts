/**
 * What token issuers remember, in the state directory: one SQLite file, or memory where there is no directory. Calls
 * that have come together are one transaction; a call whose transaction was not written has not happened.
 */
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import {
  GRANT_BOUNDS,
  type Grant,
  type GrantAnswer,
  type GrantBounds,
  type GrantFamily,
  type GrantOwner,
  type GrantRequest,
  hasRoom,
  type Rotation,
  type RotationRequest,
} from '../auth/grant-store.ts'
import type { Milliseconds } from '../lib/clock.ts'
import { GrantCounts } from './grant-counts.ts'
import { isCorrupt, openSqlite, setAsideSqlite, textOf } from './sqlite-file.ts'

export interface GrantDatabaseOptions {
  /** Made when it is not there; undefined: in memory. */
  readonly stateDirectory: string | undefined
  /** Milliseconds since the epoch. */
  readonly wall: () => number
  readonly monotonic: () => Milliseconds
  /** What cannot be kept, and what follows from it; undefined: it can again. Told when it changes. */
  readonly failure: (message: string | undefined) => void
  /** Default: {@link GRANT_BOUNDS}. */
  readonly bounds?: GrantBounds
}

const FILE = 'grants.db'
const VERSION = 2
const UPGRADES = { 1: "ALTER TABLE mark ADD COLUMN client TEXT NOT NULL DEFAULT ''" }
const SCHEMA = `
CREATE TABLE IF NOT EXISTS family (
  owner TEXT NOT NULL, family TEXT NOT NULL, client TEXT NOT NULL, grant_text TEXT NOT NULL, current TEXT NOT NULL,
  previous TEXT NOT NULL, nonce TEXT NOT NULL, rotated REAL NOT NULL, ends REAL NOT NULL,
  PRIMARY KEY (owner, family)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS family_ends ON family (ends);
CREATE TABLE IF NOT EXISTS mark (
  owner TEXT NOT NULL, mark TEXT NOT NULL, client TEXT NOT NULL, ends REAL NOT NULL,
  PRIMARY KEY (owner, mark)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mark_ends ON mark (ends)`

const FAILED: GrantAnswer = { failure: 'the store of refresh tokens cannot be used' }
const RETRY_AFTER: Milliseconds = 500

/** Records that have ended and are removed in one transaction, of each kind. */
const SWEPT = 256

const STATEMENTS = {
  find: 'SELECT grant_text, current, previous, nonce, rotated, ends FROM family WHERE owner = ? AND family = ?',
  begin: "INSERT INTO family VALUES (?, ?, ?, ?, ?, '', '', 0, ?)",
  rotate:
    'UPDATE family SET current = ?, previous = ?, nonce = ?, rotated = ?, ends = ? WHERE owner = ? AND family = ?',
  revoke: 'DELETE FROM family WHERE owner = ? AND family = ? RETURNING client',
  marked: 'SELECT ends, client FROM mark WHERE owner = ? AND mark = ?',
  mark: 'INSERT OR REPLACE INTO mark (owner, mark, client, ends) VALUES (?, ?, ?, ?)',
  sweepFamilies: `DELETE FROM family WHERE (owner, family) IN
    (SELECT owner, family FROM family WHERE ends <= ? ORDER BY ends LIMIT ${SWEPT}) RETURNING owner, client`,
  sweepMarks: `DELETE FROM mark WHERE (owner, mark) IN
    (SELECT owner, mark FROM mark WHERE ends <= ? ORDER BY ends LIMIT ${SWEPT}) RETURNING owner, client`,
} as const

type Statements = Readonly<Record<keyof typeof STATEMENTS, StatementSync>>

interface FamilyRow {
  readonly grant_text: string
  readonly current: string
  readonly previous: string
  readonly nonce: string
  readonly rotated: number
  readonly ends: number
}

interface Opened {
  readonly database: DatabaseSync
  readonly statements: Statements
  readonly counts: GrantCounts
  readonly bounds: GrantBounds
}

export class GrantDatabase {
  readonly #options: GrantDatabaseOptions
  #opened: Opened | undefined
  #failing = false
  /** Until then nothing is tried, monotonic: a file is read as a whole when it is opened. */
  #retryAt = 0

  constructor(options: GrantDatabaseOptions) {
    this.#options = options
  }

  /** All of them, or none: an answer for each. */
  run(requests: readonly GrantRequest[]): readonly GrantAnswer[] {
    if (this.#failing && this.#options.monotonic() < this.#retryAt) return requests.map(() => FAILED)
    try {
      const answers = this.#transaction(requests)
      if (this.#failing) this.#options.failure(undefined)
      this.#failing = false
      return answers
    } catch (error) {
      this.#close()
      const outcome = isCorrupt(error) ? this.#setAside(error) : `${this.#name} cannot be used (${textOf(error)})`
      this.#failing = true
      this.#retryAt = this.#options.monotonic() + RETRY_AFTER
      this.#options.failure(`${outcome}: refresh tokens and assertions are answered with 503 until it can`)
      return requests.map(() => FAILED)
    }
  }

  close(): void {
    this.#close()
  }

  get #name(): string {
    const { stateDirectory } = this.#options
    return stateDirectory === undefined ? 'the memory of refresh tokens' : join(stateDirectory, FILE)
  }

  #transaction(requests: readonly GrantRequest[]): readonly GrantAnswer[] {
    const opened = (this.#opened ??= this.#open())
    const { database } = opened
    const now = this.#options.wall()
    database.exec('BEGIN IMMEDIATE')
    try {
      this.#sweep(opened, now)
      const answers = requests.map((request) => ({ value: perform(opened, request, now) }))
      database.exec('COMMIT')
      return answers
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }

  #open(): Opened {
    const { stateDirectory } = this.#options
    const database =
      stateDirectory === undefined
        ? new DatabaseSync(':memory:')
        : openSqlite({ directory: stateDirectory, name: FILE, schema: SCHEMA, version: VERSION, upgrades: UPGRADES })
    try {
      if (stateDirectory === undefined) database.exec(SCHEMA)
      const statements = Object.fromEntries(
        Object.entries(STATEMENTS).map(([name, text]) => [name, database.prepare(text)]),
      ) as Statements
      const counts = new GrantCounts()
      const families = database.prepare('SELECT owner, client, COUNT(*) AS count FROM family GROUP BY owner, client')
      for (const { owner, client, count } of families.iterate())
        counts.family(String(owner), String(client), Number(count))
      const marks = database.prepare('SELECT owner, client, COUNT(*) AS count FROM mark GROUP BY owner, client')
      for (const { owner, client, count } of marks.iterate()) counts.mark(String(owner), String(client), Number(count))
      return { database, statements, counts, bounds: this.#options.bounds ?? GRANT_BOUNDS }
    } catch (error) {
      database.close()
      throw error
    }
  }

  #sweep({ statements, counts }: Opened, now: number): void {
    for (const { owner, client } of statements.sweepFamilies.all(now)) counts.family(String(owner), String(client), -1)
    for (const { owner, client } of statements.sweepMarks.all(now)) counts.mark(String(owner), String(client), -1)
  }

  #setAside(cause: unknown): string {
    const { stateDirectory } = this.#options
    try {
      if (stateDirectory !== undefined) setAsideSqlite({ directory: stateDirectory, name: FILE })
      return `${this.#name} could not be read (${textOf(cause)}) and was set aside as ${FILE}.corrupt; refresh tokens of before are not valid any more`
    } catch (error) {
      return `${this.#name} could not be read (${textOf(cause)}), nor set aside (${textOf(error)})`
    }
  }

  #close(): void {
    try {
      this.#opened?.database.close()
    } catch {
      // It was not open.
    }
    this.#opened = undefined
  }
}

function keyOf({ namespace, issuer }: GrantOwner): string {
  return `${namespace} ${issuer}`
}

function perform(opened: Opened, request: GrantRequest, now: number): unknown {
  const owner = keyOf(request.owner)
  switch (request.call) {
    case 'begin':
      return begin(opened, owner, request, now)
    case 'find':
      return familyOf(rowOf(opened, owner, request.family, now))
    case 'rotate':
      return rotate(opened, owner, request.rotation, now)
    case 'revoke':
      return revoke(opened, owner, request.family)
    case 'mark':
      return mark(opened, owner, request, now)
    case 'isMarked':
      return isMarked(opened, owner, request.mark, now)
  }
}

function rowOf({ statements }: Opened, owner: string, family: string, now: number): FamilyRow | undefined {
  const row = statements.find.get(owner, family) as FamilyRow | undefined
  return row === undefined || row.ends <= now ? undefined : row
}

function familyOf(row: FamilyRow | undefined): GrantFamily | undefined {
  if (row === undefined) return undefined
  const { grant_text: text, current, previous, ends } = row
  return { grant: JSON.parse(text) as Grant, current, previous, ends }
}

type Begin = Extract<GrantRequest, { readonly call: 'begin' }>

function begin(
  { statements, counts, bounds }: Opened,
  owner: string,
  { family, grant, digest, life }: Begin,
  now: number,
): boolean {
  const { client } = grant
  const { families } = bounds
  if (counts.familiesOfClient(owner, client) >= families.client) return false
  if (!hasRoom(counts.families, counts.familiesOfNamespace(owner), families)) return false
  statements.begin.run(owner, family, client, JSON.stringify(grant), digest, now + life)
  counts.family(owner, client, 1)
  return true
}

function rotate(opened: Opened, owner: string, request: RotationRequest, now: number): Rotation {
  const { family, presented, next, nonce, life, grace } = request
  const row = rowOf(opened, owner, family, now)
  if (row === undefined) return { outcome: 'missing' }
  if (row.current === presented) {
    opened.statements.rotate.run(next, presented, nonce, now, now + life, owner, family)
    return { outcome: 'rotated', nonce }
  }
  // A clock that was set back makes the grace no longer.
  const since = now - row.rotated
  if (row.previous === presented && since >= 0 && since <= grace) return { outcome: 'repeated', nonce: row.nonce }
  revoke(opened, owner, family)
  return { outcome: 'reused' }
}

function revoke({ statements, counts }: Opened, owner: string, family: string): void {
  const removed = statements.revoke.get(owner, family) as { readonly client: string } | undefined
  if (removed !== undefined) counts.family(owner, removed.client, -1)
}

type Mark = Extract<GrantRequest, { readonly call: 'mark' }>

function mark(
  opened: Opened,
  owner: string,
  { mark: name, client, life }: Mark,
  now: number,
): 'first' | 'again' | 'full' {
  const { statements, counts, bounds } = opened
  const known = statements.marked.get(owner, name) as { readonly ends: number; readonly client: string } | undefined
  if (known !== undefined && known.ends > now) return 'again'
  // It has ended and was not removed yet.
  if (known !== undefined) counts.mark(owner, known.client, -1)
  const ofClient = counts.marksOfClient(owner, client)
  if (ofClient >= bounds.marks.client || !hasRoom(counts.marks, counts.marksOfNamespace(owner), bounds.marks)) {
    if (known !== undefined) counts.mark(owner, known.client, 1)
    return 'full'
  }
  statements.mark.run(owner, name, client, now + life)
  counts.mark(owner, client, 1)
  return 'first'
}

function isMarked({ statements }: Opened, owner: string, name: string, now: number): boolean {
  const known = statements.marked.get(owner, name) as { readonly ends: number } | undefined
  return known !== undefined && known.ends > now
}
