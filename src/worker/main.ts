/** A worker thread: the edges of its data plane, its listeners, and what control and the supervisor send it. */
import { randomBytes } from 'node:crypto'
import { getHeapStatistics } from 'node:v8'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { WorkerResponseMemory } from '../cache/memory/worker-response-memory.ts'
import { NO_MEMORY } from '../cache/no-memory.ts'
import { Purges } from '../cache/purges.ts'
import { Connectors } from '../connector/connectors.ts'
import { AccessLineWriter } from '../log/access-line.ts'
import { createThreadLogger } from '../log/process-log.ts'
import { PatternCache } from '../pattern/pattern-cache.ts'
import { builtInFilters } from '../policy/built-in.ts'
import { GuardedClient } from '../provider/guarded-client.ts'
import { tlsOf } from '../routing/find-host.ts'
import { EndpointTable } from '../shared-memory/endpoint-table.ts'
import { LimitTable } from '../shared-memory/limit-table.ts'
import { LineWriter } from '../shared-memory/line-ring.ts'
import { ListenerRows } from '../shared-memory/listener-rows.ts'
import { watchLoopDelay } from '../shared-memory/loop-delay.ts'
import { WORKER_GARBAGE_THRESHOLD, watchMemory } from '../shared-memory/memory-watch.ts'
import { WorkerMetrics } from '../shared-memory/metrics.ts'
import { NamedPlaces } from '../shared-memory/named-places.ts'
import { ProcessBlock, startHeartbeat, workerThread } from '../shared-memory/process-block.ts'
import { PurgeLog } from '../shared-memory/purge-log.ts'
import { RowDirectory } from '../shared-memory/row-directory.ts'
import type { ToWorker } from '../thread/messages.ts'
import { systemTimers } from '../thread/system-timers.ts'
import type { MainToWorker, WorkerData, WorkerToMain } from '../thread/thread-data.ts'
import { HELD_BODIES } from '../transport/held-memory.ts'
import { createDataPlane } from './data-plane.ts'
import { drainWorker } from './drain.ts'
import { HandshakeLog } from './handshake-log.ts'
import { Listeners } from './listeners.ts'
import { RefusedProxyHeaders } from './refused-proxy-headers.ts'
import { remoteLimits } from './remote-limits.ts'

const data = workerData as WorkerData
const { index, shared } = data
const main = parentPort!
const clock = systemTimers
const random = Math.random

const block = new ProcessBlock(shared.process)
const log = createThreadLogger(shared.processLog[workerThread(index)]!, { ...data.log, thread: `worker-${index}` })
const metrics = new WorkerMetrics(shared.metrics, index)
const rows = new RowDirectory(shared.metrics)
const listenerRows = new ListenerRows(shared.metrics)
const lines = new LineWriter(shared.accessLog[index]!)

/** More than these are not in use at a time; each takes some kilobytes. */
const PATTERNS = 1 << 16
const patterns = new PatternCache(PATTERNS, data.patternBytes)

const connectors = new Connectors(clock)
const refusedProxyHeaders = new RefusedProxyHeaders(log, metrics, clock.monotonic)

const endpoints = new EndpointTable(shared.endpoints)
const responses =
  shared.cache === undefined
    ? NO_MEMORY
    : new WorkerResponseMemory(shared.cache, data.workers, index, (run) => void clock.nextTurn(run))

/** Milliseconds. */
const CACHE_SWEEP = 250
const PURGE_PAUSE = 10

const purges = new Purges(new PurgeLog(shared.purges, data.workers + 1), index)

let control: MessagePort

const { timers, context, handler, backends, budget, contents, cache, messages } = createDataPlane({
  worker: index,
  workers: data.workers,
  clock,
  random,
  randomBytes,
  connectorOf: (plan, context) => connectors.of(plan, context),
  tunnelsOf: (plan) => connectors.tunnelsOf(plan),
  providersOf: (refuses) => new GuardedClient({ time: clock, refuses }),
  endpoints,
  limits: new LimitTable(shared.limits),
  places: new NamedPlaces(shared.places, data.workers),
  remoteLimiters: (contents) => remoteLimits(contents, clock, random, log),
  responses,
  purges,
  metrics,
  registry: builtInFilters(),
  patterns,
  metricsRow: (id) => rows.find(id),
  accessLog: (settings) => new AccessLineWriter(lines, settings, clock, random),
  settings: (settings, tablesFollow) => void listeners.apply(settings, tablesFollow),
  applied(generation) {
    block.setApplied(index, generation)
    control.postMessage({ type: 'applied', generation })
    listeners.open()
  },
  epoch: (epoch) => block.passEpoch(index, epoch),
  waitedFor: (generation) => block.setWaitedFor(index, generation),
  alive: () => block.beat(workerThread(index)),
  send(message) {
    control.postMessage(message)
    // Then clients are told that there are none.
    if (message.type === 'not-linked') listeners.open()
  },
  unexpected: (error) =>
    log.error({ error }, 'an exchange failed because of a fault of the gateway; its client got 500'),
  filterThrew: (filter, error) => log.error({ error, filter }, `filter ${filter} threw`),
})

HELD_BODIES.use(data.bodyBytes, setImmediate)
const failedHandshakes = new HandshakeLog(log, clock.monotonic)
const listeners = new Listeners({
  requests: handler,
  timers,
  wall: clock.wall,
  reusePort: data.reusePort,
  sockets: data.sockets,
  heldLimit: data.heldBytes,
  upstreams: () => budget.open,
  connectionBytes: data.connectionBytes,
  tls: {
    memory: { kept: data.secureContexts, trustBytes: data.trustBytes },
    contents,
    wall: clock.wall,
    clock,
    ticketMaster: data.ticketMaster,
    tlsOf: (frontend, host) => (context.tables === null ? null : tlsOf(context.tables.tables, frontend, host)),
    passThrough: (downstream, serverName) => handler.passThrough(downstream, serverName),
    handshakeDone: (resumed) => metrics.handshakeEnded(resumed ? 'resumed' : 'full'),
    handshakeFailed(failure) {
      metrics.handshakeEnded(failure.reason)
      failedHandshakes.failed(failure)
    },
    problem: (message) => log.error(message),
  },
  countConnection: (delta) => block.addConnections(index, delta),
  metricsRow: (name) => listenerRows.find(name),
  refusedConnection: (metricsRow) => metrics.connectionRefused(metricsRow),
  refusedProxyHeader: (refusal) => refusedProxyHeaders.refused(refusal),
  changed: (ports, failures) => send({ type: 'listening', ports, failures }),
})

budget.openClients = () => listeners.connections
endpoints.bells.listen(
  index,
  (slot) => {
    timers.touch()
    backends.rung(slot)
  },
  setImmediate,
)

function useControl(port: MessagePort): void {
  control = port
  messages.forgetQueue()
  port.on('message', (message: ToWorker) => messages.accept(message))
}

function send(message: WorkerToMain): void {
  main.postMessage(message)
}

async function drain(grace: number): Promise<void> {
  await drainWorker(listeners, context, grace)
  send({ type: 'drained' })
}

main.on('message', (message: MainToWorker) => {
  switch (message.type) {
    case 'control-port':
      control.close()
      useControl(message.port)
      break
    case 'leave':
      listeners.leave()
      break
    case 'drain':
      void drain(message.grace)
      break
    case 'stop':
      listeners.destroy()
      process.exit(0)
  }
})

useControl(data.control)
startHeartbeat(block, workerThread(index), setInterval)
watchLoopDelay(metrics, clock.monotonic, setInterval)
setInterval(() => {
  backends.sweep(timers.touch())
  context.waiting.sweep(timers.now)
  listeners.sweep()
  patterns.relieve()
}, 1_000).unref()
purges.follow((run) => void clock.after(PURGE_PAUSE, run))
setInterval(() => cache.sweep(clock.wall()), CACHE_SWEEP).unref()
watchMemory(
  block,
  workerThread(index),
  {
    statistics: getHeapStatistics,
    idle: () => context.active === 0,
    collect: globalThis.gc,
    threshold: WORKER_GARBAGE_THRESHOLD,
  },
  (look, interval) => setInterval(look, interval).unref(),
)
