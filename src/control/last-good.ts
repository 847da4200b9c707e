/**
 * Last good versions of stale objects, kept in the state directory so that a restart serves the same as before it. One file an object,
 * replaced as a whole; Routes, Backends and hostnames that are kept only, so no Secret is ever written here.
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LastGood, LastGoodChange } from './resource-cache.ts'

/** A Route is bounded by the API server's request limit of 3 MiB; a file is somewhat longer than that. */
const MAX_BYTES = 4 * 1024 * 1024

export class LastGoodStore {
  readonly #directory: string
  readonly #warn: (message: string) => void
  /** The newest wish for each file that is not on disk yet. */
  readonly #pending = new Map<string, LastGoodChange>()
  #writing: Promise<void> | undefined

  /**
   * @param stateDirectory made when it is not there
   * @param warn told what could not be read or kept, and what follows from it; nothing here ever throws
   */
  constructor(stateDirectory: string, warn: (message: string) => void) {
    this.#directory = join(stateDirectory, 'last-good')
    this.#warn = warn
  }

  /** What an earlier process has left; what cannot be read is told and passed over. */
  async read(): Promise<LastGood[]> {
    let names: string[]
    try {
      names = await readdir(this.#directory)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT')
        this.#warn(`cannot read ${this.#directory} (${textOf(error)}): objects that are invalid now are not served`)
      return []
    }
    const records: LastGood[] = []
    for (const name of names.sort()) {
      const path = join(this.#directory, name)
      // Begun by a process that ended before it could rename it.
      if (name.endsWith('.tmp')) await rm(path, { force: true }).catch(() => {})
      if (!name.endsWith('.json')) continue
      const record = await this.#readOne(path, name)
      if (record !== undefined) records.push(record)
    }
    return records
  }

  /** Takes note of what is to be kept, or no longer, and writes in the background; only the newest wish for an object counts. */
  keep(changes: Iterable<LastGoodChange>): void {
    for (const change of changes) this.#pending.set(fileOf(change), change)
    if (this.#pending.size > 0 && this.#writing === undefined)
      this.#writing = this.#drain().finally(() => {
        this.#writing = undefined
      })
  }

  /** Resolves when everything noted so far is on disk, or was told not to be. */
  async flushed(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  async #readOne(path: string, name: string): Promise<LastGood | undefined> {
    try {
      if ((await stat(path)).size > MAX_BYTES) throw new TypeError(`larger than ${MAX_BYTES} bytes`)
      const record = recordOf(JSON.parse(await readFile(path, 'utf8')))
      if (record === undefined || fileOf(record) !== name) throw new TypeError('not a record of this version')
      return record
    } catch (error) {
      this.#warn(`ignoring ${path} (${textOf(error)}): if its object is invalid now, it is not served; delete the file`)
      return undefined
    }
  }

  async #drain(): Promise<void> {
    for (;;) {
      const next = this.#pending.entries().next()
      if (next.done === true) return
      const [file, change] = next.value
      this.#pending.delete(file)
      try {
        if (change.object === undefined) await rm(join(this.#directory, file), { force: true })
        else await this.#write(file, change)
      } catch (error) {
        const what = `the last good version of ${change.kind} ${change.key}`
        this.#warn(
          change.object === undefined
            ? `cannot delete ${what} (${textOf(error)}): it may be served again if the object becomes invalid and this restarts`
            : `cannot keep ${what} (${textOf(error)}): it serves on, but not after a restart; correct the object or the state directory`,
        )
      }
    }
  }

  async #write(file: string, { kind, key, object }: LastGoodChange): Promise<void> {
    await mkdir(this.#directory, { recursive: true })
    const path = join(this.#directory, file)
    const temporary = `${path}.tmp`
    try {
      const handle = await open(temporary, 'w', 0o600)
      try {
        await handle.writeFile(JSON.stringify({ version: VERSION, kind, key, object }))
        // A rename that survives a power cut must not point at nothing.
        await handle.datasync()
      } finally {
        await handle.close()
      }
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
  }
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

function textOf(error: unknown): string {
  if (codeOf(error) === 'ENOSPC') return 'the disk is full'
  return error instanceof Error ? error.message : String(error)
}
