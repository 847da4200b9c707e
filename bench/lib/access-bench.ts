/**
 * Rows of access: what a policy costs is the difference of two rules of one Headgate, asked in turn with the same
 * requests; beside it stand peers that decide by the same.
 */
import { type AccessRow, accessRows, CLUSTER_ROW, FRESH_ROW } from './access-rows.ts'
import {
  accessManifests,
  PLAIN,
  type RedisServer,
  startAccessCaddy,
  startAccessHaproxy,
  startAccessNginx,
  startRedis,
  startVerifier,
  type Verifier,
} from './access-servers.ts'
import { makeTokens, type Tokens } from './access-tokens.ts'
import { type Comparison, compare, type Plan } from './compare.ts'
import { type LoadResult, load } from './load.ts'
import { CADDY, HAPROXY, provide, REDIS } from './programs.ts'
import { comparisonTable, failures } from './report.ts'
import { HOST, type Origin, type Server, startHeadgate } from './servers.ts'

export interface AccessBenchOptions {
  readonly scratch: string
  readonly cpus: { readonly proxy: number | undefined; readonly load: number | undefined }
  readonly origin: Origin
  readonly quick: boolean
  readonly say: (line: string) => void
  readonly planFor: (name: string) => Plan
  readonly wanted: (name: string) => boolean
  readonly keep: <T extends Server>(starting: Promise<T>) => Promise<T>
}

export interface AccessReport {
  readonly comparisons: readonly Comparison[]
  /** Of a token that is not known: by what jose alone takes, what it takes more than a request without a policy. */
  readonly verification?: number
  /** To Redis, for each request with a limit that is counted there. */
  readonly roundTrips?: number
}

interface Side extends Server {
  readonly path: string
}

const WITHOUT = 'without'

export class AccessBench {
  readonly #options: AccessBenchOptions
  #redis: RedisServer | undefined
  #verifier: Verifier | undefined
  /** Requests so far, by path. */
  readonly #sent = new Map<string, number>()
  #failed = 0

  constructor(options: AccessBenchOptions) {
    this.#options = options
  }

  get failed(): number {
    return this.#failed
  }

  /** @returns the figures, or undefined where no row is wanted */
  async run(): Promise<AccessReport | undefined> {
    const { scratch, wanted, quick } = this.#options
    if (!accessRows(NO_TOKENS).some(({ name }) => wanted(name))) return undefined
    const tokens = await makeTokens(scratch, quick)
    const rows = accessRows(tokens).filter(({ name }) => wanted(name))
    const servers = await this.#start(tokens)
    const comparisons: Comparison[] = []
    let verification: number | undefined
    let roundTrips: number | undefined
    for (const row of rows) {
      const before = this.#redis!.scripts()
      const comparison = await this.#row(row, servers)
      if (row.name === CLUSTER_ROW) roundTrips = this.#roundTrips(row, before)
      comparisons.push(comparison)
      if (row.name === FRESH_ROW) verification = this.#verification(comparison)
    }
    return {
      comparisons,
      ...(verification !== undefined && { verification }),
      ...(roundTrips !== undefined && { roundTrips }),
    }
  }

  async #start(tokens: Tokens): Promise<ReadonlyMap<string, Server>> {
    const { scratch, cpus, origin, quick, keep, say } = this.#options
    const manifests = accessManifests(origin, tokens)
    const noRedis = provide([REDIS])
    if (noRedis !== undefined) throw new Error(noRedis)
    this.#redis = await keep(startRedis(scratch, cpus.load))
    const addresses = [`127.0.0.1:${this.#redis.port}`]
    const settings = (port: number) => ({
      listeners: [{ name: 'http', address: '127.0.0.1', port }],
      redis: { addresses },
    })
    const gateway = await keep(startHeadgate(scratch, cpus.proxy, manifests, { name: 'headgate-access', settings }))
    this.#verifier = await keep(startVerifier(cpus.proxy, tokens))
    const servers: Server[] = [{ ...gateway, name: 'headgate' }, this.#verifier]
    servers.push(await keep(startAccessNginx(scratch, cpus.proxy, origin)))
    const noHaproxy = provide([HAPROXY])
    if (noHaproxy === undefined) servers.push(await keep(startAccessHaproxy(scratch, cpus.proxy, origin, tokens)))
    else say(`${noHaproxy}: it is left out`)
    const noCaddy = quick ? undefined : provide([CADDY])
    if (noCaddy !== undefined) say(`${noCaddy}: it is left out`)
    else if (!quick) servers.push(await keep(startAccessCaddy(scratch, cpus.proxy, origin)))
    return new Map(servers.map((server) => [server.name, server]))
  }

  async #row(row: AccessRow, servers: ReadonlyMap<string, Server>): Promise<Comparison> {
    const { say, planFor } = this.#options
    const gateway = servers.get('headgate')!
    const peers = row.peers.map((name) => servers.get(name)).filter((server) => server !== undefined)
    const sides: readonly Side[] = [
      { ...gateway, path: row.path },
      { ...gateway, name: WITHOUT, path: PLAIN },
      ...peers.map((server) => ({ ...server, path: row.path })),
    ]
    const comparison = await compare<Side>(
      { ...row, run: (side, seconds) => this.#load(row, side, seconds) },
      sides,
      planFor(row.name),
    )
    this.#failed += failures(comparison)
    const wanted = row.most === undefined ? {} : { [WITHOUT]: row.most }
    say(comparisonTable(row.shows, comparison, { wanted }))
    return comparison
  }

  async #load({ load: request }: AccessRow, { name, port, path }: Side, seconds: number): Promise<LoadResult> {
    if (name === this.#verifier!.name) return this.#verifier!.verify(seconds)
    const { scratch, cpus } = this.#options
    const result = await load(scratch, cpus.load, { ...request, port, path, seconds, host: HOST, connections: 64 })
    this.#sent.set(path, (this.#sent.get(path) ?? 0) + result.requests)
    return result
  }

  #roundTrips({ path }: AccessRow, before: number): number {
    const scripts = this.#redis!.scripts() - before
    const ratio = scripts / this.#sent.get(path)!
    this.#options.say(`  scripts that Redis ran: ${scripts}, ${ratio.toFixed(2)} a request (wanted: 1)`)
    return ratio
  }

  #verification({ figures }: Comparison): number {
    const cpuOf = (name: string) => figures.find(({ server }) => server === name)!.cpuPerRequest
    const more = cpuOf('headgate') - cpuOf(WITHOUT)
    const ratio = more / cpuOf('jose')
    const { say } = this.#options
    say(`  a token takes ${more.toFixed(1)} µs more than none: ${ratio.toFixed(2)} × jose alone (wanted: at most 1.05)`)
    return ratio
  }
}

const NO_TOKENS: Tokens = { publicKey: '', token: '', fresh: '' }
