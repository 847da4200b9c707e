/** A worker thread: listens, proxies, and takes what control and the supervisor tell it. */

import { getHeapStatistics } from 'node:v8'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { WeightedSplits } from '../balance/weighted-split.ts'
import { ClientResolver } from '../exchange/client-address.ts'
import { GatewayError } from '../lib/error.ts'
import { AccessLog } from '../log/access-line.ts'
import { createThreadLogger } from '../log/process-log.ts'
import { normalizePath } from '../pattern/path.ts'
import { PatternCache } from '../pattern/pattern-cache.ts'
import { compilePattern } from '../pattern/regex.ts'
import { builtInFilters } from '../policy/built-in.ts'
import { ContentStore } from '../policy/contents.ts'
import type { FilterServices } from '../policy/services.ts'
import { tcpConnector } from '../proxy/tcp-connector.ts'

import { EndpointTable } from '../shared-memory/endpoint-table.ts'
import { LineWriter } from '../shared-memory/line-ring.ts'
import { ListenerRows } from '../shared-memory/listener-rows.ts'
import { watchLoopDelay } from '../shared-memory/loop-delay.ts'
import { WORKER_GARBAGE_THRESHOLD, watchMemory } from '../shared-memory/memory-watch.ts'
import { WorkerMetrics } from '../shared-memory/metrics.ts'
import { ProcessBlock, startHeartbeat, workerThread } from '../shared-memory/process-block.ts'
import { RowDirectory } from '../shared-memory/row-directory.ts'
import type { ToWorker, WorkerSettings } from '../thread/messages.ts'
import { systemTimers } from '../thread/system-timers.ts'
import type { MainToWorker, WorkerData, WorkerToMain } from '../thread/thread-data.ts'
import { DialGuard } from '../transport/dial-guard.ts'
import { Timers } from '../transport/timers.ts'
import { Backends } from './backends.ts'
import { Flow } from './flow.ts'
import { Listeners } from './listeners.ts'
import { LoopGuard } from './loop-guard.ts'
import { Runtime } from './runtime.ts'
import { UpstreamBudget } from './upstream-budget.ts'

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
const endpoints = new EndpointTable(shared.endpoints)
const timers = new Timers(clock)
const lines = new LineWriter(shared.accessLog[index]!)
const budget = new UpstreamBudget(data.workers)
let guard: DialGuard | undefined

const backends = new Backends({
  worker: index,
  clock,
  random,
  timers,
  endpoints,
  metrics,
  metricsRow: (id) => rows.find(id),
  mayDial: (address, port) => guard !== undefined && guard.refuses(address, port) === undefined,
  budget,
  connector: tcpConnector,
  limits: { head: 65_536, headers: 100, uri: 16_384 },
})

const flow = new Flow(
  {
    worker: index,
    clock,
    random,
    timers,
    endpoints,
    metrics,
    splits: new WeightedSplits(random),
    unexpected: (error) => log.error({ error }, 'an exchange failed in a way nobody expected; its client got 500'),
  },
  new ClientResolver(null),
  new AccessLog(lines, { enabled: false, sample: 100, fields: {} }, clock, random),
)

const listeners = new Listeners({
  requests: flow,
  timers,
  wall: clock.wall,
  reusePort: data.reusePort,
  heldLimit: data.heldBytes,
  countConnection: (delta) => block.addConnections(index, delta),
  metricsRow: (name) => listenerRows.find(name),
  refusedConnection: (metricsRow) => metrics.connectionRefused(metricsRow),
  changed: (ports, failures) => tell({ type: 'listening', ports, failures }),
})

/** Payloads of ConfigMaps and Secrets, for filters. */
const contents = new ContentStore()

const filters: FilterServices = {
  clock,
  random,
  timers: clock,
  client: { request: () => Promise.reject(new GatewayError('InternalError', 'no outgoing client yet')) },
  contents,
  compilePattern,
  normalizePath,
  report: (filter, error) => log.error({ error, filter }, `filter ${filter} threw; its exchange got 500`),
}

/** More than these are not in use at a time; each takes some kilobytes. */
const PATTERNS = 1 << 16

let control: MessagePort

const patterns = new PatternCache(PATTERNS, data.patternBytes)

const runtime = new Runtime({
  clock,
  filters,
  registry: builtInFilters(),
  backends,
  contents,
  patterns,
  commit(tables) {
    flow.current = tables
    block.setApplied(index, tables.generation)
  },
  settings: useSettings,
  epoch: (epoch) => block.passEpoch(index, epoch),
  tell: (message) => control.postMessage(message),
})

function useSettings(settings: WorkerSettings): void {
  flow.clients = new ClientResolver(settings.clientAddress)
  flow.accessLog = new AccessLog(lines, settings.accessLog, clock, random)
  flow.loops = new LoopGuard(settings.loop)
  guard = new DialGuard(settings.dial)
  backends.limits = settings.limits
  budget.use(settings.upstreams, settings.limits.connections)
  void listeners.apply(settings)
}

function useControl(port: MessagePort): void {
  control = port
  runtime.forgetQueue()
  port.on('message', (message: ToWorker) => runtime.accept(message))
}

function tell(message: WorkerToMain): void {
  main.postMessage(message)
}

async function drain(grace: number): Promise<void> {
  await listeners.drain(grace, () => flow.active)
  tell({ type: 'drained' })
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
  patterns.relieve()
}, 1_000).unref()
watchMemory(
  block,
  workerThread(index),
  {
    statistics: getHeapStatistics,
    idle: () => flow.active === 0,
    collect: globalThis.gc,
    threshold: WORKER_GARBAGE_THRESHOLD,
  },
  (look, interval) => setInterval(look, interval).unref(),
)
