/**
 * The history of purges in a file of the state directory, for those without Redis: what is stored in files is purged
 * after a restart, too. A record is on the disk before it counts as kept; a line that was cut by the end of the process
 * was never said to be kept, and anything else that is no record makes it another history. It is of one process at a
 * time: another one with the same directory has no history until this one has ended, as it would not hear what is
 * purged here, and so it takes nothing from files and puts nothing there.
 */
import { constants } from 'node:fs'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { decodePurge, encodePurge, type PurgeRecord } from '../cache/purge-record.ts'
import type { Milliseconds, Random, TimerClock } from '../lib/clock.ts'
import { describeFileError } from '../lib/system-error.ts'
import { claimFolder, type FolderClaim } from './folder-claim.ts'
import type { PurgeReach, PurgeStore, PurgeStoreEvents } from './purge-store.ts'

const FILE = 'purges.log'
const CLAIM = 'purges.lock'
/** Between two looks at whether another process has ended, and those before that is said. */
const LOOK: Milliseconds = 250
const QUIET_LOOKS = 4
const HEADER = /^headgate purges 1 ([1-9][0-9]{0,15}) ([0-9]{1,16})$/
/** Records that are kept, and bytes of them; twice as many in the file at most. */
const KEPT = 16_384
const KEPT_BYTES = 8 * 1_024 * 1_024
/** A link in its place would lead elsewhere. */
const { O_RDONLY, O_WRONLY, O_APPEND, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants
const OWN = 0o600

export interface PurgeJournalEdges {
  readonly random: Random
  readonly time: Pick<TimerClock, 'after'>
}

export class PurgeJournal implements PurgeStore {
  readonly #folder: string
  readonly #edges: PurgeJournalEdges
  readonly #events: PurgeStoreEvents
  #history = 0
  /** Place of the last record that was forgotten. */
  #floor = 0
  /** Lines of the file, from `#floor` + 1 on. */
  #lines: string[] = []
  #bytes = 0
  /** What is written comes one behind the other. */
  #writing: Promise<void>
  #stopped = false
  #claim: FolderClaim | undefined
  #lookNow: () => void = () => {}

  constructor(folder: string, edges: PurgeJournalEdges, events: PurgeStoreEvents) {
    this.#folder = folder
    this.#edges = edges
    this.#events = events
    this.#writing = this.#begin()
  }

  append(records: readonly PurgeRecord[]): Promise<void> {
    const written = this.#writing.then(() => this.#append(records))
    this.#writing = written.catch(() => {})
    return written
  }

  async reach(): Promise<PurgeReach> {
    return { members: [], complete: true }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#lookNow()
    await this.#writing
    this.#claim?.release()
    this.#claim = undefined
  }

  /** Never rejects. */
  async #begin(): Promise<void> {
    await this.#whenOurs()
    if (this.#stopped) return
    const text = await readFile(join(this.#folder, FILE), {
      encoding: 'utf8',
      flag: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
    }).catch(() => '')
    const [header = '', ...lines] = text.split('\n')
    // Behind the last line end is nothing, or what was cut.
    lines.pop()
    const [, history, floor] = HEADER.exec(header) ?? []
    const records = lines.map((line) => decodePurge(Buffer.from(line, 'base64')))
    const whole = history !== undefined && !records.includes(undefined)
    this.#history = whole ? Number(history) : 1 + Math.floor(this.#edges.random() * (Number.MAX_SAFE_INTEGER - 1))
    this.#floor = whole ? Number(floor) : 0
    this.#keep(whole ? lines : [])
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      await this.#rewrite()
    } catch (error) {
      this.#fail(error)
    }
    if (this.#stopped) return
    this.#events.began(this.#history, this.#floor, !whole && text !== '')
    if (!whole) return
    const first = records.length - this.#lines.length
    for (let i = first; i < records.length; i++)
      this.#events.told({ ...records[i]!, position: this.#floor + 1 + i - first })
  }

  async #append(records: readonly PurgeRecord[]): Promise<void> {
    // The file is, or may be, another one's by now, who does not hear of what is written here.
    if (this.#claim === undefined) throw new TypeError('a purge for a history that was stopped')
    const lines = records.map((record) => Buffer.from(encodePurge(record)).toString('base64'))
    const first = this.#floor + this.#lines.length + 1
    try {
      const file = await open(join(this.#folder, FILE), O_WRONLY | O_APPEND | O_NOFOLLOW, OWN)
      try {
        await file.write(lines.map((line) => `${line}\n`).join(''))
        await file.datasync()
      } finally {
        await file.close()
      }
      this.#keep(lines)
      if (this.#lines.length > 2 * KEPT || this.#bytes > 2 * KEPT_BYTES) await this.#compact()
    } catch (error) {
      this.#fail(error)
      // What of it is in the file is not known: the next one begins with what is.
      await this.#rewrite().catch(() => {})
      throw error
    }
    this.#events.failure(undefined)
    for (const [i, record] of records.entries()) this.#events.told({ ...record, position: first + i })
  }

  #keep(lines: readonly string[]): void {
    for (const line of lines) {
      this.#lines.push(line)
      this.#bytes += line.length
    }
  }

  async #compact(): Promise<void> {
    let dropped = 0
    while (this.#lines.length - dropped > KEPT || this.#bytes > KEPT_BYTES)
      this.#bytes -= this.#lines[dropped++]!.length
    this.#lines = this.#lines.slice(dropped)
    this.#floor += dropped
    await this.#rewrite()
  }

  async #rewrite(): Promise<void> {
    const path = join(this.#folder, FILE)
    const file = await open(`${path}.new`, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, OWN)
    try {
      await file.write(`${[`headgate purges 1 ${this.#history} ${this.#floor}`, ...this.#lines].join('\n')}\n`)
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(`${path}.new`, path)
  }

  /** Until no other process has it, or this one is stopped. */
  async #whenOurs(): Promise<void> {
    for (let looks = 1; !this.#stopped; looks++) {
      this.#claim = claimFolder(this.#folder, CLAIM)
      if (this.#claim !== undefined && looks > QUIET_LOOKS) this.#events.failure(undefined)
      if (this.#claim !== undefined) return
      if (looks === QUIET_LOOKS) this.#events.failure(`another process keeps ${join(this.#folder, FILE)}; ${REMEDY}`)
      await this.#pause()
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#edges.time.after(LOOK, resolve)
      this.#lookNow = () => {
        stop()
        resolve()
      }
    })
  }

  #fail(error: unknown): void {
    this.#events.failure(`${FILE} cannot be written: ${describeFileError(error)}`)
  }
}

const REMEDY = 'give each process a state directory of its own; until that one ends, this one has no files of the cache'
