/**
 * Metrics of all workers in one block of shared memory: a row of plain cells per worker, written by that worker only
 * and summed by readers. A plain add costs a tenth of an atomic one. A row outlives its worker, whose replacement
 * continues it, so that counters never decrease. Cells are doubles, exact up to 2⁵³.
 *
 * The number of series is bounded here and does not depend on the number of routes: see docs/metrics.md.
 */
import { REASON_LIST } from '../lib/reason.ts'
import {
  CODE_CLASSES,
  CODES,
  GRPC_CLASSES,
  HANDSHAKE_RESULTS,
  type HandshakeResult,
  METHODS,
  PROXY_HEADER_REFUSALS,
  type ProxyHeaderRefusal,
} from './metric-labels.ts'

/** Upper bounds of the histogram buckets in milliseconds; one more bucket counts what exceeds them. */
export const BUCKETS: readonly number[] = Object.freeze([
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
])

/** The same, unboxed. */
const BOUNDS = Float64Array.from(BUCKETS)

const CODE_OF_STATUS = Uint8Array.from({ length: 600 }, (_, status) => {
  const exact = CODES.indexOf(String(status))
  return exact >= 0 ? exact : Math.floor(status / 100)
})

export const HISTOGRAM_CELLS = BUCKETS.length + 2
/** Leaves cells for future reasons: the list is append-only, and cells must not move while threads are replaced. */
const REASON_CELLS = Math.max(64, REASON_LIST.length)

/** Rows of `CACHE_RESULTS` and `STORE_REASONS` of the cache, which are lists of a higher layer, and some to come. */
const CACHE_RESULT_CELLS = 64
const CACHE_JUDGED_CELLS = 32
/** Of `ARCHIVE_OUTCOMES`, for each archive, of which there are two. */
export const CACHE_ARCHIVE_CELLS = 16

/** Longest Backend id with a row of its own, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 400

export interface MetricsShape {
  /** Number of worker rows; a worker's index is its row for the lifetime of the process. */
  readonly workers: number
  /** Rows of listeners; the last one is shared by those without their own: see listener-rows.ts. */
  readonly listeners: number
  /** Rows of Backends besides row 0, which is shared by those without their own. */
  readonly backends: number
}

export const METRICS_DEFAULTS = Object.freeze({ listeners: 8, backends: 86 })

const HEADER_BYTES = 64
const CACHE_LINE_CELLS = 8

/** Offsets of the cells in a worker's row, and of the parts of the block. */
export class MetricsLayout {
  readonly shape: MetricsShape
  // Gauges come first, so that they are zeroed together when a worker dies.
  readonly active = 0
  readonly upstreamOpen = 1
  readonly loopDelay = 2
  readonly open = 3
  readonly gauges: number
  readonly starts: number
  readonly accepted: number
  readonly refused: number
  readonly proxyHeaders: number
  readonly handshakes: number
  readonly upstreamConnected: number
  readonly upstreamReused: number
  readonly upstreamFailed: number
  readonly retries: number
  readonly hedges: number
  readonly hedgesWon: number
  readonly mirrored: number
  readonly mirrorsDropped: number
  readonly dryRunDenied: number
  readonly cacheRequests: number
  readonly cacheJudged: number
  readonly cacheArchives: number
  readonly reasons: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly requests: number
  readonly grpc: number
  readonly duration: number
  readonly upstreamDuration: number
  readonly backends: number
  /** Cells of a row, whole cache lines. */
  readonly cells: number
  /** Byte offsets in the block. */
  readonly rowsAt: number
  readonly controlAt: number
  readonly directoryAt: number
  readonly listenerRowsAt: number
  readonly bytes: number

  constructor(shape: MetricsShape) {
    this.shape = shape
    const { workers, listeners, backends } = shape
    let at = this.open
    const take = (cells: number) => (at += cells) - cells
    take(listeners)
    this.gauges = at
    this.starts = take(1)
    this.accepted = take(listeners)
    this.refused = take(listeners)
    this.upstreamConnected = take(1)
    this.upstreamReused = take(1)
    this.upstreamFailed = take(1)
    this.retries = take(1)
    this.hedges = take(1)
    this.hedgesWon = take(1)
    this.mirrored = take(1)
    this.mirrorsDropped = take(1)
    this.proxyHeaders = take(PROXY_HEADER_REFUSALS.length)
    this.handshakes = take(HANDSHAKE_RESULTS.length)
    this.dryRunDenied = take(1)
    this.cacheRequests = take(CACHE_RESULT_CELLS)
    this.cacheJudged = take(CACHE_JUDGED_CELLS)
    this.cacheArchives = take(2 * CACHE_ARCHIVE_CELLS)
    this.reasons = take(REASON_CELLS)
    this.bytesIn = take(listeners)
    this.bytesOut = take(listeners)
    this.requests = take(listeners * METHODS.length * CODES.length)
    this.grpc = take(GRPC_CLASSES.length)
    this.duration = take(listeners * HISTOGRAM_CELLS)
    this.upstreamDuration = take(HISTOGRAM_CELLS)
    this.backends = take((backends + 1) * CODE_CLASSES.length)
    // A row starts on its own cache line, so that two workers do not write to the same line.
    this.cells = Math.ceil(at / CACHE_LINE_CELLS) * CACHE_LINE_CELLS
    this.rowsAt = HEADER_BYTES
    this.controlAt = this.rowsAt + workers * this.cells * 8
    this.directoryAt = this.controlAt + 2 * HISTOGRAM_CELLS * 8
    this.listenerRowsAt = this.directoryAt + (backends + 1) * DIRECTORY_ROW_BYTES
    this.bytes = this.listenerRowsAt + listeners * LISTENER_ROW_BYTES
  }

  static of(shared: SharedArrayBuffer): MetricsLayout {
    const [workers, listeners, backends] = new Int32Array(shared, 0, 3)
    return new MetricsLayout({ workers: workers!, listeners: listeners!, backends: backends! })
  }

  /** The cells of one worker. */
  row(shared: SharedArrayBuffer, worker: number): Float64Array {
    if (!(worker >= 0 && worker < this.shape.workers)) throw new TypeError(`unknown worker: ${worker}`)
    return new Float64Array(shared, this.rowsAt + worker * this.cells * 8, this.cells)
  }
}

/** State, length of the name, two halves of its hash · time of release, baselines · name. See row-directory.ts. */
export const DIRECTORY_ROW_BYTES = 16 + 8 * (1 + CODE_CLASSES.length) + MAX_NAME_BYTES + 8

/** Length of the name, and the name. See listener-rows.ts. */
export const LISTENER_ROW_BYTES = 72

/** Allocates the block, once per process; every thread maps it. */
export function createMetrics(shape: Pick<MetricsShape, 'workers'> & Partial<MetricsShape>): SharedArrayBuffer {
  const { workers, listeners, backends } = { ...METRICS_DEFAULTS, ...shape }
  if (!(workers >= 1 && listeners >= 1 && backends >= 0))
    throw new TypeError(`invalid shape of metrics: ${JSON.stringify(shape)}`)
  const shared = new SharedArrayBuffer(new MetricsLayout({ workers, listeners, backends }).bytes)
  new Int32Array(shared, 0, 3).set([workers, listeners, backends])
  return shared
}

/** Zeroes the gauges of a worker that has exited, before its replacement continues the row. */
export function clearGauges(shared: SharedArrayBuffer, worker: number): void {
  const layout = MetricsLayout.of(shared)
  layout.row(shared, worker).fill(0, 0, layout.gauges)
}

/** The values counted at the end of an exchange. The object may be reused. */
export interface EndedExchange {
  /** Row of the listener. */
  listener: number
  /** See {@link methodClass}. */
  method: number
  /** Status of the client's response; 0 for none. */
  status: number
  /** See {@link grpcClass}; {@link NO_GRPC_CALL} for any other request. */
  grpc: number
  /** Index in REASON_LIST; -1 without a failure. */
  reason: number
  /** Row of the chosen Backend, see row-directory.ts; -1 for none. */
  backendRow: number
  durationMs: number
  /** Duration of the last attempt; -1 when nothing was sent upstream. */
  upstreamMs: number
  bytesIn: number
  bytesOut: number
}

/** The cells of one worker. One instance per worker: its construction counts as a start of the worker. */
export class WorkerMetrics {
  readonly #cells: Float64Array
  readonly #layout: MetricsLayout
  readonly #lastListener: number
  readonly #backendRows: number

  constructor(shared: SharedArrayBuffer, worker: number) {
    this.#layout = MetricsLayout.of(shared)
    this.#cells = this.#layout.row(shared, worker)
    this.#lastListener = this.#layout.shape.listeners - 1
    this.#backendRows = this.#layout.shape.backends + 1
    this.#cells[this.#layout.starts]!++
  }

  exchangeStarted(): void {
    this.#cells[this.#layout.active]!++
  }

  /** Call once per `exchangeStarted`. */
  exchangeEnded(x: EndedExchange): void {
    const cells = this.#cells
    const layout = this.#layout
    const listener = this.#listener(x.listener)
    // RFC 9110 §15: a status out of range is treated as 5xx.
    const status = x.status >= 0 && x.status < 600 ? x.status : 599
    cells[layout.active]!--
    cells[layout.requests + (listener * METHODS.length + x.method) * CODES.length + CODE_OF_STATUS[status]!]!++
    cells[layout.bytesIn + listener]! += x.bytesIn
    cells[layout.bytesOut + listener]! += x.bytesOut
    observe(cells, layout.duration + listener * HISTOGRAM_CELLS, x.durationMs)
    if (x.upstreamMs >= 0) observe(cells, layout.upstreamDuration, x.upstreamMs)
    if (x.reason >= 0) cells[layout.reasons + x.reason]!++
    if (x.grpc >= 0) cells[layout.grpc + x.grpc]!++
    const row = x.backendRow
    if (row >= 0)
      cells[layout.backends + (row < this.#backendRows ? row : 0) * CODE_CLASSES.length + ((status / 100) | 0)]!++
  }

  connectionOpened(listener: number): void {
    const at = this.#listener(listener)
    this.#cells[this.#layout.accepted + at]!++
    this.#cells[this.#layout.open + at]!++
  }

  connectionClosed(listener: number): void {
    this.#cells[this.#layout.open + this.#listener(listener)]!--
  }

  /** A connection was closed immediately because of the connection limit. */
  connectionRefused(listener: number): void {
    this.#cells[this.#layout.refused + this.#listener(listener)]!++
  }

  /** Of TLS, with a client. */
  handshakeEnded(result: HandshakeResult): void {
    this.#cells[this.#layout.handshakes + HANDSHAKE_RESULTS.indexOf(result)]!++
  }

  /** A connection was closed for want of a PROXY header. */
  proxyHeaderRefused(reason: ProxyHeaderRefusal): void {
    this.#cells[this.#layout.proxyHeaders + PROXY_HEADER_REFUSALS.indexOf(reason)]!++
  }

  /** A new upstream connection was established. */
  upstreamConnected(): void {
    this.#cells[this.#layout.upstreamConnected]!++
    this.#cells[this.#layout.upstreamOpen]!++
  }

  upstreamClosed(): void {
    this.#cells[this.#layout.upstreamOpen]!--
  }

  /** A request was sent on a pooled connection. */
  upstreamReused(): void {
    this.#cells[this.#layout.upstreamReused]!++
  }

  upstreamFailed(): void {
    this.#cells[this.#layout.upstreamFailed]!++
  }

  retried(): void {
    this.#cells[this.#layout.retries]!++
  }

  /** A second attempt began beside one that was slow. */
  hedged(): void {
    this.#cells[this.#layout.hedges]!++
  }

  /** And its response came first. */
  hedgeWon(): void {
    this.#cells[this.#layout.hedgesWon]!++
  }

  /** A copy of a request was sent. */
  mirrored(): void {
    this.#cells[this.#layout.mirrored]!++
  }

  mirrorDropped(): void {
    this.#cells[this.#layout.mirrorsDropped]!++
  }

  /** A request passed that `dryRun` alone did not deny. */
  dryRunDenied(): void {
    this.#cells[this.#layout.dryRunDenied]!++
  }

  /** A request of a rule with a cache. @param result row of its result */
  cacheRequest(result: number): void {
    this.#cells[this.#layout.cacheRequests + result]!++
  }

  /** A response that was judged whether it is stored. @param reason row of the reason */
  cacheJudged(reason: number): void {
    this.#cells[this.#layout.cacheJudged + reason]!++
  }

  /** A call of an archive. @param archive row of it @param outcome row of what became of it */
  cacheArchive(archive: number, outcome: number): void {
    this.#cells[this.#layout.cacheArchives + archive * CACHE_ARCHIVE_CELLS + outcome]!++
  }

  /** The longest recent delay of the event loop in milliseconds; see loop-delay.ts. */
  loopDelay(milliseconds: number): void {
    this.#cells[this.#layout.loopDelay] = milliseconds
  }

  #listener(index: number): number {
    return index < this.#lastListener ? index : this.#lastListener
  }
}

/** Each bucket counts its own range; readers compute the cumulative counts. */
export function observe(cells: Float64Array, at: number, milliseconds: number): void {
  let bucket = 0
  while (bucket < BOUNDS.length && milliseconds > BOUNDS[bucket]!) bucket++
  cells[at + bucket]!++
  cells[at + HISTOGRAM_CELLS - 1]! += milliseconds
}
