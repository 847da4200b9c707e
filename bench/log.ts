/**
 * `node bench/log.ts`: CPU time per request of an access-log line, compared with pino, and of counting an exchange,
 * compared with prom-client.
 */
import pino from 'pino'
import { Counter, Histogram, Registry } from 'prom-client'
import type { AccessRecord } from '../src/exchange/access-log.ts'
import { AccessLineWriter } from '../src/log/access-line.ts'
import { LineReader, LineRing, LineWriter } from '../src/shared-memory/line-ring.ts'
import { createMetrics, WorkerMetrics } from '../src/shared-memory/metrics.ts'

const entry: AccessRecord = {
  time: Date.now(),
  id: '0192f3a1-7c33-7aaa-8bbb-cccccccccccc',
  client: '203.0.113.9',
  listener: 'http',
  method: 'GET',
  host: 'shop.example.com',
  path: '/api/v1/orders/12345',
  query: undefined,
  protocol: 'HTTP/1.1',
  status: 200,
  grpcStatus: -1,
  reason: '',
  detail: '',
  note: '',
  dryRun: '',
  cache: '',
  consumer: '',
  route: 'shop/shop',
  rule: 'api',
  backend: 'shop/api',
  endpoint: '10.0.0.7:8080',
  attempts: 1,
  duration: 1.234,
  upstreamDuration: 0.987,
  bytesIn: 0,
  bytesOut: 1_234,
  userAgent: 'curl/8.5.0',
  kept: null,
}

/** Values differ between requests, so that the compiler cannot exploit constants. */
function vary(i: number): void {
  entry.time += (i & 31) === 0 ? 1 : 0
  entry.path = PATHS[i & 1_023]!
  entry.duration = 1 + (i % 1_000) / 700
  entry.upstreamDuration = entry.duration - 0.2
  entry.bytesOut = 1_000 + (i % 3_000)
}

const PATHS = Array.from({ length: 1_024 }, (_, i) => `/api/v1/orders/${i * 7_919}`)

/** The best of several rounds, because the others include other work of the machine. */
function measure(name: string, times: number, run: (i: number) => void): void {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 8; round++) {
    const begun = process.threadCpuUsage()
    for (let i = 0; i < times; i++) run(i)
    const { user, system } = process.threadCpuUsage(begun)
    best = Math.min(best, ((user + system) * 1_000) / times)
  }
  console.log(`${name.padEnd(44)} ${best.toFixed(0).padStart(6)} ns`)
}

const ring = LineRing.create()
const writer = new LineWriter(ring)
const reader = new LineReader(ring)
const clock = { wall: () => Date.now(), monotonic: () => performance.now() }
const settings = { enabled: true, sample: 100, fields: {} }
const log = new AccessLineWriter(writer, settings, clock)
const all = new AccessLineWriter(
  writer,
  { ...settings, query: true, userAgent: true, fields: { site: 'berlin' } },
  clock,
)
const empty = () => reader.drain((lines) => lines.length)

measure('access log line', 200_000, (i) => {
  vary(i)
  log.write(entry)
  if ((i & 1_023) === 0) empty()
})
measure('access log line, path to be escaped', 200_000, (i) => {
  vary(i)
  entry.path = `${entry.path}"\xfc`
  log.write(entry)
  if ((i & 1_023) === 0) empty()
})
measure('access log line, all members', 200_000, (i) => {
  vary(i)
  entry.query = 'page=2'
  all.write(entry)
  if ((i & 1_023) === 0) empty()
})
entry.query = undefined
const peer = pino({ base: null, timestamp: false, formatters: { level: () => ({}) } }, { write: () => {} })
measure('the same by pino, thrown away', 50_000, (i) => {
  vary(i)
  const { userAgent: _, query: __, reason: ___, ...members } = entry
  peer.info({ ...members, time: new Date(entry.time).toISOString() })
})

const shared = createMetrics({ workers: 2 })
const metrics = new WorkerMetrics(shared, 0)
const ended = {
  ...{ listener: 0, method: 0, status: 200, grpc: -1, reason: -1, backendRow: 3 },
  ...{ durationMs: 1, upstreamMs: 1, bytesIn: 0, bytesOut: 100 },
}
measure('exchangeStarted + exchangeEnded', 2_000_000, (i) => {
  ended.status = (i & 7) === 0 ? 404 : 200
  ended.durationMs = (i & 1_023) / 100
  ended.upstreamMs = ended.durationMs * 0.9
  metrics.exchangeStarted()
  metrics.exchangeEnded(ended)
})
const registers = [new Registry()]
const counter = new Counter({ name: 'a_total', help: 'a', labelNames: ['listener', 'method', 'code'], registers })
const histogram = new Histogram({ name: 'b', help: 'b', labelNames: ['listener'], registers })
measure('one counter and one histogram by prom-client', 200_000, (i) => {
  counter.inc({ listener: 'http', method: 'GET', code: (i & 7) === 0 ? '404' : '200' })
  histogram.observe({ listener: 'http' }, (i & 1_023) / 100_000)
})
