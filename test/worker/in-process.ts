/**
 * A worker's data plane in the thread of the test: the real compile, packer, wiring and listeners, with filters and
 * time-outs of the test's own choice, and everything open to be looked at.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { BackendSpec } from '../../src/api/backend.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import { UNLIMITED } from '../../src/limit/upstream-budget.ts'
import { AccessLineWriter } from '../../src/log/access-line.ts'
import { PatternCache } from '../../src/pattern/pattern-cache.ts'
import { builtInFilters } from '../../src/policy/built-in.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { FilterDefinition, Phase } from '../../src/policy/registry.ts'
import { tcpConnector } from '../../src/proxy/tcp-connector.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { LineReader, LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'
import { createMetrics, MetricsReader, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import type { WorkerSettings } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { createDataPlane, type DataPlane } from '../../src/worker/data-plane.ts'
import { Listeners } from '../../src/worker/listeners.ts'
import { backend, compiled, type Rules, route, world } from '../compile/world.ts'
import { RawClient } from '../feature/raw-client.ts'

export interface Scope {
  after(end: () => void | Promise<void>): void
}

export interface InProcessOptions {
  /** Ports of the endpoints of the one Backend, `default/up`. */
  readonly upstreams?: readonly number[]
  readonly backend?: Partial<BackendSpec>
  /** Default: one rule that sends everything to the Backend, once. */
  readonly rules?: Rules
  /** Filters in their places, one of each for every policy set. */
  readonly filters?: readonly { readonly phase: Phase; readonly filter: Filter }[]
  readonly definitions?: readonly FilterDefinition[]
  readonly observer?: AttemptObserver
  /** Listens without waiting for the tables. */
  readonly unlinked?: boolean
  /** Ports of the gateway's own, which the dial guard refuses. */
  readonly ownPorts?: readonly number[]
  /** Milliseconds. */
  readonly requestHead?: number
  readonly keepAlive?: number
  readonly connections?: number
}

/** One rule that sends everything to the Backend. */
export function toUp(policies: NonNullable<Rules[string]['policies']> = {}): Rules {
  return { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }], policies } }
}

export type AccessLine = Readonly<Record<string, unknown>>

export class InProcess {
  readonly endpoints = new EndpointTable(EndpointTable.allocate(1, 64))
  readonly errors: unknown[] = []
  readonly lines: AccessLine[] = []
  readonly plane: DataPlane
  readonly listeners: Listeners
  readonly #metrics = createMetrics({ workers: 1 })
  readonly #reader = new MetricsReader(this.#metrics)
  readonly #lines: LineReader
  #listening: Promise<void> = Promise.resolve()
  #connections = 0
  #generation = 0
  #linked = Promise.withResolvers<void>()

  constructor(options: InProcessOptions) {
    const ring = LineRing.create(1 << 20)
    this.#lines = new LineReader(ring)
    const metrics = new WorkerMetrics(this.#metrics, 0)
    const registry = builtInFilters()
    for (const { phase, filter } of options.filters ?? [])
      registry.register({ name: filter.name, phase, create: () => filter })
    for (const definition of options.definitions ?? []) registry.register(definition)
    this.plane = createDataPlane({
      worker: 0,
      workers: 1,
      clock: systemTimers,
      random: Math.random,
      connector: tcpConnector,
      endpoints: this.endpoints,
      metrics,
      registry,
      patterns: new PatternCache(),
      ...(options.observer === undefined ? {} : { observer: options.observer }),
      metricsRow: () => 1,
      accessLog: (settings) => new AccessLineWriter(new LineWriter(ring), settings, systemTimers, Math.random),
      settings: (settings) => (this.#listening = this.listeners.apply(settings)),
      applied: (generation) => {
        if (generation === this.#generation) this.#linked.resolve()
      },
      epoch: () => {},
      send: (message) => {
        if (message.type === 'problem') this.errors.push(message.message)
      },
      unexpected: (error) => this.errors.push(error),
      filterThrew: (_, error) => this.errors.push(error),
    })
    this.listeners = new Listeners({
      requests: this.plane.handler,
      timers: this.plane.timers,
      wall: systemTimers.wall,
      reusePort: false,
      heldLimit: 1 << 20,
      countConnection: (delta) => (this.#connections += delta),
      metricsRow: () => 0,
      refusedConnection: (metricsRow) => metrics.connectionRefused(metricsRow),
      changed: () => {},
    })
    void this.link(options)
  }

  /** A generation; the next one goes on with what is the same. Ends with its commit, which may be awaited. */
  link({ upstreams = [], backend: spec = {}, rules }: InProcessOptions): Promise<void> {
    const { messages } = this.plane
    this.#generation++
    this.#linked = Promise.withResolvers()
    const { snapshot } = compiled(
      world({
        routes: [
          route('default/all', {
            rules: rules ?? toUp({ retry: { attempts: 0 } }),
          }),
        ],
        backends: [backend('default/up', { endpoints: [{ address: '127.0.0.1', port: 1, weight: 1 }], ...spec })],
      }),
    )
    // Row 0 is the Backend's own.
    for (let slot = 0; slot <= upstreams.length; slot++) this.endpoints.enlist(slot)
    const rows = upstreams.map((port, i) => ({
      address: '127.0.0.1',
      port,
      weight: 1,
      state: 'ready' as const,
      slot: i + 1,
    }))
    messages.accept({ type: 'endpoints', backend: 'default/up', endpoints: rows })
    const packed = new Packer(Math.random).pack(snapshot)
    const backends = packed.backends.map((entry) => ({ ...entry, slot: 0 }))
    messages.accept({
      type: 'tables',
      generation: this.#generation,
      tables: packed.tables,
      full: true,
      policies: packed.policies,
      backends,
    })
    return this.#linked.promise
  }

  /** The newest generation is in force. */
  get linked(): Promise<void> {
    return this.#linked.promise
  }

  async listen(options: InProcessOptions): Promise<void> {
    const settings = settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }], options)
    this.plane.messages.accept({ type: 'settings', settings })
    await this.#listening
    if (options.unlinked !== true) await this.linked
    const [failure] = this.listeners.failures
    if (failure !== undefined) throw new Error(failure.message)
  }

  get port(): number {
    return this.listeners.ports.get('http')!
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.port)
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
      connections: this.#connections,
      countedConnections: this.#reader.sum(layout.open),
      backendInFlight: this.endpoints.inFlight(0),
      endpointInFlight: [1, 2, 3].reduce((sum, slot) => sum + this.endpoints.inFlight(slot), 0),
      timers: this.plane.timers.armed,
    }
  }

  /** Bytes of response bodies, as the metrics have them. */
  get bytesOut(): number {
    return this.#reader.sum(this.#reader.layout.bytesOut)
  }

  get upstreamConnections(): number {
    return this.plane.backends.connections
  }

  /** Waits until nothing is left; fails after five seconds with what is. */
  async nothingLeft(): Promise<void> {
    const deadline = performance.now() + 5_000
    for (;;) {
      const left = Object.entries(this.holdings).filter(([, count]) => count !== 0)
      if (left.length === 0) return
      if (performance.now() > deadline) throw new Error(`left over: ${JSON.stringify(left)}`)
      await delay(5)
    }
  }
}

/** Settings of a worker with these listeners. */
export function settingsWith(
  listeners: WorkerSettings['listeners'],
  { requestHead = 10_000, keepAlive = 75_000, connections = 1_000, ownPorts = [] }: InProcessOptions = {},
): WorkerSettings {
  return {
    listeners,
    limits: { head: 65_536, headers: 100, uri: 16_384, connections },
    upstreams: UNLIMITED,
    loop: { seed: 'seed', passes: 8 },
    timeouts: { requestHead, keepAlive },
    clientAddress: null,
    accessLog: { enabled: true, sample: 100, fields: {} },
    dial: { denyCIDRs: [], loopback: true, ownPorts, ownAddresses: [], places: [], closedPorts: [] },
  }
}

export async function inProcess(scope: Scope, options: InProcessOptions = {}): Promise<InProcess> {
  const gateway = new InProcess(options)
  await gateway.listen(options)
  scope.after(() => {
    gateway.listeners.destroy()
    gateway.plane.backends.retain([])
  })
  return gateway
}
