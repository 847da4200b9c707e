/**
 * Counts exchanges without end, as a worker does; says in two cells of its own how many it began and finished counting.
 */
import { workerData } from 'node:worker_threads'
import { WorkerMetrics } from '../../src/shared-memory/metrics.ts'

const { shared, worker, counts } = workerData as {
  shared: SharedArrayBuffer
  worker: number
  counts: SharedArrayBuffer
}
const metrics = new WorkerMetrics(shared, worker)
const cells = new Int32Array(counts)
const ended = {
  listener: 1,
  method: 0,
  status: 200,
  grpc: -1,
  reason: -1,
  backendRow: 1,
  durationMs: 3,
  upstreamMs: 2,
  bytesIn: 10,
  bytesOut: 100,
}
metrics.connectionOpened(1)
for (;;) {
  Atomics.add(cells, worker * 2, 1)
  metrics.exchangeStarted()
  metrics.exchangeEnded(ended)
  Atomics.add(cells, worker * 2 + 1, 1)
}
