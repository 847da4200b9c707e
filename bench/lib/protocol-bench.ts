/** The rows of TLS, HTTP/2, gRPC and WebSocket: Headgate, nginx and haproxy on one core, their access logs on. */
import { type Comparison, compare, type Plan } from './compare.ts'
import { type IdleFigures, idleConnections } from './connection-memory.ts'
import { type CertificateComparison, compareCertificates } from './many-certificates.ts'
import { H2LOAD, HAPROXY, provide } from './programs.ts'
import { type ProtocolRow, protocolRows } from './protocol-rows.ts'
import {
  type Backends,
  type ProtocolServer,
  protocolManifests,
  startEcho,
  startGrpcOrigin,
  startProtocolHaproxy,
  startRelay,
  startTlsHeadgate,
  startTlsNginx,
} from './protocol-servers.ts'
import { comparisonTable, failures } from './report.ts'
import type { Origin, Server } from './servers.ts'

export interface ProtocolBenchOptions {
  readonly scratch: string
  readonly cpus: { readonly proxy: number | undefined; readonly load: number | undefined }
  readonly origin: Origin
  readonly quick: boolean
  /** Without Headgate. */
  readonly peersOnly: boolean
  readonly connections: number
  readonly certificates: number
  readonly say: (line: string) => void
  readonly planFor: (name: string) => Plan
  readonly wanted: (name: string) => boolean
  readonly keep: <T extends Server>(starting: Promise<T>) => Promise<T>
}

/** Of a short run: the ones that show most, and the one peer that is wanted. */
const QUICK = new Set(['tls', 'handshakes', 'h2', 'grpc', 'websocket'])
const NEEDS_H2LOAD = new Set(['h2', 'grpc'])

export class ProtocolBench {
  readonly #options: ProtocolBenchOptions
  #failed = 0

  constructor(options: ProtocolBenchOptions) {
    this.#options = options
  }

  get failed(): number {
    return this.#failed
  }

  /** @returns the figures, or undefined where no row is wanted */
  async run(): Promise<object | undefined> {
    const { scratch, cpus, wanted, quick, say } = this.#options
    const rows = protocolRows(scratch, cpus.load).filter(({ name }) => wanted(name) && (!quick || QUICK.has(name)))
    const idle = ['idle', 'idle-tls'].filter((name) => wanted(name) && !quick)
    const certificates = wanted('certificates') && !quick && !this.#options.peersOnly
    if (rows.length + idle.length === 0 && !certificates) return undefined
    const h2loadMissing = provide([H2LOAD])
    if (h2loadMissing !== undefined) say(`${h2loadMissing}: its rows are left out`)
    const { servers, backends } = await this.#start()
    const comparisons: Comparison[] = []
    for (const row of rows) {
      if (h2loadMissing !== undefined && NEEDS_H2LOAD.has(row.name)) continue
      const comparison = await this.#row(row, servers)
      if (comparison !== undefined) comparisons.push(comparison)
    }
    const idleFigures: IdleFigures[] = []
    for (const name of idle) idleFigures.push(...(await this.#idle(servers, name === 'idle-tls')))
    return {
      comparisons,
      idle: idleFigures,
      certificates: certificates ? await this.#certificates(backends) : undefined,
    }
  }

  async #start(): Promise<{ servers: Map<string, ProtocolServer>; backends: Backends }> {
    const { scratch, cpus, origin, keep, peersOnly, say } = this.#options
    const backends = { origin, grpc: await keep(startGrpcOrigin(cpus.load)), echo: await keep(startEcho(cpus.load)) }
    const servers = new Map<string, ProtocolServer>()
    if (!peersOnly) {
      const gateway = await keep(startTlsHeadgate(scratch, cpus.proxy, protocolManifests(backends)))
      servers.set('headgate', gateway)
    }
    servers.set('nginx', await keep(startTlsNginx(scratch, cpus.proxy, backends)))
    const missing = provide([HAPROXY])
    if (missing === undefined) servers.set('haproxy', await keep(startProtocolHaproxy(scratch, cpus.proxy, backends)))
    else say(`${missing}: it is left out`)
    const relay = await keep(startRelay(cpus.proxy, backends.echo))
    servers.set('relay', { ...relay, name: 'relay', tlsPort: relay.port })
    return { servers, backends }
  }

  async #row(row: ProtocolRow, servers: ReadonlyMap<string, ProtocolServer>): Promise<Comparison | undefined> {
    const { quick, say, planFor } = this.#options
    const peers = Object.entries(row.peers).filter(([, most]) => !quick || most !== undefined)
    const sides = ['headgate', ...peers.map(([name]) => name)]
      .map((name) => servers.get(name))
      .filter((server) => server !== undefined)
    for (const side of sides) {
      const fault = await row.check?.(side)
      if (fault === undefined) continue
      say(`\n${row.shows}: not measured, ${side.name}: ${fault}`)
      this.#failed++
      return undefined
    }
    const comparison = await compare(row, sides, planFor(row.name))
    this.#failed += failures(comparison)
    const wanted = sides[0]?.name === 'headgate' ? row.peers : {}
    say(comparisonTable(row.shows, comparison, { unit: row.unit, wanted }))
    return comparison
  }

  async #idle(servers: ReadonlyMap<string, ProtocolServer>, tls: boolean): Promise<IdleFigures[]> {
    const { cpus, connections: count, say } = this.#options
    const most = tls ? 64 : 8
    say(`\n${count} idle keep-alive connections, ${tls ? 'TLS' : 'clear text'} (wanted: at most ${most} KiB each)`)
    const found: IdleFigures[] = []
    for (const name of ['headgate', 'nginx']) {
      const server = servers.get(name)
      if (server === undefined) continue
      const figures = await idleConnections(server, cpus.load, { count, tls })
      found.push(figures)
      this.#failed += count - figures.connections
      say(`  ${name.padEnd(10)}${figures.kibEach.toFixed(1).padStart(8)} KiB each, ${figures.connections} open`)
    }
    return found
  }

  async #certificates(backends: Backends): Promise<CertificateComparison> {
    const { scratch, cpus, certificates: count, say, planFor } = this.#options
    const plan = { ...planFor('certificates'), count }
    const comparison = await compareCertificates(scratch, cpus, backends, plan)
    const { many, one, handshakeRatio } = comparison
    say(`\n${count} hostnames with a certificate each (wanted: ready in 5 s, 100 MiB more, a handshake as with one)`)
    for (const side of [many, one])
      say(
        `  ${String(side.certificates).padStart(6)} certificates: ready after ${Math.round(side.readyAfter)} ms, ` +
          `${Math.round(side.residentKiB / 1024)} MiB, ${side.handshake.toFixed(0)} µs of CPU a handshake`,
      )
    say(`  ratio of CPU per handshake: ${handshakeRatio.toFixed(2)}`)
    return comparison
  }
}
