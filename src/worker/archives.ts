/**
 * The archives of responses as a worker has them: in the Redis of the settings, and in files of the state directory.
 * Neither costs anything before a policy asks for it.
 */
import type { MessagePort } from 'node:worker_threads'
import type { ARCHIVES, ArchiveOutcome, ResponseArchive } from '../cache/response-archive.ts'
import type { Milliseconds, Random, TimerClock } from '../lib/clock.ts'
import type { Contents } from '../policy/contents.ts'
import type { RedisLocation } from '../snapshot/redis-location.ts'
import { FileRecords } from '../store/archive/file-records.ts'
import { RecordArchive } from '../store/archive/record-archive.ts'
import type { Records } from '../store/archive/records.ts'
import { RedisAccess } from '../store/redis/redis-access.ts'
import { MAX_REDIS_BODY, NO_MEMORY, RedisRecords } from '../store/redis/redis-records.ts'
import { type AccessReportEdges, accessReport } from './access-report.ts'

export interface WorkerArchivesEdges extends AccessReportEdges {
  readonly clock: TimerClock
  readonly random: Random
  /** That nobody can guess. */
  readonly randomBytes: (size: number) => Uint8Array
  readonly contents: Contents
  /** Of the installation. */
  readonly key: () => Uint8Array
  /** Asks control for the files; it answers with {@link WorkerArchives.useFiles}. */
  readonly askForFiles: () => void
  /** Of bodies that are put at a time, see `RecordArchive`. */
  readonly maxPutBytes: number
  /** For the metrics. */
  readonly count: (archive: (typeof ARCHIVES)[number], outcome: ArchiveOutcome) => void
}

/**
 * A request goes on as a miss within 20 ms of its lookup, all steps of it together. Timers fire up to a millisecond
 * late, and replies that lie in the socket are read before a call is given up.
 */
const LOOKUP: Milliseconds = 18
/**
 * A Redis without room for what is put still gives what it has, and one whose slot is on its way to another node all
 * other slots.
 */
const OF_COMMAND = [NO_MEMORY, 'TRYAGAIN']
const LOOKUPS = { deadline: LOOKUP, inFlight: 512, ofCommand: OF_COMMAND }
/** Bodies, a piece of 128 KiB at a time, in a connection of their own: lookups do not wait behind them. */
const BULK = { deadline: 1_000, inFlight: 128, ofCommand: OF_COMMAND }
/** Of one file; the memory, where it is whole before, has a bound of its own. */
const MAX_FILE_BODY = 1_024 * 1_024 * 1_024

interface RedisOfArchive {
  readonly accesses: readonly RedisAccess[]
  readonly archive: ResponseArchive
}

export class WorkerArchives {
  readonly #edges: WorkerArchivesEdges
  #location: RedisLocation | null = null
  #redis: RedisOfArchive | undefined
  #files: { readonly records: FileRecords; readonly archive: ResponseArchive } | undefined

  constructor(edges: WorkerArchivesEdges) {
    this.#edges = edges
  }

  /** The one behind the memory; undefined: this store has none. Where it cannot be reached it says so itself. */
  of(store: 'Memory' | 'Redis' | 'Tiered' | 'File'): ResponseArchive | undefined {
    if (store === 'Memory') return undefined
    if (store !== 'File') return (this.#redis ??= this.#openRedis()).archive
    if (this.#files === undefined) {
      this.#files = this.#openFiles()
      this.#files.records.prepare()
    }
    return this.#files.archive
  }

  /** Those that a policy has asked for. */
  get open(): readonly ResponseArchive[] {
    return [this.#redis?.archive, this.#files?.archive].filter((archive) => archive !== undefined)
  }

  use(location: RedisLocation | null): void {
    this.#location = location
    for (const access of this.#redis?.accesses ?? []) access.use(location)
  }

  /** A password may be another one. */
  contentsChanged(): void {
    for (const access of this.#redis?.accesses ?? []) access.contentsChanged()
  }

  useFiles(port: MessagePort | null): void {
    if (this.#files === undefined) port?.close()
    else this.#files.records.use(port)
  }

  /** A new control thread: the one that owned the files has ended with the old one. */
  forget(): void {
    this.#files?.records.forget()
  }

  #openRedis(): RedisOfArchive {
    const { clock, random, randomBytes, contents, problem } = this.#edges
    // The other one says what is to be said.
    const edges = { contents, time: clock, random }
    const lookups = new RedisAccess(LOOKUPS, { ...edges, report: accessReport('the cache', this.#edges) })
    const bulk = new RedisAccess(BULK, { ...edges, report: () => {} })
    for (const access of [lookups, bulk]) access.use(this.#location)
    const full = (): void =>
      problem('the cache: Redis is out of memory, and takes no responses; give it `maxmemory-policy allkeys-lru`')
    const records = new RedisRecords({ lookups, bulk, time: clock, randomBytes, full })
    return { accesses: [lookups, bulk], archive: this.#archive('Redis', records, MAX_REDIS_BODY) }
  }

  #openFiles(): { readonly records: FileRecords; readonly archive: ResponseArchive } {
    const { clock, askForFiles } = this.#edges
    const records = new FileRecords({ time: clock, deadline: LOOKUP, patience: BULK.deadline, ask: askForFiles })
    return { records, archive: this.#archive('File', records, MAX_FILE_BODY) }
  }

  #archive(name: 'Redis' | 'File', records: Records, maxBodyBytes: number): ResponseArchive {
    const { clock, randomBytes, key, maxPutBytes, count } = this.#edges
    return new RecordArchive({
      name,
      records,
      master: key,
      time: clock,
      randomBytes,
      deadline: LOOKUP,
      maxBodyBytes,
      maxPutBytes,
      count: (outcome) => count(name, outcome),
    })
  }
}
