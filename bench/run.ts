/**
 * `npm run bench`: Headgate beside Debian's nginx in the same run, on the same core, before the same backend, doing the
 * same work: processor time a request, requests a second, latency, and the ratio; latency at a fixed rate; then what a
 * changed file costs.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Comparison, compare, type Figures, type Plan, type Scenario } from './lib/compare.ts'
import { allowedCpus, residentKiB } from './lib/cpu-time.ts'
import { compareLatency, type LatencyComparison, type LatencyPlan } from './lib/open-loop.ts'
import { NGINX, provide, TASKSET, WRK } from './lib/programs.ts'
import { measureReload, rewriteUnderLoad } from './lib/reload.ts'
import { HOST, manifestsFor, type Server, startHeadgate, startOrigin, startPeer } from './lib/servers.ts'

const HELP = `npm run bench -- [flags]
  --quick            a smoke test: short rounds, every scenario once; figures are rough
  --scenario NAME    only this one, may be repeated: get, post, large, chunked, latency, reload, rewrite
  --rounds N         rounds of each side (default 5)
  --seconds N        length of a round (default 4)
  --rate N           of latency: requests a second (default 6000; at most half of what the slower one sustains)
  --rewrite-seconds N  how long every file is rewritten twice a second (default 60)
  --buffered-log     nginx buffers its access log too (default: as Debian ships it, a write for each request)
  --against DIR      beside another checkout of Headgate (with node_modules) instead of nginx
  --calibrate        nginx against itself: how far from 1.00 the ratio is by chance
  --json             the figures as one JSON document
Exit code 1 when a request failed.
`

const SCENARIOS: readonly Scenario[] = [
  { name: 'get', shows: 'keep-alive GET, 600 bytes', load: { path: '/api/x', host: HOST, connections: 64 } },
  { name: 'post', shows: 'POST of 1 KiB', load: { path: '/api/x', host: HOST, connections: 64, bodyBytes: 1024 } },
  { name: 'large', shows: 'GET, 64 KiB', load: { path: '/large', host: HOST, connections: 64 } },
  { name: 'chunked', shows: 'GET, 2 KiB in chunks', load: { path: '/chunked', host: HOST, connections: 64 } },
]

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
  const peer = await keep(
    values.against === undefined
      ? startPeer(scratch, pinning?.proxy, origin, { bufferedLog })
      : startHeadgate(scratch, pinning?.proxy, manifestsFor(origin), { checkout: values.against }),
  )
  const gateway = values.calibrate
    ? undefined
    : await keep(startHeadgate(scratch, pinning?.proxy, manifestsFor(origin)))
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
  for (const scenario of SCENARIOS.filter((one) => wanted(one.name))) {
    const comparison = await compare(scenario, subject, peer, planFor(scenario, pinning?.load))
    comparisons.push(comparison)
    failed += comparison.subject.failed + comparison.peer.failed
    show(scenario, comparison)
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
  say(`Resident memory of ${subject.name}: ${round((report.residentKiB as number) / 1024, 0)} MiB`)
  report.failed = failed
  if (values.json) console.log(JSON.stringify(report, null, 2))
  else if (failed > 0)
    say(
      `\n${failed} requests FAILED; Headgate's access log says: ${reasonsIn(join(scratch, 'headgate', 'access.log'))}`,
    )
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

function planFor(scenario: Scenario, cpu: number | undefined): Plan {
  const main = scenario.name === 'get'
  if (values.quick) return { scratch, cpu, warmUpSeconds: main ? 2 : 1, rounds: main ? 2 : 1, roundSeconds: 1 }
  return {
    scratch,
    cpu,
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

function show(scenario: Scenario, comparison: Comparison): void {
  say(`\n${scenario.shows}\n            CPU µs/request   requests/s   p50 ms   p99 ms   failed`)
  for (const side of [comparison.subject, comparison.peer]) say(row(side))
  say(`  ratio of CPU per request: ${comparison.cpuRatio.toFixed(2)} × ${comparison.peer.server}`)
}

function row(side: Figures): string {
  const cells = [
    side.cpuPerRequest.toFixed(1).padStart(14),
    side.perSecond.toFixed(0).padStart(12),
    side.p50.toFixed(2).padStart(8),
    side.p99.toFixed(2).padStart(8),
    String(side.failed).padStart(8),
  ]
  return `  ${side.server.padEnd(10)}${cells.join(' ')}`
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
