/**
 * Rows of the cache: hits, misses, hits while large objects are stored, and many clients at one cold key; beside Debian's
 * nginx (`proxy_cache`) and Varnish, which do the same on the same core.
 */
import {
  cacheManifests,
  cacheSettings,
  LARGE,
  PLAIN,
  PLAIN_LARGE,
  SLOW,
  type SlowOrigin,
  STORED,
  startCacheNginx,
  startCacheOrigin,
  startSlowOrigin,
  startVarnish,
} from './cache-servers.ts'
import { type Comparison, compare, median, type Plan } from './compare.ts'
import { ask, type HerdResult } from './herd.ts'
import { type Load, load } from './load.ts'
import { openLoad } from './open-loop.ts'
import { provide, VARNISH } from './programs.ts'
import { comparisonTable } from './report.ts'
import { HOST, type Server, startHeadgate } from './servers.ts'

export interface CacheBenchOptions {
  readonly scratch: string
  readonly cpus: { readonly proxy: number | undefined; readonly load: number | undefined }
  readonly quick: boolean
  readonly bufferedLog: boolean
  /** Of a checkout of Headgate; undefined: this one. */
  readonly checkout?: string
  readonly say: (line: string) => void
  readonly planFor: (name: string) => Plan
  readonly wanted: (name: string) => boolean
  readonly keep: <T extends Server>(starting: Promise<T>) => Promise<T>
}

/** Milliseconds; medians over the rounds. */
export interface FillRow {
  readonly server: string
  readonly p99Alone: number
  readonly p99Filling: number
  /** While the same objects are fetched as fast, and none is stored: what is left of the processor for hits. */
  readonly p99Passing: number
  /** Of {@link p99Filling} to {@link p99Alone}. */
  readonly ratio: number
  readonly failed: number
}

export interface HerdRow extends HerdResult {
  readonly server: string
  /** What the origin was asked. */
  readonly fetches: number
}

export interface CacheReport {
  readonly comparisons: readonly Comparison[]
  readonly fill?: readonly FillRow[]
  readonly herd?: readonly HerdRow[]
}

interface Side extends Server {
  readonly path: string
}

export const CACHE_ROWS: readonly string[] = [
  'cache-hit',
  'cache-hit-numbered',
  'cache-miss',
  'cache-hit-under-fill',
  'cache-herd',
]

/** Ratios of processor time that are wanted at most. */
const MOST_HIT = { nginx: 0.6, varnish: 0.5 }
const MOST_MISS = { without: 1.1 }
const MOST_UNDER_FILL = 2

/** Of the hits under a fill: a third of what the slowest of the servers sustains alone. */
const HIT_RATE = 1_000
/** Large objects that are fetched at a time. */
const FILLS = 4
const HERD = 1_000
/** Bytes of the object that everybody asks for. */
const BYTES = 1_024

export class CacheBench {
  readonly #options: CacheBenchOptions
  #slow!: SlowOrigin
  #rounds = 0
  /** Of Headgate: what a peer refuses at this load is shown in its row. */
  #failed = 0

  constructor(options: CacheBenchOptions) {
    this.#options = options
  }

  get failed(): number {
    return this.#failed
  }

  /** @returns the figures, or undefined where no row is wanted */
  async run(): Promise<CacheReport | undefined> {
    const { wanted } = this.#options
    if (!CACHE_ROWS.some(wanted)) return undefined
    this.#slow = await startSlowOrigin()
    try {
      return await this.#rows()
    } finally {
      await this.#slow.stop()
    }
  }

  async #rows(): Promise<CacheReport> {
    const { wanted, scratch, cpus, keep } = this.#options
    const origin = await keep(startCacheOrigin(scratch, cpus.load))
    const manifests = cacheManifests(origin, this.#slow)
    const gateway = await keep(this.#headgate('headgate-cache', manifests, 1))
    const servers = [{ ...gateway, name: 'headgate' }, ...(await this.#peers(origin))]
    const comparisons: Comparison[] = []
    if (wanted('cache-hit')) comparisons.push(await this.#hits(servers, 'cache-hit', {}))
    if (wanted('cache-hit-numbered'))
      comparisons.push(await this.#hits(servers, 'cache-hit-numbered', { numbered: 'X-Number' }))
    if (wanted('cache-miss')) comparisons.push(await this.#misses(servers))
    const fill = wanted('cache-hit-under-fill') ? await this.#underFill(servers) : undefined
    let herd: HerdRow[] | undefined
    if (wanted('cache-herd')) {
      // One fetch for the clients of all workers.
      const two = await keep(this.#headgate('headgate-herd', manifests, 2))
      herd = await this.#herd([{ ...two, name: 'headgate, 2 workers' }, ...servers.slice(1)])
    }
    return { comparisons, ...(fill !== undefined && { fill }), ...(herd !== undefined && { herd }) }
  }

  #headgate(name: string, manifests: Readonly<Record<string, string>>, workers: number) {
    const { scratch, cpus, checkout } = this.#options
    const other = checkout === undefined ? {} : { checkout }
    return startHeadgate(scratch, cpus.proxy, manifests, { name, workers, settings: cacheSettings, ...other })
  }

  async #peers(origin: Server): Promise<Server[]> {
    const { scratch, cpus, keep, say, bufferedLog } = this.#options
    const peers = [await keep(startCacheNginx(scratch, cpus.proxy, origin, this.#slow, bufferedLog))]
    const noVarnish = provide([VARNISH])
    if (noVarnish === undefined) peers.push(await keep(startVarnish(scratch, cpus.proxy, origin, this.#slow)))
    else say(`${noVarnish}: it is left out`)
    return peers
  }

  /** One object of 1 KiB, again and again: by the same bytes, or by none that came before. */
  async #hits(servers: readonly Server[], name: string, more: Pick<Load, 'numbered'>): Promise<Comparison> {
    const { planFor } = this.#options
    const run = ({ port }: Server, seconds: number) => this.#load({ port, path: STORED, seconds, ...more })
    const numbered = more.numbered === undefined ? '' : ', each request with another field value'
    const shows = `${name}: 1 KiB from memory, keep-alive${numbered}`
    return this.#show(shows, await compare({ name, shows, run }, servers, planFor(name)), MOST_HIT)
  }

  /** Each request another object of 1 KiB: fetched, stored, and others evicted for it. */
  async #misses([gateway, ...peers]: readonly Server[]): Promise<Comparison> {
    const { planFor } = this.#options
    const sides: Side[] = [
      { ...gateway!, path: STORED },
      { ...gateway!, name: 'without', path: PLAIN },
      ...peers.map((server) => ({ ...server, path: STORED })),
    ]
    const run = ({ port, path }: Side, seconds: number) =>
      this.#load({ port, path, seconds, unique: `/${process.pid}-${this.#rounds++}-` })
    const shows = 'cache-miss: each request another object of 1 KiB, which is stored'
    const comparison = await compare<Side>({ name: 'cache-miss', shows, run }, sides, planFor('cache-miss'))
    return this.#show(shows, comparison, MOST_MISS)
  }

  #load(request: Pick<Load, 'port' | 'path' | 'seconds' | 'unique' | 'numbered'> & { readonly connections?: number }) {
    const { scratch, cpus } = this.#options
    return load(scratch, cpus.load, { host: HOST, connections: 64, ...request })
  }

  #show(shows: string, comparison: Comparison, wanted: Readonly<Record<string, number>>): Comparison {
    this.#failed += comparison.figures[0]!.failed
    this.#options.say(comparisonTable(shows, comparison, { wanted }))
    return comparison
  }

  /**
   * Hits at a fixed rate: alone, while objects of 1 MiB are fetched and stored as fast as that goes, and while they are
   * fetched alone.
   */
  async #underFill(servers: readonly Server[]): Promise<FillRow[]> {
    const { say, planFor } = this.#options
    const plan = planFor('cache-hit-under-fill')
    const rounds = servers.map(() => ({
      alone: [] as number[],
      filling: [] as number[],
      passing: [] as number[],
      failed: 0,
    }))
    for (const { port } of servers) await this.#load({ port, path: STORED, seconds: plan.warmUpSeconds })
    for (let i = 0; i < plan.rounds; i++)
      for (const [index, server] of servers.entries()) {
        const round = rounds[index]!
        const alone = await this.#hitsAtRate(server, plan.roundSeconds)
        round.alone.push(alone.latency.p99)
        round.failed += alone.failed
        for (const [path, figures] of [
          [LARGE, round.filling],
          [PLAIN_LARGE, round.passing],
        ] as const) {
          const fetch = this.#fetchLarge(server, path, plan.roundSeconds + 2)
          const hits = await this.#hitsAtRate(server, plan.roundSeconds)
          const fetched = await fetch
          figures.push(hits.latency.p99)
          round.failed += hits.failed + fetched.failed
        }
      }
    say(`\ncache-hit-under-fill: hits at ${HIT_RATE}/s, alone and while ${FILLS} objects of 1 MiB at a time are stored`)
    say('                        p99 ms alone   filling   passing     ratio   failed')
    return servers.map(({ name }, index) => {
      const { alone, filling, passing, failed } = rounds[index]!
      const ratio = median(filling.map((time, round) => time / alone[round]!))
      const [p99Alone, p99Filling, p99Passing] = [median(alone), median(filling), median(passing)]
      const row = { server: name, p99Alone, p99Filling, p99Passing, ratio, failed }
      if (index === 0) this.#failed += failed
      const cells = [p99Alone, p99Filling, p99Passing, ratio].map((figure) => figure.toFixed(2).padStart(9))
      const wanted = index === 0 ? ` (wanted: at most ${MOST_UNDER_FILL.toFixed(2)})` : ''
      say(`  ${name.padEnd(22)}${cells.join(' ')} ${String(failed).padStart(8)}${wanted}`)
      return row
    })
  }

  #hitsAtRate({ port }: Server, seconds: number) {
    const { cpus } = this.#options
    return openLoad(cpus.load, { port, path: STORED, host: HOST, seconds, connections: 32, rate: HIT_RATE })
  }

  #fetchLarge({ port }: Server, path: string, seconds: number) {
    const unique = `${process.pid}-${this.#rounds++}-`
    return this.#load({ port, path, seconds, unique, connections: FILLS })
  }

  /** All at once, each for a key that nobody has asked for before. */
  async #herd(servers: readonly Server[]): Promise<HerdRow[]> {
    const { say, quick } = this.#options
    say(`\ncache-herd: ${HERD} clients at one cold key`)
    say('                           fetches first ms  last ms   failed')
    const rows: HerdRow[] = []
    for (const [index, { name, port }] of servers.entries()) {
      const results: HerdRow[] = []
      for (let i = 0; i < (quick ? 1 : 3); i++) {
        const path = `${SLOW}${process.pid}-${this.#rounds++}`
        const result = await ask({ port, path, host: HOST, clients: HERD }, BYTES)
        results.push({ server: name, ...result, fetches: this.#slow.asked.get(path) ?? 0 })
      }
      // Of the herds the one with most fetches: one must be enough each time.
      const row = results.toSorted((a, b) => b.fetches - a.fetches || b.last - a.last)[0]!
      if (index === 0) this.#failed += results.reduce((sum, { failed }) => sum + failed, 0)
      const cells = [row.first, row.last].map((time) => time.toFixed(0).padStart(8))
      say(
        `  ${name.padEnd(22)}${String(row.fetches).padStart(10)} ${cells.join(' ')} ${String(row.failed).padStart(8)}`,
      )
      rows.push(row)
    }
    return rows
  }
}
