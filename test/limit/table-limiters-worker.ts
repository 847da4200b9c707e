/** One of several threads that take from the same keys at once; see table-limiters.test.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { TableLimiters } from '../../src/limit/table-limiters.ts'
import { LimitTable } from '../../src/shared-memory/limit-table.ts'

const { buffer, gate, keys, burst } = workerData as {
  readonly buffer: SharedArrayBuffer
  readonly gate: SharedArrayBuffer
  readonly keys: number
  readonly burst: number
}
const THREADS = 4

const limiters = new TableLimiters(new LimitTable(buffer), { monotonic: () => 1_000 })
const rate = limiters.open({ owner: 'shop', name: 'rate' }, { requests: 1, per: 86_400_000, burst })
const quota = limiters.open({ owner: 'shop', name: 'quota' }, { quota: burst, per: 86_400_000 })
const cells = new Int32Array(gate)
parentPort!.postMessage('ready')
for (let seen = Atomics.load(cells, 0); seen < THREADS; seen = Atomics.load(cells, 0)) Atomics.wait(cells, 0, seen, 50)
const counts: number[] = []
for (let key = 0; key < keys; key++) {
  const limiter = key % 2 === 0 ? rate : quota
  let allowed = 0
  // Twice as many as may pass, some of which have not happened.
  for (let i = 0; i < burst; i++)
    if (limiter.take(String(key)).allowed) {
      allowed++
      if (i % 7 === 0) {
        limiter.giveBack(String(key))
        allowed--
      }
    }
  while (limiter.take(String(key)).allowed) allowed++
  counts.push(allowed)
}
parentPort!.postMessage(counts)
