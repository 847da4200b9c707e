/** What readers see of the metrics: sums over all workers. */
import { CODE_CLASSES, CODES, METHODS } from './metric-labels.ts'
import { BUCKETS, HISTOGRAM_CELLS, MetricsLayout, observe } from './metrics.ts'

export interface HistogramValue {
  /** Cumulative counts, one per bucket of {@link BUCKETS}. */
  readonly buckets: readonly number[]
  readonly count: number
  /** Milliseconds. */
  readonly sum: number
}

/** Reads sums over all workers, for the exposition. */
export class MetricsReader {
  readonly layout: MetricsLayout
  readonly #rows: readonly Float64Array[]
  readonly #control: Float64Array

  constructor(shared: SharedArrayBuffer) {
    this.layout = MetricsLayout.of(shared)
    this.#rows = Array.from({ length: this.layout.shape.workers }, (_, worker) => this.layout.row(shared, worker))
    this.#control = new Float64Array(shared, this.layout.controlAt, 2 * HISTOGRAM_CELLS)
  }

  sum(cell: number): number {
    let sum = 0
    for (const row of this.#rows) sum += row[cell]!
    return sum
  }

  /** One worker's cell. */
  cell(worker: number, cell: number): number {
    return this.#rows[worker]![cell]!
  }

  requests(listener: number, method: number, code: number): number {
    return this.sum(this.layout.requests + (listener * METHODS.length + method) * CODES.length + code)
  }

  duration(listener: number): HistogramValue {
    return this.#histogram(this.#rows, this.layout.duration + listener * HISTOGRAM_CELLS)
  }

  upstreamDuration(): HistogramValue {
    return this.#histogram(this.#rows, this.layout.upstreamDuration)
  }

  /** Count since the start of the process; a reassigned row is relative to its baseline, see row-directory.ts. */
  backendRequests(row: number, codeClass: number): number {
    return this.sum(this.layout.backends + row * CODE_CLASSES.length + codeClass)
  }

  /** Time from the detection of a change until every worker serves it. Written by the control thread only. */
  observeChange(milliseconds: number): void {
    observe(this.#control, 0, milliseconds)
  }

  configChange(): HistogramValue {
    return this.#histogram([this.#control], 0)
  }

  /** Time from the detection of an endpoint change until every worker uses it. Written by the control thread only. */
  observeEndpoints(milliseconds: number): void {
    observe(this.#control, HISTOGRAM_CELLS, milliseconds)
  }

  endpointChange(): HistogramValue {
    return this.#histogram([this.#control], HISTOGRAM_CELLS)
  }

  /** Computes the count from the buckets, so that the two agree while workers write. */
  #histogram(rows: readonly Float64Array[], at: number): HistogramValue {
    const buckets: number[] = []
    let count = 0
    for (let bucket = 0; bucket <= BUCKETS.length; bucket++) {
      for (const row of rows) count += row[at + bucket]!
      if (bucket < BUCKETS.length) buckets.push(count)
    }
    let sum = 0
    for (const row of rows) sum += row[at + HISTOGRAM_CELLS - 1]!
    return { buckets, count, sum }
  }
}
