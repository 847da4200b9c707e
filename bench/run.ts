/**
 * `npm run bench`: Headgate beside Debian's nginx in the same run, on the same core, before the same backend, doing the
 * same work: processor time a request, requests a second, latency, and the ratio; latency at a fixed rate; then what a
 * changed file costs.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { AccessBench } from './lib/access-bench.ts'
import { CacheBench } from './lib/cache-bench.ts'
import { type Comparison, compare, type Plan } from './lib/compare.ts'
import { allowedCpus, residentKiB } from './lib/cpu-time.ts'
import { type Load, load } from './lib/load.ts'
import { compareLatency, type LatencyComparison, type LatencyPlan } from './lib/open-loop.ts'
import { NGINX, provide, TASKSET, WRK } from './lib/programs.ts'
import { ProtocolBench } from './lib/protocol-bench.ts'
import { measureReload, rewriteUnderLoad } from './lib/reload.ts'
import { comparisonTable, failures } from './lib/report.ts'
import { HOST, manifestsFor, type Origin, type Server, startHeadgate, startOrigin, startPeer } from './lib/servers.ts'

const HELP = `npm run bench -- [flags]
  --quick            a smoke test: short rounds, every scenario once; figures are rough
  --scenario NAME    only this one, may be repeated: get, post, large, chunked, latency, reload, rewrite, tls,
                     handshakes, resumed, h2, grpc, websocket, download, download-tls, idle, idle-tls, certificates,
                     jwt, jwt-fresh, api-key, external, limit, limit-cluster, cache-hit, cache-hit-numbered,
                     cache-miss, cache-hit-under-fill, cache-herd
  --rounds N         rounds of each side (default 5)
  --seconds N        length of a round (default 4)
  --rate N           of latency: requests a second (default 6000; at most half of what the slower one sustains)
  --rewrite-seconds N  how long every file is rewritten twice a second (default 60)
  --buffered-log     nginx buffers its access log too (default: as Debian ships it, a write for each request)
  --against DIR      beside another checkout of Headgate (with node_modules) instead of nginx
  --checks           Headgate with probes each 100 ms and passive checks, beside itself without any, instead of nginx
  --peers-only       of the protocols: nginx and haproxy without Headgate
  --connections N    of idle, idle-tls (default 15000)
  --certificates N   of certificates (default 5000)
  --calibrate        nginx against itself: how far from 1.00 the ratio is by chance
  --json             the figures as one JSON document
Exit code 1 when a request failed.
`

interface PlainScenario {
  readonly name: string
  readonly shows: string
  readonly load: Omit<Load, 'port' | 'seconds'>
}

const SCENARIOS: readonly PlainScenario[] = [
  { name: 'get', shows: 'keep-alive GET, 600 bytes', load: { path: '/api/x', host: HOST, connections: 64 } },
  { name: 'post', shows: 'POST of 1 KiB', load: { path: '/api/x', host: HOST, connections: 64, bodyBytes: 1024 } },
  { name: 'large', shows: 'GET, 64 KiB', load: { path: '/large', host: HOST, connections: 64 } },
  { name: 'chunked', shows: 'GET, 2 KiB in chunks', load: { path: '/chunked', host: HOST, connections: 64 } },
]

/** Health checks of the Backend: more often than anybody should probe, and none. */
const CHECKED = 'healthCheck: { active: { path: /healthz, interval: 100ms, timeout: 100ms } }'
const UNCHECKED = 'healthCheck: { passive: { consecutiveFailures: 0, successRate: { belowMeanPercent: 0 } } }'

const HEADS = '            p50 ms   p99 ms p99.9 ms  most ms   failed'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    scenario: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    rate: { type: 'string', default: '6000' },
    'rewrite-seconds': { type: 'string' },
    'buffered-log': { type: 'boolean', default: false },
    against: { type: 'string' },
    checks: { type: 'boolean', default: false },
    'peers-only': { type: 'boolean', default: false },
    connections: { type: 'string', default: '15000' },
    certificates: { type: 'string', default: '5000' },
    calibrate: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help === true) {
  process.stdout.write(HELP)
  process.exit(0)
}
const missing = provide([NGINX, WRK, TASKSET])
if (missing !== undefined || process.platform !== 'linux') {
  console.error(missing ?? 'the bench reads /proc and runs on Linux only')
  process.exit(1)
}

const scratch = mkdtempSync(join(tmpdir(), 'headgate-bench-'))
// Started by root, nginx reads its files as another user.
chmodSync(scratch, 0o755)
const servers: Server[] = []
const [proxyCpu, loadCpu] = allowedCpus()
let failed = 0
try {
  await bench()
} finally {
  await Promise.all(servers.map((server) => server.stop()))
  rmSync(scratch, { recursive: true, force: true })
}
process.exit(failed > 0 ? 1 : 0)

async function bench(): Promise<void> {
  const report: Record<string, unknown> = {}
  const pinning = loadCpu === undefined ? undefined : { proxy: proxyCpu, load: loadCpu }
  const origin = await keep(startOrigin(scratch, pinning?.load))
  const bufferedLog = values['buffered-log']
  const peer = await keep(startOther(origin, pinning?.proxy, bufferedLog))
  const manifests = manifestsFor(origin, values.checks ? CHECKED : '')
  const gateway = values.calibrate ? undefined : await keep(startHeadgate(scratch, pinning?.proxy, manifests))
  const subject =
    gateway ?? (await keep(startPeer(scratch, pinning?.proxy, origin, { name: 'nginx-again', bufferedLog })))
  say(
    pinning === undefined
      ? 'One CPU only: load, backend and proxy share it.'
      : `Proxy on CPU ${pinning.proxy}, wrk (1 thread, 64 connections) and the backend on CPU ${pinning.load}.`,
  )
  if (gateway !== undefined) {
    report.readyAfterMs = round(gateway.readyAfter, 0)
    say(`headgate was ready after ${report.readyAfterMs} ms.`)
  }
  const comparisons: Comparison[] = []
  for (const { load: request, ...scenario } of SCENARIOS.filter((one) => wanted(one.name))) {
    const run = ({ port }: Server, seconds: number) => load(scratch, pinning?.load, { ...request, port, seconds })
    const comparison = await compare({ ...scenario, run }, [subject, peer], planFor(scenario.name))
    comparisons.push(comparison)
    failed += failures(comparison)
    say(comparisonTable(scenario.shows, comparison))
  }
  report.comparisons = comparisons
  if (wanted('latency')) {
    const latency = await compareLatency(subject, peer, origin, latencyPlan(pinning?.load))
    report.latency = latency
    failed += latency.subject.failed + latency.peer.failed
    showLatency(latency)
  }
  report.residentKiB = residentKiB(subject.pid)
  if (gateway !== undefined) {
    if (wanted('reload')) {
      const reload = await measureReload(gateway, values.quick ? 10 : 50)
      report.reload = reload
      say(
        `\nA changed file acts on traffic after: p50 ${round(reload.p50)} ms, p99 ${round(reload.p99)} ms, ` +
          `most ${round(reload.most)} ms (${reload.changes} changes)`,
      )
    }
    if (wanted('rewrite')) {
      const seconds = Number(values['rewrite-seconds'] ?? (values.quick ? 3 : 60))
      const plan = { scratch, cpu: pinning?.load, seconds, host: HOST }
      const rewrite = await rewriteUnderLoad(gateway, plan, rewriteFiles(manifestsFor(origin)['bench.yaml']!))
      report.rewrite = rewrite
      failed += rewrite.failed
      say(
        `Every file rewritten twice a second for ${seconds} s (${rewrite.rewrites} rewrites): ${rewrite.failed} of ` +
          `${rewrite.requests} requests failed, p99 ${round(rewrite.p99)} ms`,
      )
    }
  }
  if (!values.calibrate && values.against === undefined && !values.checks) {
    await protocols(report, origin, pinning)
    if (!values['peers-only']) {
      await access(report, origin, pinning)
      await cache(report, pinning)
    }
  }
  say(`Resident memory of ${subject.name}: ${round((report.residentKiB as number) / 1024, 0)} MiB`)
  report.failed = failed
  if (values.json) console.log(JSON.stringify(report, null, 2))
  else if (failed > 0)
    say(
      `\n${failed} requests FAILED; Headgate's access log says: ${reasonsIn(join(scratch, 'headgate', 'access.log'))}`,
    )
}

/** What Headgate is compared with. */
function startOther(origin: Origin, cpu: number | undefined, bufferedLog: boolean): Promise<Server> {
  if (values.against !== undefined)
    return startHeadgate(scratch, cpu, manifestsFor(origin), { checkout: values.against })
  if (values.checks) return startHeadgate(scratch, cpu, manifestsFor(origin, UNCHECKED), { name: 'unchecked' })
  return startPeer(scratch, cpu, origin, { bufferedLog })
}

/** Twenty more hosts beside the one under load; each version differs in a response header. */
function rewriteFiles(bench: string): Record<string, string> {
  const policy = "\n    policies: { responseHeaders: { set: [{ name: x-version, value: 'VERSION' }] } }\n"
  const files: Record<string, string> = { 'bench.yaml': bench.trimEnd() + policy }
  for (let i = 0; i < 20; i++)
    files[`route-${i}.yaml`] = `
apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: route-${i}, namespace: bench }
spec:
  hostnames: [host-${i}.example]
  rules:
  - name: all
    backendRefs: [{ name: origin }]${policy}`
  return files
}

/** How often which reason stands in the log, as text. */
function reasonsIn(accessLog: string): string {
  const counts = new Map<string, number>()
  const text = existsSync(accessLog) ? readFileSync(accessLog, 'utf8') : ''
  for (const [, reason] of text.matchAll(/"reason":"(\w+)"/g)) counts.set(reason!, (counts.get(reason!) ?? 0) + 1)
  return [...counts].map(([reason, count]) => `${reason} ${count} ×`).join(', ') || 'nothing'
}

/** Rows of the other protocols: all servers beside each other again, with TLS. */
async function protocols(
  report: Record<string, unknown>,
  origin: Origin,
  cpus: { readonly proxy: number | undefined; readonly load: number | undefined } | undefined,
): Promise<void> {
  const bench = new ProtocolBench({
    ...{ scratch, origin, say, planFor, wanted, keep },
    cpus: cpus ?? { proxy: undefined, load: undefined },
    quick: values.quick,
    peersOnly: values['peers-only'],
    connections: Number(values.connections),
    certificates: Number(values.certificates),
  })
  report.protocols = await bench.run()
  failed += bench.failed
}

/** Rows of policies that decide who may pass. */
async function access(
  report: Record<string, unknown>,
  origin: Origin,
  cpus: { readonly proxy: number | undefined; readonly load: number | undefined } | undefined,
): Promise<void> {
  const bench = new AccessBench({
    ...{ scratch, origin, say, planFor, wanted, keep },
    cpus: cpus ?? { proxy: undefined, load: undefined },
    quick: values.quick,
  })
  report.access = await bench.run()
  failed += bench.failed
}

/** Rows of the cache, beside nginx and Varnish. */
async function cache(
  report: Record<string, unknown>,
  cpus: { readonly proxy: number | undefined; readonly load: number | undefined } | undefined,
): Promise<void> {
  const bench = new CacheBench({
    ...{ scratch, say, planFor, wanted, keep },
    cpus: cpus ?? { proxy: undefined, load: undefined },
    quick: values.quick,
    bufferedLog: values['buffered-log'],
  })
  report.cache = await bench.run()
  failed += bench.failed
}

function planFor(name: string): Plan {
  const main = name === 'get'
  if (values.quick) return { warmUpSeconds: main ? 2 : 1, warmUpTogether: true, rounds: main ? 2 : 1, roundSeconds: 1 }
  return {
    // The compiler of the machine's hot code needs some seconds.
    warmUpSeconds: main ? 4 : 2,
    rounds: Number(values.rounds ?? 5),
    roundSeconds: Number(values.seconds ?? 4),
  }
}

function latencyPlan(cpu: number | undefined): LatencyPlan {
  return {
    scratch,
    cpu,
    warmUpSeconds: values.quick ? 1 : 4,
    rounds: values.quick ? 1 : Number(values.rounds ?? 5),
    roundSeconds: values.quick ? 1 : Number(values.seconds ?? 4),
    rate: Number(values.rate),
    load: { path: '/api/x', host: HOST, connections: 64 },
  }
}

function showLatency({ rate, subject, peer, floor, p99Ratio, mostRatio }: LatencyComparison): void {
  say(`\nLatency of keep-alive GETs at ${rate} requests a second, whatever the answers take\n${HEADS}`)
  for (const { server, p50, p99, p999, most, failed } of [subject, peer, floor]) {
    const cells = [p50, p99, p999, most].map((time) => time.toFixed(2).padStart(8))
    say(`  ${server.padEnd(10)}${cells.join(' ')} ${String(failed).padStart(8)}`)
  }
  say(`  ratio to ${peer.server}: p99 ${p99Ratio.toFixed(2)} ×, most ${mostRatio.toFixed(2)} ×`)
}

function wanted(name: string): boolean {
  return values.scenario.length === 0 || values.scenario.includes(name)
}

async function keep<T extends Server>(starting: Promise<T>): Promise<T> {
  const server = await starting
  servers.push(server)
  return server
}

function say(line: string): void {
  if (!values.json) console.log(line)
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}
