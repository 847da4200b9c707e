/**
 * `node bench/cache-soak.ts [--minutes 30] [--clients 24] [--things 200] [--workers 2] [--calm]`: two gateways with one
 * Redis, an origin whose content changes and that misbehaves, and clients that check every byte they get, while things
 * are purged, Redis is paused, restarted and spoiled, and workers and whole gateways are killed (`--calm`: only purges).
 * Exit code 1 when one body was wrong, or one request failed that none of these faults explains. Starts redis-server
 * itself.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { RedisServer } from '../test/lib/redis-server.ts'
import { Causes } from './lib/cache-soak/causes.ts'
import { type Events, routeOf, run, TOKEN } from './lib/cache-soak/chaos.ts'
import { Client, type Counts, emptyCounts } from './lib/cache-soak/clients.ts'
import { SoakOrigin } from './lib/cache-soak/origin.ts'
import { SoakGateway } from './lib/cache-soak/replica.ts'
import { World } from './lib/cache-soak/world.ts'
import { provide, REDIS } from './lib/programs.ts'

const HOSTS = { 'memory.soak': 'Memory', 'tiered.soak': 'Tiered', 'redis.soak': 'Redis', 'file.soak': 'File' } as const

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    clients: { type: 'string', default: '24' },
    things: { type: 'string', default: '200' },
    workers: { type: 'string', default: '2' },
    memory: { type: 'string', default: '24Mi' },
    calm: { type: 'boolean', default: false },
  },
})
const missing = provide([REDIS])
if (missing !== undefined) {
  console.error(missing)
  process.exit(1)
}

/** Replicas that share it read what the other one has put into Redis. */
const TICKETS = 'tickets'

const scratch = mkdtempSync(join(tmpdir(), 'headgate-cache-soak-'))
const clock = (): number => performance.now()
const world = new World(Object.keys(HOSTS), Number(values.things), clock())
const counts = emptyCounts()
const causes = new Causes(clock)
const events: Events = {
  ...{
    changes: 0,
    purges: 0,
    purgesEverywhere: 0,
    purgesFailed: 0,
    failure: '',
    redisPaused: 0,
    redisRestarted: 0,
    redisSpoiled: 0,
  },
  ...{ workersEnded: 0, replicasKilled: 0 },
}
const replicas: SoakGateway[] = []
let over = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => (over = true))
const redis = await RedisServer.start()
const origin = await SoakOrigin.start(world, clock, causes)
let failure: unknown
try {
  await soak()
} catch (error) {
  failure = error
} finally {
  await Promise.all(replicas.map((replica) => replica.kill()))
  origin.stop()
  await redis.stop()
  rmSync(scratch, { recursive: true, force: true })
}
if (failure !== undefined) {
  console.error('the soak itself failed:', failure)
  for (const { name, lines } of replicas) for (const line of lines) console.error(`${name}: ${line}`)
}
process.exit(
  counts.wrongs > 0 || counts.checked === 0 || causes.summary().unexplained.length > 0 || failure !== undefined ? 1 : 0,
)

async function soak(): Promise<void> {
  const tokenFile = join(scratch, 'token')
  writeFileSync(tokenFile, TOKEN, { mode: 0o600 })
  const settings = {
    redis: { addresses: [redis.address] },
    cache: { memory: values.memory },
    tls: { sessionTicketKey: { secretName: TICKETS, namespace: 'default' } },
  }
  const all = manifests(origin.port, randomBytes(32).toString('base64'))
  for (const name of ['one', 'two']) {
    const workerEnded = (line: string): void => {
      causes.threadEnded(name)
      if (!line.includes('thrown by the test')) console.log(`${name}: ${line}`)
    }
    const options = { name, folder: join(scratch, name), manifests: all, settings, tokenFile, workerEnded }
    const replica = await SoakGateway.on({ ...options, workers: Number(values.workers) })
    replicas.push(replica)
    await replica.run()
  }
  const end = performance.now() + Number(values.minutes) * 60_000
  const until = (): boolean => (over ||= performance.now() > end || counts.wrongs >= 50)
  const clients = Array.from(
    { length: Number(values.clients) },
    () => new Client(world, replicas, counts, clock, causes),
  )
  const running = clients.map((client) => client.run(until))
  const chaos = { world, hosts: Object.keys(HOSTS), replicas, redis, clock, events, causes, faults: !values.calm }
  const lanes = [...running, run(chaos, until)]
  for (const lane of lanes) lane.catch(() => (over = true))
  const began = performance.now()
  while (!until()) {
    for (let waited = 0; waited < 100 && !until(); waited++) await delay(100)
    report(Math.round((performance.now() - began) / 1_000), counts)
  }
  await Promise.allSettled(lanes)
  report(Math.round((performance.now() - began) / 1_000), counts)
  console.log(`${JSON.stringify(events)}; at the origin: ${origin.requests} fetches, ${origin.validated} of them 304`)
  const { explained, unexplained } = causes.summary()
  console.log(
    `failed: ${JSON.stringify(explained)}; workers over: ${causes.threadsEnded} of ${events.workersEnded} told`,
  )
  for (const line of unexplained) console.log(`UNEXPLAINED ${line}`)
  for (const line of counts.wrong) console.log(`WRONG ${line}`)
  console.log(
    `${counts.checked} bodies checked, ${counts.begun} more as far as they came, ${counts.wrongs} wrong; ${unexplained.length} failed without a cause`,
  )
  await Promise.all(lanes)
}

function report(seconds: number, { checked, bytes, hits, requests, broken, failures, ...rest }: Counts): void {
  const share = ((100 * hits) / Math.max(1, requests)).toFixed(0)
  console.log(
    `${String(seconds).padStart(5)} s  ${requests} requests, ${checked} checked (${(bytes / 2 ** 20).toFixed(0)} MiB), ` +
      `${share} % hits, ${rest.ranges} ranges, ${rest.notModified} 304, ${rest.posts} POST, ${rest.left} left, ` +
      `${broken} cut off, ${failures} 502-504; ${rest.wrongs} wrong; ${JSON.stringify(events)}`,
  )
}

/** @param key of tickets, base64 */
function manifests(port: number, key: string): string {
  const object = (kind: string, name: string, spec: object): string =>
    JSON.stringify({ apiVersion: 'headgate.dev/v1alpha1', kind, metadata: { name, namespace: 'default' }, spec })
  const routes = Object.entries(HOSTS).map(([host, store]) => {
    const cache = { store, tags: { header: 'surrogate-key' } }
    const rule = { name: 'all', backendRefs: [{ name: 'origin' }], policies: { cache } }
    return object('Route', routeOf(host), { hostnames: [host], rules: [rule] })
  })
  const endpoints = [{ address: '127.0.0.1', port }]
  const tickets = {
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: TICKETS, namespace: 'default' } },
    ...{ type: 'headgate.dev/session-ticket-key', data: { key } },
  }
  return [JSON.stringify(tickets), object('Backend', 'origin', { endpoints }), ...routes].join('\n---\n')
}
