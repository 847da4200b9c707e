/**
 * A worker's request path in the thread of the test: the real compile, packer, runtime, flow and listeners, with
 * filters and time-outs of the test's own choice, and everything open to be looked at.
 */

import { setTimeout as delay } from 'node:timers/promises'
import type { BackendSpec } from '../../src/api/backend.ts'
import { WeightedSplits } from '../../src/balance/weighted-split.ts'
import { ClientResolver } from '../../src/exchange/client-address.ts'
import { AccessLog } from '../../src/log/access-line.ts'
import { normalizePath } from '../../src/pattern/path.ts'
import { PatternCache } from '../../src/pattern/pattern-cache.ts'
import { compilePattern } from '../../src/pattern/regex.ts'
import { builtInFilters } from '../../src/policy/built-in.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { Phase } from '../../src/policy/registry.ts'
import { tcpConnector } from '../../src/proxy/tcp-connector.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { LineReader, LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'
import { createMetrics, MetricsReader, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import type { WorkerSettings } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { Timers } from '../../src/transport/timers.ts'
import { Backends } from '../../src/worker/backends.ts'
import { Flow } from '../../src/worker/flow.ts'
import { Listeners } from '../../src/worker/listeners.ts'
import { Runtime } from '../../src/worker/runtime.ts'
import { UNLIMITED, UpstreamBudget } from '../../src/worker/upstream-budget.ts'
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
  readonly timers = new Timers(systemTimers)
  readonly endpoints = new EndpointTable(EndpointTable.allocate(1, 64))
  readonly budget = new UpstreamBudget(1)
  readonly errors: unknown[] = []
  readonly lines: AccessLine[] = []
  readonly flow: Flow
  readonly listeners: Listeners
  readonly contents = new ContentStore()
  readonly backends: Backends
  readonly #metrics = createMetrics({ workers: 1 })
  readonly #reader = new MetricsReader(this.#metrics)
  readonly #lines: LineReader
  #connections = 0

  constructor(options: InProcessOptions) {
    const clock = { monotonic: () => performance.now(), wall: () => Date.now() }
    const random = Math.random
    const ring = LineRing.create(1 << 20)
    this.#lines = new LineReader(ring)
    const metrics = new WorkerMetrics(this.#metrics, 0)
    const { timers, endpoints, errors } = this
    const limits = { head: 65_536, headers: 100, uri: 16_384 }
    this.backends = new Backends({
      worker: 0,
      clock,
      random,
      timers,
      endpoints,
      metrics,
      metricsRow: () => 1,
      mayDial: () => true,
      budget: this.budget,
      connector: tcpConnector,
      limits,
    })
    this.flow = new Flow(
      {
        worker: 0,
        clock,
        random,
        timers,
        endpoints,
        metrics,
        splits: new WeightedSplits(random),
        unexpected: (error) => errors.push(error),
      },
      new ClientResolver(null),
      new AccessLog(new LineWriter(ring), { enabled: true, sample: 100, fields: {} }, clock, random),
    )
    this.listeners = new Listeners({
      requests: this.flow,
      timers,
      wall: clock.wall,
      reusePort: false,
      heldLimit: 1 << 20,
      countConnection: (delta) => (this.#connections += delta),
      metricsRow: () => 0,
      refusedConnection: (metricsRow) => metrics.connectionRefused(metricsRow),
      changed: () => {},
    })
    this.#link(options)
  }

  #link({ upstreams = [], backend: spec = {}, rules, filters = [] }: InProcessOptions): void {
    const registry = builtInFilters()
    for (const { phase, filter } of filters) registry.register({ name: filter.name, phase, create: () => filter })
    const runtime = new Runtime({
      clock: { monotonic: () => 0, wall: () => 0 },
      filters: {
        clock: { monotonic: () => performance.now(), wall: () => Date.now() },
        random: Math.random,
        timers: systemTimers,
        client: { request: () => Promise.reject(new Error('no outgoing client')) },
        contents: { get: () => undefined },
        compilePattern,
        normalizePath,
        report: (_, error) => this.errors.push(error),
      },
      registry,
      backends: this.backends,
      contents: this.contents,
      patterns: new PatternCache(),
      commit: (tables) => {
        this.flow.current = tables
      },
      settings: () => {},
      epoch: () => {},
      tell: (message) => {
        if (message.type === 'problem') this.errors.push(message.message)
      },
    })
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
    runtime.accept({ type: 'endpoints', backend: 'default/up', endpoints: rows })
    const packed = new Packer(Math.random).pack(snapshot)
    const backends = packed.backends.map((entry) => ({ ...entry, slot: 0 }))
    runtime.accept({
      type: 'tables',
      generation: 1,
      tables: packed.tables,
      full: true,
      policies: packed.policies,
      backends,
    })
  }

  async listen(options: InProcessOptions): Promise<void> {
    await this.listeners.apply(settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }], options))
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
      exchanges: this.flow.active,
      counted: this.#reader.sum(layout.active),
      connections: this.#connections,
      countedConnections: this.#reader.sum(layout.open),
      backendInFlight: this.endpoints.inFlight(0),
      endpointInFlight: [1, 2, 3].reduce((sum, slot) => sum + this.endpoints.inFlight(slot), 0),
      timers: this.timers.armed,
    }
  }

  /** Bytes of response bodies, as the metrics have them. */
  get bytesOut(): number {
    return this.#reader.sum(this.#reader.layout.bytesOut)
  }

  get upstreamConnections(): number {
    return this.backends.connections
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
  { requestHead = 10_000, keepAlive = 75_000, connections = 1_000 }: InProcessOptions = {},
): WorkerSettings {
  return {
    listeners,
    limits: { head: 65_536, headers: 100, uri: 16_384, connections },
    upstreams: UNLIMITED,
    loop: { seed: 'seed', passes: 8 },
    timeouts: { requestHead, keepAlive },
    clientAddress: null,
    accessLog: { enabled: true, sample: 100, fields: {} },
    dial: { denyCIDRs: [], loopback: true, ownPorts: [], ownAddresses: [], places: [], closedPorts: [] },
  }
}

export async function inProcess(scope: Scope, options: InProcessOptions = {}): Promise<InProcess> {
  const gateway = new InProcess(options)
  await gateway.listen(options)
  scope.after(() => {
    gateway.listeners.destroy()
    gateway.backends.retain([])
  })
  return gateway
}
