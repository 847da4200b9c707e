import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { MetricsRegistry } from '../../src/admin/metrics-registry.ts'
import type { BackendGauges, MetricsSource } from '../../src/admin/metrics-source.ts'
import { CONDITION_REASONS } from '../../src/api/condition.ts'
import { allocateCache } from '../../src/cache/memory/buffers.ts'
import { divideMemory } from '../../src/lib/memory-budget.ts'
import { REASON_LIST } from '../../src/lib/reason.ts'
import { LineRing, LineWriter } from '../../src/shared-memory/line-ring.ts'
import { ListenerRows } from '../../src/shared-memory/listener-rows.ts'
import { createMetrics, METRICS_DEFAULTS, MetricsLayout, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import { RowDirectory } from '../../src/shared-memory/row-directory.ts'
import { type Family, parseExposition } from './exposition.ts'

const NAMES = ['shop/api', 'shop/web']

function setup(options: { workers?: number; backends?: number; source?: Partial<MetricsSource> } = {}) {
  const { workers = 2, backends = 4 } = options
  const shared = {
    metrics: createMetrics({ workers, listeners: 4, backends }),
    process: ProcessBlock.allocate(workers),
    cache: allocateCache(4 * 2 ** 20, workers, [1, 2]),
    accessLog: Array.from({ length: workers }, () => LineRing.create(4_096)),
  }
  new ListenerRows(shared.metrics).sync(['http', 'internal'])
  const source: MetricsSource = {
    generation: () => 7,
    sizes: () => ({ routes: 3, rules: 5, backends: 2 }),
    backends: () => NAMES.map((id) => gauges(id, 1)),
    problems: () => [{ kind: 'Route', reason: 'Conflicted', objects: 2 }],
    certificates: () => [{ secret: 'shop/tls', end: 1_800_000_000 }],
    memory: {
      budget: divideMemory(512 * 2 ** 20, workers),
      sizes: () => ({ tables: 4_096, configuration: 9_000, waiting: 1 }),
    },
    ...options.source,
  }
  const registry = new MetricsRegistry({ shared, source, version: '0.1.0 "odd" \\ \n' })
  const scrape = async () => parseExposition(await registry.render())
  return {
    shared,
    registry,
    scrape,
    worker: new WorkerMetrics(shared.metrics, 0),
    rows: new RowDirectory(shared.metrics),
  }
}

function gauges(id: string, inFlight: number): BackendGauges {
  return { id, inFlight, endpoints: { eligible: 2, unhealthy: 1, ejected: 0, draining: 0 } }
}

/** The value of the one series that has these labels among its own. */
function value(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined {
  const found = [...families.values()]
    .flatMap((family) => family.series)
    .filter((one) => one.name === name && Object.entries(labels).every(([label, text]) => one.labels[label] === text))
  assert.ok(found.length <= 1, `${name} ${JSON.stringify(labels)} is not one series`)
  return found[0]?.value
}

suite('metrics registry', () => {
  test('a scrape contains the counts of all workers, in the units of Prometheus', async () => {
    const { worker, scrape, rows, registry } = setup()
    rows.sync(NAMES, 0)
    const exchange = {
      listener: 1,
      method: 2,
      status: 503,
      grpc: -1,
      reason: REASON_LIST.indexOf('NoEndpoint'),
      bytesIn: 10,
      bytesOut: 20,
    }
    worker.exchangeStarted()
    worker.exchangeStarted()
    worker.exchangeEnded({ ...exchange, backendRow: rows.find('shop/web'), durationMs: 2.5, upstreamMs: 2 })
    worker.connectionOpened(0)
    worker.loopDelay(12)
    registry.observeChange(80)
    const families = await scrape()
    const expected: [string, Record<string, string>, number][] = [
      ['headgate_requests_total', { listener: 'internal', method: 'POST', code: '503' }, 1],
      ['headgate_requests_refused_total', { reason: 'NoEndpoint' }, 1],
      ['headgate_requests_refused_total', { reason: 'BadPath' }, 0],
      ['headgate_requests_active', {}, 1],
      ['headgate_request_duration_seconds_bucket', { listener: 'internal', le: '0.001' }, 0],
      ['headgate_request_duration_seconds_bucket', { listener: 'internal', le: '0.0025' }, 1],
      ['headgate_request_duration_seconds_sum', { listener: 'internal' }, 0.0025],
      ['headgate_upstream_duration_seconds_count', {}, 1],
      ['headgate_request_bytes_total', { listener: 'internal' }, 10],
      ['headgate_response_bytes_total', { listener: 'internal' }, 20],
      ['headgate_backend_requests_total', { backend: 'shop/web', code_class: '5xx' }, 1],
      ['headgate_backend_requests_active', { backend: 'shop/web' }, 1],
      ['headgate_backend_endpoints', { backend: 'shop/web', state: 'unhealthy' }, 1],
      ['headgate_connections_open', { listener: 'http' }, 1],
      ['headgate_event_loop_delay_seconds', { worker: '0' }, 0.012],
      ['headgate_config_change_seconds_bucket', { le: '0.1' }, 1],
      ['headgate_config_problems', { kind: 'Route', reason: 'Conflicted' }, 2],
      ['headgate_certificate_expiry_timestamp_seconds', { secret: 'shop/tls' }, 1_800_000_000],
      ['headgate_generation', {}, 7],
      ['headgate_routes', {}, 3],
      ['headgate_build_info', { version: '0.1.0 "odd" \\ \n' }, 1],
    ]
    for (const [name, labels, number] of expected) assert.equal(value(families, name, labels), number, name)
    assert.equal(value(families, 'headgate_backend_requests_total', { backend: 'shop/api' }), undefined)
  })

  test('restarts, dropped lines and heartbeats are counted', async () => {
    const { shared, scrape } = setup()
    const block = new ProcessBlock(shared.process)
    block.beat(2)
    block.setApplied(1, 9)
    for (let start = 0; start < 3; start++) block.countControlStart()
    for (let start = 0; start < 3; start++) new WorkerMetrics(shared.metrics, 1)
    const writer = new LineWriter(shared.accessLog[1]!)
    while (writer.write('x'.repeat(500)));
    const families = await scrape()
    assert.equal(value(families, 'headgate_worker_restarts_total', { worker: '0' }), 0)
    assert.equal(value(families, 'headgate_worker_restarts_total', { worker: '1' }), 2)
    assert.equal(value(families, 'headgate_control_restarts_total'), 2)
    assert.equal(value(families, 'headgate_heartbeats_total', { thread: 'worker-1' }), 1)
    assert.equal(value(families, 'headgate_worker_generation', { worker: '1' }), 9)
    assert.equal(value(families, 'headgate_access_log_dropped_total', { worker: '1' }), 1)
  })

  test('backends without a row of their own are summed as "other"', async () => {
    const many = ['a/a', 'b/b', 'c/c', 'd/d', 'e/e', 'f/f']
    const { scrape, rows, worker } = setup({ source: { backends: () => many.map((id, i) => gauges(id, i)) } })
    rows.sync(many, 0)
    const exchange = {
      listener: 0,
      method: 0,
      status: 200,
      grpc: -1,
      reason: -1,
      durationMs: 1,
      upstreamMs: 1,
      bytesIn: 0,
      bytesOut: 0,
    }
    for (const id of many) worker.exchangeEnded({ ...exchange, backendRow: rows.find(id) })
    const families = await scrape()
    assert.equal(value(families, 'headgate_backend_requests_total', { backend: 'd/d' }), 1)
    assert.equal(value(families, 'headgate_backend_requests_total', { backend: 'e/e' }), undefined)
    assert.equal(value(families, 'headgate_backend_requests_total', { backend: 'other' }), 2)
    assert.equal(value(families, 'headgate_backend_requests_active', { backend: 'other' }), 4 + 5)
    assert.equal(value(families, 'headgate_backend_endpoints', { backend: 'other', state: 'eligible' }), 4)
  })

  test('a name with any characters is a valid label', async () => {
    const odd = 'shop/"a\\b\nc"'
    const { scrape, rows } = setup({ source: { backends: () => [gauges(odd, 3)] } })
    rows.sync([odd], 0)
    assert.equal(value(await scrape(), 'headgate_backend_requests_active', { backend: odd }), 3)
  })

  test('counters and histograms never decrease and stay consistent while workers count', async () => {
    const { scrape, worker } = setup()
    let last = 0
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 100; i++)
        worker.exchangeEnded({
          ...{ listener: 0, method: 0, status: 200, grpc: -1, reason: -1, backendRow: 1, bytesIn: 1, bytesOut: 1 },
          ...{ durationMs: (i * round) % 70_000, upstreamMs: i },
        })
      const count = value(await scrape(), 'headgate_requests_total', { code: '200' })!
      assert.ok(count > last)
      last = count
    }
    assert.equal(last, 2_000)
  })

  // The goal of the project for 5,000 routes; here every cell that can be exposed has been counted in.
  test('no traffic and no configuration creates 2,500 series', async () => {
    const backends = Array.from({ length: 5_000 }, (_, i) => `shop/backend-${i}`)
    const { shared, scrape, rows } = setup({
      workers: 8,
      backends: METRICS_DEFAULTS.backends,
      source: {
        backends: () => backends.map((id) => gauges(id, 1)),
        problems: () => CONDITION_REASONS.map((reason) => ({ kind: 'Route', reason, objects: 1 })),
        certificates: () => Array.from({ length: 5_000 }, (_, i) => ({ secret: `shop/tls-${i}`, end: i })),
      },
    })
    rows.sync(backends, 0)
    MetricsLayout.of(shared.metrics).row(shared.metrics, 0).fill(1)
    const families = await scrape()
    const series = [...families.values()].reduce((sum, family) => sum + family.series.length, 0)
    assert.ok(series > 1_000 && series < 2_500, `${series} series`)
    const ends = families.get('headgate_certificate_expiry_timestamp_seconds')!.series.map((one) => one.value)
    assert.deepEqual(
      ends,
      Array.from({ length: 100 }, (_, i) => i),
      'those that end first',
    )
  })

  test('concurrent scrapes share one response', async () => {
    const { registry } = setup()
    const [first, second] = [registry.render(), registry.render()]
    assert.equal(first, second)
    await first
    assert.notEqual(registry.render(), first)
    assert.match(registry.contentType, /^text\/plain; version=0\.0\.4/)
  })

  test('docs/metrics.md lists every metric with its type and labels, and no other', async () => {
    const { registry, scrape, worker, rows } = setup()
    rows.sync(NAMES, 0)
    worker.exchangeEnded({
      ...{ listener: 0, method: 0, status: 200, grpc: 0, reason: -1, backendRow: 1 },
      ...{ durationMs: 1, upstreamMs: 1, bytesIn: 0, bytesOut: 0 },
    })
    const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    const documented = Array.from(page.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|(.*)/gm))
      .filter(([, , , , meaning]) => process.platform === 'linux' || !meaning!.includes('(Linux)'))
      .map(([, name, type, labels]) => `${name} ${type} ${labels!.replaceAll(/[`,]/g, '').trim()}`.trimEnd())
    const families = await scrape()
    const exported = registry.names.map((name) => {
      const { type, series } = families.get(name)!
      return `${name} ${type} ${Object.keys(series[0]!.labels)
        .filter((label) => label !== 'le')
        .join(' ')}`.trimEnd()
    })
    assert.deepEqual(documented, exported)
  })
})
