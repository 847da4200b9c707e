/**
 * Last good versions of stale objects, kept in the state directory so that a restart serves the same as before it. One
 * file an object, replaced as a whole; Routes, Backends and hostnames that are kept only, so no Secret is ever written
 * here. Where there is a key each file is sealed as what is remembered of a cluster is: a record is as good as a Route.
 */
import { createHash } from 'node:crypto'
import { lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describeFileError } from '../../lib/system-error.ts'
import type { SliceClock } from '../../lib/time-slice.ts'
import { readPlainFile, replaceFile, syncFolder } from '../../source/checkpoint/state-file.ts'
import { decodeState, encodeState } from '../../source/checkpoint/state-format.ts'
import type { StateKey } from '../../source/checkpoint/state-key.ts'
import type { LastGood, LastGoodChange } from '../../thread/retained-state.ts'

/** A Route is bounded by the API server's request limit of 3 MiB; a file is somewhat longer than that. */
const MAX_BYTES = 4 * 1024 * 1024

/** Files written at the same time. */
const AT_ONCE = 4

/** Stands where a file of a cluster has that cluster: by it neither is ever taken for the other. */
const SEALED_AS = 'last good version'

export class LastGoodFolder {
  readonly #directory: string
  readonly #warn: (message: string) => void
  readonly #time: SliceClock
  readonly #keys: (() => Promise<readonly StateKey[]>) | undefined
  /** The newest wish for each file that is not on disk yet. */
  readonly #pending = new Map<string, LastGoodChange>()
  /** Of hostnames: these are waited for, so thousands of broken objects stand behind them. */
  readonly #hostnames = new Map<string, LastGoodChange>()
  /** By file: what is being written or deleted. */
  readonly #open = new Map<string, LastGoodChange['kind']>()
  #writing: Promise<void> | undefined
  #recorded: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined

  /**
   * @param stateDirectory made when it is not there
   * @param warn what could not be read or written, and what follows from it; nothing here ever throws
   * @param keys read again for each write; none = not encrypted, and who may write there is as trusted as the
   *   Routes are
   */
  constructor(
    stateDirectory: string,
    time: SliceClock,
    warn: (message: string) => void,
    keys?: () => Promise<readonly StateKey[]>,
  ) {
    this.#time = time
    this.#directory = join(stateDirectory, 'last-good')
    this.#warn = warn
    this.#keys = keys
  }

  /** What an earlier process stored; what cannot be read is reported and passed over. */
  async read(): Promise<LastGood[]> {
    let names: string[]
    let keys: readonly StateKey[] | undefined
    try {
      await this.#refuseLink()
      names = await readdir(this.#directory)
      keys = await this.#keys?.()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT')
        this.#warn(
          `cannot read ${this.#directory} (${describeFileError(error)}): objects that are invalid now are not served`,
        )
      return []
    }
    const records: LastGood[] = []
    for (const name of names.sort()) {
      const path = join(this.#directory, name)
      // Begun by a process that ended before it could rename it.
      if (name.endsWith('.tmp')) await rm(path, { force: true }).catch(() => {})
      if (!name.endsWith('.json')) continue
      const record = await this.#readOne(path, name, keys)
      if (record !== undefined) records.push(record)
    }
    // A key is being replaced: the old one may go once everything is sealed by the new one.
    if (keys !== undefined && keys.length > 1) this.keep(records as LastGoodChange[])
    return records
  }

  /**
   * Takes note of what is to be kept, or no longer, and writes in the background; only the newest wish for an object
   * counts.
   */
  keep(changes: Iterable<LastGoodChange>): void {
    for (const change of changes) {
      if (change.kind === 'Hostname') this.#recorded ??= Promise.withResolvers<void>()
      this.#wishes(change).set(fileOf(change), change)
    }
    this.#begin()
  }

  #begin(): void {
    if (this.#writing !== undefined || this.#next() === undefined) return
    this.#writing = Promise.all(Array.from({ length: AT_ONCE }, () => this.#drain())).then(() => {
      this.#writing = undefined
      // Noted after the last look and before this.
      this.#begin()
    })
  }

  #wishes({ kind }: LastGoodChange): Map<string, LastGoodChange> {
    return kind === 'Hostname' ? this.#hostnames : this.#pending
  }

  /** Resolves when every hostname noted so far is on disk, or was reported not to be. */
  async recorded(): Promise<void> {
    await this.#recorded?.promise
  }

  /** Resolves when everything noted so far is on disk, or was reported not to be. */
  async flushed(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  async #readOne(path: string, name: string, keys: readonly StateKey[] | undefined): Promise<LastGood | undefined> {
    try {
      const bytes = await readPlainFile(path, MAX_BYTES)
      // Another process has dropped it meanwhile.
      if (bytes === undefined) return undefined
      const text = keys === undefined ? bytes : await opened(bytes, keys, this.#time)
      const record = recordOf(JSON.parse(text.toString('utf8')))
      if (record === undefined || fileOf(record) !== name) throw new TypeError('not a record of this version')
      return record
    } catch (error) {
      this.#warn(
        `ignoring ${path} (${describeFileError(error)}): if its object is invalid now, it is not served; delete the file`,
      )
      return undefined
    }
  }

  /** One of several that run at a time. A file that another one has open waits for it. */
  async #drain(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const { file, change } = next
      this.#wishes(change).delete(file)
      this.#open.set(file, change.kind)
      await this.#bring(file, change)
      this.#open.delete(file)
      this.#resolveRecorded()
    }
  }

  #next(): { readonly file: string; readonly change: LastGoodChange } | undefined {
    for (const wishes of [this.#hostnames, this.#pending])
      for (const [file, change] of wishes) if (!this.#open.has(file)) return { file, change }
    return undefined
  }

  #resolveRecorded(): void {
    if (this.#hostnames.size > 0 || this.#open.values().some((kind) => kind === 'Hostname')) return
    this.#recorded?.resolve()
    this.#recorded = undefined
  }

  async #bring(file: string, change: LastGoodChange): Promise<void> {
    try {
      if (change.object === undefined) await rm(join(this.#directory, file), { force: true })
      else await this.#write(file, change)
    } catch (error) {
      const what = `the last good version of ${change.kind} ${change.key}`
      this.#warn(
        change.object === undefined
          ? `cannot delete ${what} (${describeFileError(error)}): it may be served again if the object becomes invalid and this restarts`
          : `cannot keep ${what} (${describeFileError(error)}): it serves on, but not after a restart; correct the object or the state directory`,
      )
    }
  }

  async #write(file: string, { kind, key, object }: LastGoodChange): Promise<void> {
    await mkdir(this.#directory, { recursive: true })
    await this.#refuseLink()
    const text = Buffer.from(JSON.stringify({ version: VERSION, kind, key, object }))
    const keys = await this.#keys?.()
    const parts = keys === undefined ? [text] : sealed(text, keys)
    await replaceFile(join(this.#directory, file), parts, MAX_BYTES)
    // Otherwise the name may be gone after a power cut.
    await syncFolder(this.#directory)
  }

  /** A link made by a user who may write the folder above could lead reads and writes elsewhere. */
  async #refuseLink(): Promise<void> {
    if ((await lstat(this.#directory)).isSymbolicLink())
      throw new TypeError('there is a symbolic link in its place, and those are not followed')
  }
}

function sealed(text: Buffer, [key]: readonly StateKey[]): Buffer[] {
  const header = { written: new Date(0).toISOString(), cluster: SEALED_AS, namespaces: [] }
  const encoder = encodeState(header, key)
  return [encoder.head, encoder.update(text), encoder.end()]
}

async function opened(file: Buffer, keys: readonly StateKey[], time: SliceClock): Promise<Buffer> {
  const { header, lines } = await decodeState(file, keys, time)
  if (header.cluster !== SEALED_AS) throw new TypeError('it is something else')
  return lines
}

const VERSION = 1

function recordOf(value: unknown): LastGood | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { version, kind, key, object } = value as Readonly<Record<string, unknown>>
  if (version !== VERSION || typeof key !== 'string' || (kind !== 'Route' && kind !== 'Backend' && kind !== 'Hostname'))
    return undefined
  return { kind, key, object }
}

/** Names of objects may be longer than names of files. */
function fileOf({ kind, key }: Pick<LastGood, 'kind' | 'key'>): string {
  return `${createHash('sha256').update(`${kind} ${key}`).digest('hex')}.json`
}

function codeOf(error: unknown): string | undefined {
  return (error as { code?: string }).code
}
