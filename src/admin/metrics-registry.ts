/**
 * The metrics of `/metrics`, read from shared memory and the control thread at each scrape. `docs/metrics.md` documents
 * them; a test compares the two.
 */
import { Registry } from 'prom-client'
import type { Milliseconds } from '../lib/clock.ts'
import { REASON_LIST } from '../lib/reason.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
import { ListenerRows } from '../shared-memory/listener-rows.ts'
import {
  CODE_CLASSES,
  CODES,
  GRPC_CLASSES,
  HANDSHAKE_RESULTS,
  METHODS,
  PROXY_HEADER_REFUSALS,
} from '../shared-memory/metric-labels.ts'
import { MetricsReader } from '../shared-memory/metrics-reader.ts'
import { CONTROL_THREAD, ProcessBlock, type ThreadMemory, workerThread } from '../shared-memory/process-block.ts'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import { RowDirectory } from '../shared-memory/row-directory.ts'
import { cacheDefinitions } from './cache-metrics.ts'
import { counter, gauge, histogram, type Labels, type MetricDefinition, register, type Sample } from './collector.ts'
import { type BackendGauges, ENDPOINT_STATES, type MetricsSource } from './metrics-source.ts'
import { processDefinitions } from './process-metrics.ts'

export interface MetricsOptions {
  readonly shared: Pick<SharedBuffers, 'metrics' | 'process' | 'accessLog' | 'cache'>
  readonly source: MetricsSource
  readonly version: string
}

/** Label of all Backends without a row of their own; Backend ids contain a slash. */
const OTHERS = 'other'

const NO_LABELS: Labels = Object.freeze({})

export class MetricsRegistry {
  readonly #registry = new Registry()
  readonly #reader: MetricsReader
  readonly #directory: RowDirectory
  readonly #listeners: ListenerRows
  readonly #process: ProcessBlock
  readonly #options: MetricsOptions
  #rendering: Promise<string> | undefined

  constructor(options: MetricsOptions) {
    this.#options = options
    this.#reader = new MetricsReader(options.shared.metrics)
    this.#directory = new RowDirectory(options.shared.metrics)
    this.#listeners = new ListenerRows(options.shared.metrics)
    this.#process = new ProcessBlock(options.shared.process)
    const groups = [
      this.#build(),
      this.#traffic(),
      cacheDefinitions(this.#reader, options.shared.cache),
      this.#connections(),
      this.#upstream(),
      this.#backends(),
      this.#configuration(),
      this.#threads(),
      processDefinitions(),
    ]
    for (const definition of groups.flat()) register(this.#registry, definition)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Names of all metrics, including those without samples. */
  get names(): readonly string[] {
    return this.#registry.getMetricsAsArray().map((metric) => (metric as unknown as { name: string }).name)
  }

  /** Renders the text exposition format, version 0.0.4. Concurrent scrapes share one result. */
  render(): Promise<string> {
    this.#rendering ??= this.#registry.metrics().finally(() => {
      this.#rendering = undefined
    })
    return this.#rendering
  }

  /** Records the time from the detection of a change until every worker serves it. */
  observeChange(took: Milliseconds): void {
    this.#reader.observeChange(took)
  }

  #build(): MetricDefinition[] {
    const labels = { version: this.#options.version, node: process.versions.node }
    return [gauge('headgate_build_info', 'Always 1; the labels contain the version.', () => [{ labels, value: 1 }])]
  }

  #traffic(): MetricDefinition[] {
    const { layout } = this.#reader
    return [
      counter('headgate_requests_total', 'Requests that ended, by listener, method, status.', () => this.#requests()),
      counter('headgate_requests_refused_total', 'Requests that the gateway rejected or aborted, by reason.', () =>
        REASON_LIST.map((reason, i) => ({ labels: { reason }, value: this.#reader.sum(layout.reasons + i) })),
      ),
      counter('headgate_requests_dry_run_denied_total', 'Requests that only a dryRun let pass.', () =>
        this.#total(layout.dryRunDenied),
      ),
      counter(
        'headgate_grpc_requests_total',
        'gRPC calls that ended, by the grpc-status that the client received.',
        () => this.#grpcRequests(),
      ),
      gauge('headgate_requests_active', 'Requests in progress.', () => this.#total(layout.active)),
      histogram(
        'headgate_request_duration_seconds',
        'Time from the first byte of a request to the end of its response.',
        () => this.#perListener((listener) => this.#reader.duration(listener)),
      ),
      counter('headgate_request_bytes_total', 'Bytes of request bodies received.', () =>
        this.#listenerSums(layout.bytesIn),
      ),
      counter('headgate_response_bytes_total', 'Bytes of response bodies sent.', () =>
        this.#listenerSums(layout.bytesOut),
      ),
    ]
  }

  #connections(): MetricDefinition[] {
    const { layout } = this.#reader
    return [
      counter('headgate_connections_accepted_total', 'Client connections accepted.', () =>
        this.#listenerSums(layout.accepted),
      ),
      counter('headgate_connections_refused_total', 'Client connections closed immediately because of the limit.', () =>
        this.#listenerSums(layout.refused),
      ),
      counter(
        'headgate_proxy_headers_refused_total',
        'Client connections closed because they had no PROXY header that may be used, by reason.',
        () =>
          PROXY_HEADER_REFUSALS.map((reason, i) => ({
            labels: { reason },
            value: this.#reader.sum(layout.proxyHeaders + i),
          })),
      ),
      counter('headgate_tls_handshakes_total', 'TLS handshakes of clients, by how each ended.', () =>
        HANDSHAKE_RESULTS.map((result, i) => ({
          labels: { result },
          value: this.#reader.sum(layout.handshakes + i),
        })),
      ),
      gauge('headgate_connections_open', 'Open client connections.', () => this.#listenerSums(layout.open)),
    ]
  }

  #upstream(): MetricDefinition[] {
    const { layout } = this.#reader
    return [
      histogram(
        'headgate_upstream_duration_seconds',
        'Time of the last attempt, from its start to the end of its response.',
        () => [{ labels: NO_LABELS, value: this.#reader.upstreamDuration() }],
      ),
      counter('headgate_upstream_connections_opened_total', 'Connections established to endpoints.', () =>
        this.#total(layout.upstreamConnected),
      ),
      counter('headgate_upstream_connections_reused_total', 'Requests sent on a pooled connection.', () =>
        this.#total(layout.upstreamReused),
      ),
      counter('headgate_upstream_connect_failures_total', 'Connections to endpoints that failed or timed out.', () =>
        this.#total(layout.upstreamFailed),
      ),
      gauge('headgate_upstream_connections_open', 'Connections to endpoints, in use or idle.', () =>
        this.#total(layout.upstreamOpen),
      ),
      counter('headgate_upstream_retries_total', 'Attempts after the first.', () => this.#total(layout.retries)),
      counter('headgate_upstream_hedges_total', 'Second attempts beside slow ones.', () => this.#total(layout.hedges)),
      counter('headgate_upstream_hedges_won_total', 'Those of them whose response came first.', () =>
        this.#total(layout.hedgesWon),
      ),
      counter('headgate_mirrored_requests_total', 'Copies of requests sent to mirrors.', () =>
        this.#total(layout.mirrored),
      ),
      counter('headgate_mirrors_dropped_total', 'Copies of requests that were not sent.', () =>
        this.#total(layout.mirrorsDropped),
      ),
    ]
  }

  #backends(): MetricDefinition[] {
    return [
      counter(
        'headgate_backend_requests_total',
        'Requests for which a backend was chosen, by class of the status.',
        () => this.#backendRequests(),
      ),
      gauge('headgate_backend_requests_active', 'Requests in flight on the endpoints of a backend.', () =>
        this.#backendGauges((backend) => [{ labels: NO_LABELS, value: backend.inFlight }]),
      ),
      gauge('headgate_backend_endpoints', 'Endpoints of a backend, by state.', () =>
        this.#backendGauges(({ endpoints }) =>
          ENDPOINT_STATES.map((state) => ({ labels: { state }, value: endpoints[state] })),
        ),
      ),
    ]
  }

  #configuration(): MetricDefinition[] {
    const { source } = this.#options
    const size = (of: 'routes' | 'rules' | 'backends') => () => [{ labels: NO_LABELS, value: source.sizes()[of] }]
    return [
      gauge('headgate_generation', 'Generation of the newest tables.', () => [
        { labels: NO_LABELS, value: source.generation() },
      ]),
      gauge('headgate_routes', 'Routes that are served, at least in part.', size('routes')),
      gauge('headgate_rules', 'Rules that are served.', size('rules')),
      gauge('headgate_backends', 'Backends that rules refer to.', size('backends')),
      gauge('headgate_config_problems', 'Objects with a condition that reports a problem.', () =>
        Array.from(source.problems(), ({ kind, reason, objects }) => ({ labels: { kind, reason }, value: objects })),
      ),
      gauge(
        'headgate_certificate_expiry_timestamp_seconds',
        'When a certificate ends, in seconds since 1970; those that end first.',
        () => certificateEnds(source),
      ),
      gauge('headgate_config_remembered', '1 while the checkpoint of an earlier process is served.', () => [
        { labels: NO_LABELS, value: this.#process.servesCheckpoint ? 1 : 0 },
      ]),
      histogram(
        'headgate_config_change_seconds',
        'Time from the detection of a change until every worker serves it.',
        () => [{ labels: NO_LABELS, value: this.#reader.configChange() }],
      ),
      histogram(
        'headgate_endpoint_change_seconds',
        'Time from the detection of an endpoint change until every worker uses it.',
        () => [{ labels: NO_LABELS, value: this.#reader.endpointChange() }],
      ),
    ]
  }

  #threads(): MetricDefinition[] {
    const { layout } = this.#reader
    return [
      gauge('headgate_worker_generation', 'Generation of the tables that a worker serves.', () =>
        this.#perWorker((worker) => this.#process.applied(worker)),
      ),
      counter('headgate_worker_restarts_total', 'Restarts of a worker.', () =>
        this.#perWorker((worker) => Math.max(0, this.#reader.cell(worker, layout.starts) - 1)),
      ),
      counter('headgate_control_restarts_total', 'Restarts of the control thread.', () => [
        { labels: NO_LABELS, value: Math.max(0, this.#process.controlStarts - 1) },
      ]),
      counter('headgate_heartbeats_total', 'Heartbeats of a thread; a thread without heartbeats is restarted.', () => [
        { labels: { thread: 'control' }, value: this.#process.beats(CONTROL_THREAD) >>> 0 },
        ...this.#workers((worker) => ({
          labels: { thread: `worker-${worker}` },
          value: this.#process.beats(workerThread(worker)) >>> 0,
        })),
      ]),
      ...this.#memory(),
      gauge('headgate_event_loop_delay_seconds', 'Longest delay of a worker in the last 15 to 30 seconds.', () =>
        this.#perWorker((worker) => this.#reader.cell(worker, layout.loopDelay) / 1_000),
      ),
      counter('headgate_access_log_dropped_total', 'Lines of the access log dropped because the ring was full.', () =>
        this.#perWorker((worker) => LineRing.dropped(this.#options.shared.accessLog[worker]!)),
      ),
    ]
  }

  #memory(): MetricDefinition[] {
    const { budget, sizes } = this.#options.source.memory
    const heap = (read: (memory: ThreadMemory) => number) => () => [
      { labels: { thread: 'control' }, value: read(this.#process.memory(CONTROL_THREAD)) },
      ...this.#workers((worker) => ({
        labels: { thread: `worker-${worker}` },
        value: read(this.#process.memory(workerThread(worker))),
      })),
    ]
    return [
      gauge('headgate_memory_limit_bytes', 'Memory limit of the process, by which all parts are sized.', () => [
        { labels: NO_LABELS, value: budget.limit },
      ]),
      gauge(
        'headgate_thread_heap_used_bytes',
        'Heap in use by a thread, including garbage.',
        heap(({ used }) => used),
      ),
      gauge(
        'headgate_thread_heap_total_bytes',
        'Heap allocated from the system for a thread.',
        heap(({ total }) => total),
      ),
      gauge(
        'headgate_thread_heap_limit_bytes',
        'Heap size at which a thread ends and is restarted.',
        heap(({ limit }) => limit),
      ),
      gauge(
        'headgate_thread_external_bytes',
        'Buffers of a thread outside of its heap.',
        heap(({ external }) => external),
      ),
      gauge('headgate_table_bytes', 'Routing tables in shared memory.', () => [
        { labels: NO_LABELS, value: sizes().tables },
      ]),
      gauge('headgate_config_memory_bytes', 'Estimated memory of the manifests.', () => [
        { labels: NO_LABELS, value: sizes().configuration },
      ]),
      gauge('headgate_config_memory_limit_bytes', 'Memory limit of manifests; changes beyond it are rejected.', () => [
        { labels: NO_LABELS, value: budget.configuration },
      ]),
      gauge('headgate_config_memory_waiting', 'Objects rejected for lack of memory, which are retried.', () => [
        { labels: NO_LABELS, value: sizes().waiting },
      ]),
    ]
  }

  #total(cell: number): Sample[] {
    return [{ labels: NO_LABELS, value: this.#reader.sum(cell) }]
  }

  #listenerSums(cell: number): Sample[] {
    return this.#perListener((row) => this.#reader.sum(cell + row))
  }

  #perListener<T>(read: (row: number) => T): { labels: Labels; value: T }[] {
    return Array.from(this.#listeners.entries(), ({ row, name }) => ({ labels: { listener: name }, value: read(row) }))
  }

  #workers<T>(read: (worker: number) => T): T[] {
    return Array.from({ length: this.#reader.layout.shape.workers }, (_, worker) => read(worker))
  }

  #perWorker(read: (worker: number) => number): Sample[] {
    return this.#workers((worker) => ({ labels: { worker: String(worker) }, value: read(worker) }))
  }

  /** Omits zeros, because most combinations never occur. */
  *#requests(): IterableIterator<Sample> {
    for (const { row, name: listener } of this.#listeners.entries())
      for (const [m, method] of METHODS.entries())
        for (const [c, code] of CODES.entries()) {
          const value = this.#reader.requests(row, m, c)
          if (value > 0) yield { labels: { listener, method, code }, value }
        }
  }

  *#grpcRequests(): IterableIterator<Sample> {
    for (const [i, grpc_status] of GRPC_CLASSES.entries()) {
      const value = this.#reader.sum(this.#reader.layout.grpc + i)
      if (value > 0) yield { labels: { grpc_status }, value }
    }
  }

  *#backendRequests(): IterableIterator<Sample> {
    const rows = [{ row: 0, name: OTHERS }, ...this.#directory.entries()]
    for (const { row, name } of rows)
      for (const [i, code_class] of CODE_CLASSES.entries()) {
        const value = this.#directory.requests(row, i)
        if (value > 0) yield { labels: { backend: name, code_class }, value }
      }
  }

  /** Sums Backends without a row, so that the number of series is bounded and the total correct. */
  #backendGauges(read: (backend: BackendGauges) => Sample[]): Sample[] {
    const samples: Sample[] = []
    const others = new Map<string, { labels: Labels; value: number }>()
    const listed = new Set(Array.from(this.#directory.entries(), (entry) => entry.name))
    for (const backend of this.#options.source.backends())
      for (const { labels, value } of read(backend)) {
        if (listed.has(backend.id)) {
          samples.push({ labels: { backend: backend.id, ...labels }, value })
          continue
        }
        const key = JSON.stringify(labels)
        const sum = others.get(key)
        if (sum === undefined) others.set(key, { labels: { backend: OTHERS, ...labels }, value })
        else sum.value += value
      }
    return [...samples, ...others.values()]
  }
}

/** Series of certificates: each may be renewed by itself, and those that end first matter. */
const CERTIFICATES = 100

function certificateEnds(source: MetricsSource) {
  return [...source.certificates()]
    .sort((a, b) => a.end - b.end || (a.secret < b.secret ? -1 : 1))
    .slice(0, CERTIFICATES)
    .map(({ secret, end }) => ({ labels: { secret }, value: end }))
}
