import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { REASON_LIST } from '../../src/lib/reason.ts'
import {
  CODE_CLASSES,
  CODES,
  GRPC_CLASSES,
  grpcClass,
  METHODS,
  methodClass,
} from '../../src/shared-memory/metric-labels.ts'
import {
  BUCKETS,
  clearGauges,
  createMetrics,
  type EndedExchange,
  WorkerMetrics,
} from '../../src/shared-memory/metrics.ts'
import { MetricsReader } from '../../src/shared-memory/metrics-reader.ts'

const PLAIN: EndedExchange = {
  listener: 0,
  method: 0,
  status: 200,
  grpc: -1,
  reason: -1,
  backendRow: -1,
  durationMs: 1,
  upstreamMs: -1,
  bytesIn: 0,
  bytesOut: 0,
}

suite('metrics in shared memory', () => {
  // Cells are reckoned by hand: one that lies over another would be counted into both.
  test('every exchange is counted once, in its own cells only', () => {
    const exchange = fc.record({
      listener: fc.integer({ min: 0, max: 3 }),
      method: fc.integer({ min: 0, max: METHODS.length - 1 }),
      status: fc.oneof(fc.constant(0), fc.integer({ min: 100, max: 599 })),
      grpc: fc.integer({ min: -1, max: GRPC_CLASSES.length - 1 }),
      reason: fc.integer({ min: -1, max: REASON_LIST.length - 1 }),
      backendRow: fc.integer({ min: -1, max: 5 }),
      durationMs: fc.double({ min: 0, max: 100_000, noNaN: true }),
      upstreamMs: fc.oneof(fc.constant(-1), fc.double({ min: 0, max: 100_000, noNaN: true })),
      bytesIn: fc.nat(),
      bytesOut: fc.nat(),
      worker: fc.integer({ min: 0, max: 1 }),
    })
    fc.assert(
      fc.property(fc.array(exchange, { maxLength: 50 }), (exchanges) => {
        const shared = createMetrics({ workers: 2, listeners: 3, backends: 4 })
        const workers = [new WorkerMetrics(shared, 0), new WorkerMetrics(shared, 1)]
        const reader = new MetricsReader(shared)
        for (const x of exchanges) {
          workers[x.worker]!.exchangeStarted()
          workers[x.worker]!.exchangeEnded(x)
        }
        const where = (test: (x: EndedExchange) => boolean) => exchanges.filter(test).length
        assert.equal(reader.sum(reader.layout.active), 0)
        for (let l = 0; l < 3; l++) {
          // The fourth listener counts as the last that is told apart.
          const here = (x: EndedExchange) => Math.min(x.listener, 2) === l
          for (let m = 0; m < METHODS.length; m++)
            for (const [c, code] of CODES.entries())
              assert.equal(
                reader.requests(l, m, c),
                where((x) => here(x) && x.method === m && codeOf(x.status) === code),
              )
          const duration = reader.duration(l)
          assert.equal(duration.count, where(here))
          for (const [i, bound] of BUCKETS.entries())
            assert.equal(
              duration.buckets[i],
              where((x) => here(x) && x.durationMs <= bound),
            )
          assert.equal(
            reader.sum(reader.layout.bytesOut + l),
            exchanges.filter(here).reduce((sum, x) => sum + x.bytesOut, 0),
          )
        }
        assert.equal(
          reader.upstreamDuration().count,
          where((x) => x.upstreamMs >= 0),
        )
        for (const [i] of REASON_LIST.entries())
          assert.equal(
            reader.sum(reader.layout.reasons + i),
            where((x) => x.reason === i),
          )
        for (const [i] of GRPC_CLASSES.entries())
          assert.equal(
            reader.sum(reader.layout.grpc + i),
            where((x) => x.grpc === i),
          )
        for (let row = 0; row <= 4; row++)
          for (const [i] of CODE_CLASSES.entries())
            assert.equal(
              reader.backendRequests(row, i),
              // A row that does not exist counts as the one that all share.
              where((x) => (x.backendRow > 4 ? 0 : x.backendRow) === row && Math.floor(x.status / 100) === i),
            )
      }),
      { numRuns: 40 },
    )
  })

  test('unknown methods share one series', () => {
    assert.deepEqual(
      ['GET', 'OPTIONS', 'get', 'BREW', ''].map((method) => METHODS[methodClass(method)]),
      ['GET', 'OPTIONS', 'other', 'other', 'other'],
    )
    assert.deepEqual(
      [0, 14, 16, 17, 999, -1].map((status) => GRPC_CLASSES[grpcClass(status)]),
      ['OK', 'UNAVAILABLE', 'UNAUTHENTICATED', 'other', 'other', 'none'],
    )
  })

  test('the gauges equal the open connections after any opens and closes', () => {
    const shared = createMetrics({ workers: 1 })
    const metrics = new WorkerMetrics(shared, 0)
    const { layout } = new MetricsReader(shared)
    const read = (cell: number) => new MetricsReader(shared).sum(cell)
    metrics.connectionOpened(0)
    metrics.connectionOpened(1)
    metrics.connectionOpened(1)
    metrics.connectionClosed(1)
    metrics.connectionRefused(1)
    metrics.upstreamConnected()
    metrics.upstreamConnected()
    metrics.upstreamClosed()
    metrics.upstreamReused()
    metrics.upstreamFailed()
    metrics.retried()
    metrics.loopDelay(7)
    assert.deepEqual(
      [layout.open, layout.open + 1, layout.accepted + 1, layout.refused + 1, layout.refused].map(read),
      [1, 1, 2, 1, 0],
    )
    assert.deepEqual(
      [layout.upstreamOpen, layout.upstreamConnected, layout.upstreamReused, layout.upstreamFailed].map(read),
      [1, 2, 1, 1],
    )
    assert.deepEqual([layout.retries, layout.loopDelay].map(read), [1, 7])
  })

  test('a terminated worker loses no count, and its replacement continues in the same row', async () => {
    const shared = createMetrics({ workers: 2, listeners: 2, backends: 2 })
    const reader = new MetricsReader(shared)
    const counts = new SharedArrayBuffer(16)
    const cells = new Int32Array(counts)
    const requests = () => reader.requests(1, 0, CODES.indexOf('200'))
    let seen = 0
    for (let life = 0; life < 5; life++) {
      const threads = [0, 1].map(
        (worker) =>
          new Worker(new URL('metrics-worker.ts', import.meta.url), { workerData: { shared, worker, counts } }),
      )
      const begun = [Atomics.load(cells, 1), Atomics.load(cells, 3)]
      while (Atomics.load(cells, 1) < begun[0]! + 500 || Atomics.load(cells, 3) < begun[1]! + 500) {
        assert.ok(requests() >= seen, 'a counter never goes back')
        seen = requests()
        await delay(1)
      }
      assert.ok(reader.sum(reader.layout.open + 1) > 0)
      await Promise.all(threads.map((thread) => thread.terminate()))
      for (const worker of [0, 1]) clearGauges(shared, worker)
      assert.equal(reader.sum(reader.layout.open + 1), 0)
      assert.equal(reader.sum(reader.layout.active), 0)
    }
    const [begun, ended] = [cells[0]! + cells[2]!, cells[1]! + cells[3]!]
    assert.ok(requests() >= ended && requests() <= begun, `${ended} <= ${requests()} <= ${begun}`)
    assert.equal(reader.cell(0, reader.layout.starts), 5)
    assert.equal(reader.sum(reader.layout.accepted + 1), 10)
  })

  test('invalid sizes are rejected', () => {
    assert.throws(() => createMetrics({ workers: 0 }), TypeError)
    assert.throws(() => createMetrics({ workers: 1, listeners: 0 }), TypeError)
    assert.throws(() => new WorkerMetrics(createMetrics({ workers: 1 }), 1), TypeError)
  })

  test('the histogram of changes outlives its control thread', () => {
    const shared = createMetrics({ workers: 1 })
    new MetricsReader(shared).observeChange(30)
    const later = new MetricsReader(shared)
    later.observeChange(0.5)
    assert.deepEqual(later.configChange().buckets.slice(0, 7), [1, 1, 1, 1, 1, 1, 2])
    assert.equal(later.configChange().sum, 30.5)
  })

  test('a status outside of the HTTP range counts as a server error', () => {
    const shared = createMetrics({ workers: 1 })
    const metrics = new WorkerMetrics(shared, 0)
    for (const status of [600, 999, -1]) metrics.exchangeEnded({ ...PLAIN, status, backendRow: 1 })
    const reader = new MetricsReader(shared)
    assert.equal(reader.requests(0, 0, CODES.indexOf('5xx')), 3)
    assert.equal(reader.backendRequests(1, CODE_CLASSES.indexOf('5xx')), 3)
  })
})

function codeOf(status: number): string {
  return CODES.includes(String(status)) ? String(status) : `${Math.floor(status / 100)}xx`
}
