/**
 * `node bench/sent-twice.ts`: what retries, hedges and mirrors cost and bring, in a real gateway. A Backend that answers
 * 503 to all: by how much its load grows, over all workers. One of four endpoints that takes a second: the tail with and
 * without hedges. A mirror that never answers: the requests that are copied to it, beside the same without a mirror.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type LoadResult, load } from './lib/load.ts'
import { HOST, startHeadgate } from './lib/servers.ts'

const HELP = `node bench/sent-twice.ts [flags]
  --workers N      (default 2)
  --seconds N      of each measurement (default 6)
  --budget N       retry.budgetPercent of the outage (default 20)
  --latency MS     of the slow endpoint (default 1000)
  --after MS       of the hedge (default 50)
  --json           one JSON document
`

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '6' },
    budget: { type: 'string', default: '20' },
    latency: { type: 'string', default: '1000' },
    after: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
})
if (values.help === true) {
  process.stdout.write(HELP)
  process.exit(0)
}

const [workers, seconds, budget, latency] = [values.workers, values.seconds, values.budget, values.latency].map(Number)
const servers: Server[] = []

async function endpoint(listener: RequestListener): Promise<number> {
  const server = createServer(listener)
  server.keepAliveTimeout = 60_000
  servers.push(server.listen(0, '127.0.0.1'))
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function backend(name: string, ports: readonly number[]): string {
  const endpoints = ports.map((port) => `{ address: 127.0.0.1, port: ${port} }`).join(', ')
  return `apiVersion: headgate.dev/v1alpha1
kind: Backend
metadata: { name: ${name}, namespace: bench }
spec:
  endpoints: [${endpoints}]
  loadBalancing: { algorithm: RoundRobin }
  healthCheck: { passive: { consecutiveFailures: 0 } }
---
`
}

const rule = (name: string, to: string, policies: string): string => `
  - name: ${name}
    matches: [{ path: { value: /${name} } }]
    backendRefs: [{ name: ${to} }]
    policies: { ${policies} }`

let asked = 0
const failing = await endpoint((_, response) => {
  asked++
  response.writeHead(503).end()
})
const quick = await Promise.all([0, 1, 2].map(() => endpoint((_, response) => void response.end('quick'))))
const slow = await endpoint((_, response) => void setTimeout(() => response.end('slow'), latency))
const hanging = await endpoint(() => {})

const manifests = `${backend('failing', [failing])}${backend('mixed', [...quick, slow])}${backend('hedged', [...quick, slow])}
${backend('quick', quick)}${backend('hanging', [hanging])}apiVersion: headgate.dev/v1alpha1
kind: Route
metadata: { name: bench, namespace: bench }
spec:
  hostnames: [${HOST}]
  rules:${rule('outage', 'failing', `retry: { attempts: 3, codes: [503], backoff: 1ms, budgetPercent: ${budget} }`)}${rule(
    'mixed',
    'mixed',
    '',
  )}${rule('hedged', 'hedged', `hedge: { after: ${values.after}ms, maxPercent: 50 }, retry: { budgetPercent: 50 }`)}${rule(
    'alone',
    'quick',
    '',
  )}${rule('mirrored', 'quick', 'mirror: { backendRef: { name: hanging } }')}
`

const scratch = mkdtempSync(join(tmpdir(), 'headgate-sent-twice-'))
const gateway = await startHeadgate(scratch, undefined, { 'bench.yaml': manifests }, { workers: workers! })
const measure = (name: string): Promise<LoadResult> =>
  load(scratch, undefined, { port: gateway.port, path: `/${name}`, host: HOST, seconds: seconds!, connections: 16 })

async function counter(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

try {
  const outage = await measure('outage')
  const factor = asked / outage.requests
  const mixed = await measure('mixed')
  const hedged = await measure('hedged')
  const hedges = await counter('headgate_upstream_hedges_total')
  const won = await counter('headgate_upstream_hedges_won_total')
  const alone = await measure('alone')
  const mirrored = await measure('mirrored')
  const [sent, dropped] = [
    await counter('headgate_mirrored_requests_total'),
    await counter('headgate_mirrors_dropped_total'),
  ]
  const report = {
    outage: { ...outage, factor },
    mixed,
    hedged: { ...hedged, hedges, won },
    alone,
    mirrored,
    sent,
    dropped,
  }
  if (values.json) console.log(JSON.stringify(report, null, 2))
  else {
    const line = (name: string, { perSecond, p50, p99 }: LoadResult, more = ''): void =>
      console.log(
        `${name.padEnd(22)}${perSecond.toFixed(0).padStart(8)} req/s  p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms${more}`,
      )
    line('all answer 503', outage, `  load ${factor.toFixed(3)} × the requests`)
    line('one of four is slow', mixed)
    line('  with hedges', hedged, `  ${((100 * hedges) / hedged.requests).toFixed(1)} % sent twice, ${won} won`)
    line('no mirror', alone)
    line('a mirror that hangs', mirrored, `  ${sent} copies sent, ${dropped} dropped`)
  }
} finally {
  await gateway.stop()
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  rmSync(scratch, { recursive: true, force: true })
}
