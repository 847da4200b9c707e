/**
 * Two replicas that find and put responses in an archive while what keeps it is made to fail. Every body names its key
 * and version, and each that is found is checked; the origin changes all the time and removes what it changes.
 */
import { randomBytes } from 'node:crypto'
import { type ArchiveSource, type ResponseArchive, WHOLE_BYTES } from '../../src/cache/response-archive.ts'

export interface FaultRow {
  readonly fault: string
  readonly lookups: number
  readonly found: number
  /** Nothing there: fetched from the origin, and put. */
  readonly none: number
  /** It could not be asked in time: fetched from the origin. */
  readonly away: number
  /** Bodies that were checked, byte by byte. */
  readonly checked: number
  /** Of another key, cut, or mixed. */
  readonly wrong: number
  /** Of a version whose removal had been confirmed before the lookup began. */
  readonly removed: number
  /** Long bodies whose rest could not be had. */
  readonly broken: number
  /** Found by the store, and not opened. */
  readonly foreign: number
  /** Milliseconds of a lookup. */
  readonly median: number
  readonly longest: number
  /** Milliseconds from the end of the fault until something is found again. */
  readonly back: number
}

const KEYS = 60
const KEY_TTL = 20_000
/** One of so many is longer than a piece. */
const LONG = 10
const CHANGE_INTERVAL = 15
/** Of the tenant with large records. */
const GREEDY_KEYS = 8
const GREEDY_LANES = 32

let origins = 0

interface Page {
  readonly name: string
  readonly bytes: number
  /** Of the origin, now. */
  version: number
  /** What was removed for certain is of a lower version than this. */
  confirmed: number
}

interface Counts {
  lookups: number
  found: number
  none: number
  away: number
  checked: number
  wrong: number
  removed: number
  broken: number
}

/** The origin and the clients; the archives may be those of several replicas. */
export class FaultedCache {
  readonly #archives: readonly ResponseArchive[]
  readonly #pages: Page[]
  #counts: Counts = noCounts()
  #times: number[] = []
  #stopped = false

  constructor(archives: readonly ResponseArchive[]) {
    this.#archives = archives
    const origin = origins++
    this.#pages = Array.from({ length: KEYS }, (_, i) => ({
      // Its own: versions of two origins say nothing of each other.
      name: `GET https://${origin}.example/${i}`,
      bytes: i % LONG === 0 ? 3 * WHOLE_BYTES + i : 1_000 + i,
      version: 1,
      confirmed: 1,
    }))
  }

  /** Until something is found. */
  async finds(): Promise<void> {
    while (!(await Promise.all(this.#archives.map((archive) => this.#request(archive)))).includes('found'))
      await pause(1)
  }

  async measure(fault: string, duration: number, begin: () => unknown, end: () => unknown): Promise<FaultRow> {
    await this.finds()
    this.#counts = noCounts()
    this.#times = []
    const foreign = this.#foreign()
    this.#stopped = false
    const changing = this.#change()
    const requests: Promise<unknown>[] = []
    await begin()
    const until = performance.now() + duration
    while (performance.now() < until) {
      for (const archive of this.#archives) requests.push(this.#request(archive))
      await pause(1)
    }
    await end()
    const ended = performance.now()
    const { lookups, ...counts } = { ...this.#counts }
    const times = this.#times.toSorted((a, b) => a - b)
    await this.finds()
    const back = performance.now() - ended
    this.#stopped = true
    await Promise.all([changing, ...requests])
    const { checked, wrong, removed, broken } = this.#counts
    return {
      fault,
      ...counts,
      lookups,
      checked,
      wrong,
      removed,
      broken,
      foreign: this.#foreign() - foreign,
      median: times[times.length >> 1] ?? 0,
      longest: times.at(-1) ?? 0,
      back,
    }
  }

  /** Puts records of another namespace, as large as they can be, and looks them up all the time. */
  async greedy(over: () => boolean): Promise<void> {
    const [archive] = this.#archives
    const keyOf = (i: number) => ({ namespace: 'greedy', primary: Buffer.from(`${i}`), variantOf: () => undefined })
    for (let i = 0; i < GREEDY_KEYS; i++) {
      const answer = await archive!.find(keyOf(i))
      const record = { head: randomBytes(WHOLE_BYTES), ttl: KEY_TTL }
      if (answer.type !== 'away') await archive!.put(answer.ticket, record, sourceOf(randomBytes(WHOLE_BYTES)))
    }
    const lane = async (i: number): Promise<void> => {
      while (!over()) if ((await archive!.find(keyOf(i % GREEDY_KEYS))).type !== 'found') await pause(1)
    }
    for (let i = 0; i < GREEDY_LANES; i++) void lane(i)
  }

  #foreign(): number {
    return this.#archives.reduce((sum, { statistics }) => sum + statistics.foreign, 0)
  }

  async #request(archive: ResponseArchive): Promise<string> {
    const page = this.#pages[Math.floor(Math.random() ** 2 * KEYS)]!
    const least = page.confirmed
    const counts = this.#counts
    const primary = Buffer.from(page.name)
    const key = { namespace: 'shop', primary, variantOf: () => undefined }
    const begun = performance.now()
    const answer = await archive.find(key)
    this.#times.push(performance.now() - begun)
    counts.lookups++
    counts[answer.type]++
    if (answer.type === 'found') {
      await this.#check(page, least, answer.head, await this.#read(answer))
      return 'found'
    }
    if (answer.type === 'none') {
      // The origin answers some time later, by when its page may be another one.
      const { version } = page
      await pause(Math.random() * 10)
      const head = Buffer.from(`${page.name}\n${version}\n${page.bytes}`)
      await archive.put(answer.ticket, { head, ttl: KEY_TTL }, sourceOf(bodyOf(page, version)))
    }
    return answer.type
  }

  async #read(
    hit: { readonly bodyBytes: number } & Extract<Awaited<ReturnType<ResponseArchive['find']>>, { type: 'found' }>,
  ) {
    const reader = hit.read(0, hit.bodyBytes)
    const parts: Uint8Array[] = []
    try {
      for (let part = await reader.next(); part !== null; part = await reader.next()) parts.push(part)
    } catch {
      this.#counts.broken++
      return undefined
    }
    return Buffer.concat(parts)
  }

  #check(page: Page, least: number, head: Uint8Array, body: Buffer | undefined): void {
    const counts = this.#counts
    const [name, version, bytes] = Buffer.from(head).toString().split('\n')
    if (Number(version) < least) counts.removed++
    if (body === undefined) return
    counts.checked++
    const right = name === page.name && Number(bytes) === page.bytes && body.equals(bodyOf(page, Number(version)))
    if (!right) counts.wrong++
  }

  /** The origin changes a page, and has what is stored of it removed. */
  async #change(): Promise<void> {
    while (!this.#stopped) {
      const page = this.#pages[Math.floor(Math.random() * KEYS)]!
      const version = ++page.version
      const archive = this.#archives[version % this.#archives.length]!
      void archive.remove({ namespace: 'shop', primary: Buffer.from(page.name) }).then((removed) => {
        if (removed) page.confirmed = Math.max(page.confirmed, version)
      })
      await pause(CHANGE_INTERVAL)
    }
  }
}

function noCounts(): Counts {
  return { lookups: 0, found: 0, none: 0, away: 0, checked: 0, wrong: 0, removed: 0, broken: 0 }
}

/** Names its key and version in every line. */
export function bodyOf({ name, bytes }: Pick<Page, 'name' | 'bytes'>, version: number): Buffer {
  return Buffer.alloc(bytes, `${name} version ${version}\n`)
}

export function sourceOf(body: Buffer): ArchiveSource {
  return {
    bytes: body.length,
    copy(from, target) {
      target.set(body.subarray(from, from + target.length))
      return true
    },
  }
}

/** How stored bytes are spoilt. */
export const SPOILT: readonly { readonly what: string; readonly change: (bytes: Buffer, other: Buffer) => Buffer }[] = [
  { what: 'cut to half', change: (bytes) => bytes.subarray(0, bytes.length >> 1) },
  { what: 'of one byte changed', change: flipped },
  { what: 'of another key', change: (_, other) => other },
  { what: 'of a newer format', change: (bytes) => Buffer.concat([Buffer.from([2]), bytes.subarray(1)]) },
  { what: 'foreign', change: (bytes) => randomBytes(bytes.length) },
]

function flipped(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  if (changed.length > 0) changed[Math.floor(Math.random() * changed.length)]! ^= 1
  return changed
}

export function tableOf(rows: readonly FaultRow[]): string {
  const time = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
  return [
    '| what happens | lookups | found | nothing there | not in time | bodies checked | wrong | of a removed version | ended early | not opened | median | longest | finds again after |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...rows.map(
      (row) =>
        `| ${row.fault} | ${row.lookups} | ${row.found} | ${row.none} | ${row.away} | ${row.checked} | ${row.wrong} | ${row.removed} | ${row.broken} | ${row.foreign} | ${time(row.median)} | ${time(row.longest)} | ${time(row.back)} |`,
    ),
  ].join('\n')
}

export const pause = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time))
