/**
 * A worker's data plane in the thread of the test: the real compile, packer and wiring, with filters, time-outs, a
 * clock and a transport of the test's own choice, and everything open to be looked at.
 */

import { randomBytes } from 'node:crypto'
import type { BackendSpec } from '../../src/api/backend.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { Purges } from '../../src/cache/purges.ts'
import type { ResponseMemory } from '../../src/cache/response-memory.ts'
import type { Connectors } from '../../src/connector/connectors.ts'
import { opaqueConnector } from '../../src/connector/opaque-connector.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import type { TimerClock } from '../../src/lib/clock.ts'
import type { FairGateBounds } from '../../src/limit/fair-gate.ts'
import type { RemoteLimiters } from '../../src/limit/remote-limiter.ts'
import { UNLIMITED } from '../../src/limit/upstream-budget.ts'
import { AccessLineWriter } from '../../src/log/access-line.ts'
import { PatternCache } from '../../src/pattern/pattern-cache.ts'
import { builtInFilters } from '../../src/policy/built-in.ts'
import type { ResponseArchives } from '../../src/policy/cache-services.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { FilterDefinition, Phase } from '../../src/policy/registry.ts'
import { GuardedClient } from '../../src/provider/guarded-client.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { LimitTable } from '../../src/shared-memory/limit-table.ts'
import { LineReader, LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'
import { createMetrics, HISTOGRAM_CELLS, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { MetricsReader } from '../../src/shared-memory/metrics-reader.ts'
import { NamedPlaces } from '../../src/shared-memory/named-places.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'
import { connectionKey } from '../../src/snapshot/connection-key.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import type { Snapshot } from '../../src/snapshot/snapshot.ts'
import { wholeSet } from '../../src/thread/endpoint-rows.ts'
import type { FromWorker, ListenerSettings, WorkerListener, WorkerSettings } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import type { Connector } from '../../src/transport/connector.ts'
import { createDataPlane, type DataPlane } from '../../src/worker/data-plane.ts'
import { backend, compiled, type Rules, route, world } from '../compile/world.ts'
import { HeapResponses } from '../lib/memory/heap-responses.ts'

export interface Scope {
  after(end: () => void | Promise<void>): void
}

export interface InProcessOptions {
  /** Ports of the endpoints of the one Backend, `default/up`. */
  readonly upstreams?: readonly number[]
  readonly backend?: Partial<BackendSpec>
  /** Other Backends, by `namespace/name`: each with an endpoint table row of its own. */
  readonly backends?: Readonly<
    Record<string, { readonly upstreams: readonly number[]; readonly spec?: Partial<BackendSpec> }>
  >
  /** Default: one rule that sends everything to the Backend, once. */
  readonly rules?: Rules
  /** Other Routes, by `namespace/name`. */
  readonly routes?: Readonly<Record<string, Parameters<typeof route>[1]>>
  /** Filters in their places, one of each for every policy set. */
  readonly filters?: readonly { readonly phase: Phase; readonly filter: Filter }[]
  readonly definitions?: readonly FilterDefinition[]
  readonly observer?: AttemptObserver
  /** Of the cache; default: one in the heap, which never runs out. */
  readonly responses?: ResponseMemory
  /** Behind the memory of the cache. */
  readonly archives?: ResponseArchives
  /** Default: that of the system. */
  readonly clock?: TimerClock
  /** False: each request is read. */
  readonly repeats?: boolean
  /** Several sockets for each address and port, as in a worker on Linux. */
  readonly reusePort?: boolean
  /** Listens without waiting for the tables. */
  readonly unlinked?: boolean
  /** Ports of the gateway's own, which the dial guard refuses. */
  readonly ownPorts?: readonly number[]
  /** Milliseconds. */
  readonly handshake?: number
  readonly handshakes?: FairGateBounds
  /** Of TLS: of certificates and tickets. */
  readonly wall?: () => number
  readonly requestHead?: number
  readonly keepAlive?: number
  readonly connections?: number
  /** Connections to clients and upstreams together, and how many to upstreams are open. */
  readonly allConnections?: number
  readonly upstreamsOpen?: () => number
  /** Bytes; see `ServerContext.heldLimit`. */
  readonly heldLimit?: number
  /** Bytes of bodies that may wait; see `HELD_BODIES`. */
  readonly heldBodies?: number
  /** See `ListenersHost.connectionBytes`. */
  readonly connectionBytes?: number
  /** How endpoints are connected to; HTTP/1.1 in clear by default. */
  readonly connector?: Connector
  /** By what the Backend says, as in a worker; instead of `connector`. */
  readonly connectors?: Connectors
}

/** What carries its exchanges. */
export interface TestEdges {
  readonly clock: TimerClock
  readonly connector: Connector
  /** Settings have come. */
  settings(settings: WorkerSettings): void
}

/** One rule that sends everything to the Backend. */
export function toUp(policies: NonNullable<Rules[string]['policies']> = {}): Rules {
  return { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }], policies } }
}

/** Rows of the endpoint table. */
const SLOTS = 64

export type AccessLine = Readonly<Record<string, unknown>>

export class TestPlane {
  readonly endpoints = new EndpointTable(EndpointTable.allocate(1, SLOTS))
  readonly limits = new LimitTable(LimitTable.allocate(1_024, [1, 2], 0))
  readonly places = new NamedPlaces(NamedPlaces.allocate(1, 64), 1)
  /** As long as a test has no other ones there is no Redis. */
  remoteLimiters: RemoteLimiters = {
    open: () => ({ take: () => Promise.reject(new Error('no Redis')), giveBack() {} }),
  }
  /** Takes what control is asked. */
  asked: (message: FromWorker) => void = () => {}
  readonly responses = new HeapResponses()
  readonly purges = new Purges(new PurgeLog(PurgeLog.allocate(1), 1), 0)
  readonly errors: unknown[] = []
  readonly lines: AccessLine[] = []
  readonly plane: DataPlane
  readonly metrics: WorkerMetrics
  readonly #metrics = createMetrics({ workers: 1 })
  readonly #reader = new MetricsReader(this.#metrics)
  readonly #lines: LineReader
  #generation = 0
  #linked = Promise.withResolvers<void>()

  constructor(options: InProcessOptions, { clock, connector, settings: apply }: TestEdges) {
    const ring = LineRing.create(1 << 20)
    this.#lines = new LineReader(ring)
    this.metrics = new WorkerMetrics(this.#metrics, 0)
    const registry = builtInFilters()
    for (const { phase, filter } of options.filters ?? [])
      registry.register({ name: filter.name, phase, create: () => filter })
    for (const definition of options.definitions ?? []) registry.register(definition)
    this.plane = createDataPlane({
      worker: 0,
      workers: 1,
      clock,
      random: Math.random,
      randomBytes,
      connectorOf: (plan, context) => options.connectors?.of(plan, context) ?? connector,
      tunnelsOf: () => opaqueConnector,
      providersOf: (refuses) => new GuardedClient({ time: systemTimers, refuses }),
      endpoints: this.endpoints,
      limits: this.limits,
      places: this.places,
      remoteLimiters: () => ({
        limiters: this.remoteLimiters,
        scripts: { configured: false, run: () => Promise.reject(new Error('no Redis')) },
        use: () => {},
        contentsChanged: () => {},
      }),
      responses: options.responses ?? this.responses,
      purges: this.purges,
      metrics: this.metrics,
      registry,
      patterns: new PatternCache(),
      ...(options.observer === undefined ? {} : { observer: options.observer }),
      ...(options.archives === undefined ? {} : { archives: options.archives }),
      metricsRow: () => 1,
      accessLog: (settings) => new AccessLineWriter(new LineWriter(ring), settings, clock, Math.random),
      settings: apply,
      applied: (generation) => {
        if (generation === this.#generation) this.#linked.resolve()
      },
      epoch: () => {},
      send: (message) => {
        if (message.type === 'problem') this.errors.push(message.message)
        else this.asked(message)
      },
      unexpected: (error) => this.errors.push(error),
      filterThrew: (_, error) => this.errors.push(error),
    })
    void this.link(options)
  }

  /** Links another generation, which goes on with what is the same. @returns it is in force */
  link({
    upstreams = [],
    backend: spec = {},
    backends: others = {},
    rules,
    routes = {},
  }: InProcessOptions): Promise<void> {
    const { messages } = this.plane
    this.#generation++
    this.#linked = Promise.withResolvers()
    const { snapshot } = compiled(
      world({
        routes: [
          route('default/all', {
            rules: rules ?? toUp({ retry: { attempts: 0 } }),
          }),
          ...Object.entries(routes).map(([key, own]) => route(key, own)),
        ],
        backends: [
          backend('default/up', { endpoints: [{ address: '127.0.0.1', port: 1, weight: 1 }], ...spec }),
          ...Object.entries(others).map(([key, other]) => backend(key, { endpoints: [], ...other.spec })),
        ],
      }),
    )
    // By Backend in their order: its own row, which is 0 for the first, and those of its endpoints.
    const slots = new Map<string, number>()
    let slot = 0
    for (const [id, ports] of [
      ['default/up', upstreams] as const,
      ...Object.entries(others).map(([key, other]) => [key, other.upstreams] as const),
    ]) {
      slots.set(id, slot)
      this.endpoints.enlist(slot++)
      const endpoints = ports.map((port) => {
        this.endpoints.enlist(slot)
        return { address: '127.0.0.1', port, weight: 1, state: 'ready' as const, slot: slot++ }
      })
      messages.accept(wholeSet(id, endpoints, connectsOf(snapshot, id)))
    }
    const packed = new Packer(Math.random).pack(snapshot)
    const backends = packed.backends.map((entry) => ({ ...entry, slot: slots.get(entry.backend?.id ?? '') ?? 0 }))
    messages.accept({
      type: 'tables',
      generation: this.#generation,
      tables: packed.tables,
      full: true,
      policies: packed.policies,
      backends,
      hostTls: packed.hostTls,
    })
    return this.linked
  }

  /** The newest generation is in force. */
  get linked(): Promise<void> {
    return this.#linked.promise
  }

  /** Access lines so far. */
  log(): readonly AccessLine[] {
    let text = ''
    this.#lines.drain((bytes) => {
      text += bytes.toString()
      return bytes.length
    })
    for (const line of text.split('\n')) if (line !== '') this.lines.push(JSON.parse(line) as AccessLine)
    return this.lines
  }

  /** What runs or is open; all 0 when nothing is left, connections that lie idle in the pool aside. */
  get holdings(): Readonly<Record<string, number>> {
    const { layout } = this.#reader
    return {
      exchanges: this.plane.context.active,
      counted: this.#reader.sum(layout.active),
      countedConnections: this.#reader.sum(layout.open),
      backendInFlight: this.endpoints.inFlight(0),
      endpointInFlight: this.#endpointsInFlight(),
      unanswered: this.#unanswered(),
      timers: this.plane.timers.armed,
    }
  }

  #endpointsInFlight(): number {
    let sum = 0
    for (let slot = 1; slot < SLOTS; slot++) sum += this.endpoints.inFlight(slot)
    return sum
  }

  #unanswered(): number {
    let sum = 0
    for (let slot = 1; slot < SLOTS; slot++) sum += this.endpoints.unanswered.sum(slot)
    return sum
  }

  /** Bytes of response bodies, as the metrics have them. */
  get bytesOut(): number {
    return this.#reader.sum(this.#reader.layout.bytesOut)
  }

  /** Copies of requests that were sent, and that were not. */
  get copies(): { readonly sent: number; readonly dropped: number } {
    const { layout } = this.#reader
    return { sent: this.#reader.sum(layout.mirrored), dropped: this.#reader.sum(layout.mirrorsDropped) }
  }

  /** All counters and gauges of the worker but those of times. */
  get counted(): readonly number[] {
    const { layout } = this.#reader
    const cells = Array.from({ length: layout.cells }, (_, cell) => this.#reader.cell(0, cell))
    const times = [layout.duration, layout.upstreamDuration]
    for (const at of times)
      cells.fill(0, at, at + HISTOGRAM_CELLS * (at === layout.duration ? layout.shape.listeners : 1))
    cells[layout.loopDelay] = 0
    return cells
  }

  get upstreamConnections(): number {
    return this.plane.backends.connections
  }
}

/** Of a Backend that no rule names, anything will do. */
function connectsOf(snapshot: Snapshot, id: string): string {
  const plan = snapshot.backends.get(id)
  return plan === undefined ? '' : connectionKey(plan)
}

/** Settings of a worker with these listeners. */
export function settingsWith(
  listeners: readonly (ListenerSettings & Partial<WorkerListener>)[],
  {
    handshake = 10_000,
    requestHead = 10_000,
    keepAlive = 75_000,
    connections = 1_000,
    allConnections,
    ownPorts = [],
  }: InProcessOptions = {},
): WorkerSettings {
  return {
    listeners: listeners.map((listener) => ({ tls: false, secureTwin: null, proxyProtocol: null, ...listener })),
    tls: { defaultCertificate: null, ticketKey: null },
    limits: { head: 65_536, headers: 100, uri: 16_384, connections },
    upstreams: allConnections === undefined ? UNLIMITED : { ...UNLIMITED, allConnections },
    grantStore: null,
    sessionSeed: 'seed',
    loop: { seed: 'seed', passes: 8 },
    redis: null,
    cache: { collapseTimeout: 5_000, debugCIDRs: [] },
    topology: ALONE,
    timeouts: { handshake, requestHead, keepAlive },
    clientAddress: null,
    accessLog: { enabled: true, sample: 100, fields: {} },
    dial: { denyCIDRs: [], loopback: true, ownPorts, ownAddresses: [], places: [], closedPorts: [] },
  }
}
