/**
 * `node bench/tables.ts [routes …]`: the cost of tables. For each size: packing from scratch and after one change, with
 * the longest turn when it is sliced; the delay of a worker's event loop at a swap; memory; nanoseconds per match.
 */
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { Fields } from '../src/message/fields.ts'
import type { PolicySet } from '../src/policy/policy-set.ts'
import { match } from '../src/routing/match.ts'
import type { RouteRequest } from '../src/routing/request.ts'
import { FrontendHandle } from '../src/snapshot/frontend-handle.ts'
import { FrozenMap, FrozenMapBuilder } from '../src/snapshot/frozen-map.ts'
import { hostOf as toHost } from '../src/snapshot/host.ts'
import { Packer, type PackResult } from '../src/snapshot/pack.ts'
import type { PackedTables } from '../src/snapshot/packed.ts'
import { RouteTables } from '../src/snapshot/route-tables.ts'
import type { BackendConfig, Host, Match, Rule, Snapshot } from '../src/snapshot/snapshot.ts'

/** Milliseconds that a turn of the control thread may take before it lets others run. */
const TURN = 1
const RULES_PER_HOST = 10
const FRONTENDS = new Map([['http', { name: 'http' }]])
const SWAPS = 50
const MIB = 1024 * 1024

function policyOf(digest: string): PolicySet {
  return {
    digest,
    action: { type: 'forward' },
    timeouts: { request: 0, backendRequest: 0, responseHead: 60_000, idle: 60_000, tunnelIdle: 3_600_000 },
    retry: {
      attempts: 1,
      reasons: ['ConnectFailure'],
      codes: [],
      grpcCodes: [],
      methods: ['GET'],
      backoff: 25,
      budgetPercent: 20,
    },
    limits: { maxRequestBytes: -1 },
    upgrades: ['websocket'],
    pathEncoding: 'Strict',
  }
}

function backendOf(id: string): BackendConfig {
  return {
    id,
    protocol: 'HTTP',
    tls: undefined,
    proxyProtocol: undefined,
    algorithm: 'LeastRequest',
    hashOn: [],
    slowStart: 0,
    zoneAware: false,
    subsetSize: 0,
    sessionAffinity: undefined,
    hostHeader: 'Preserve',
    maxConnections: 1024,
    maxPending: 1024,
    maxConcurrentRequests: 0,
    connectTimeout: 2000,
    idleTimeout: 60_000,
    maxRequestsPerConnection: 0,
  }
}

const hostOf = (i: number): string => `service-${i}.apps.example.com`
const pathOf = (i: number): string => `/api/v${i}/resource`

/** A host as ten teams share it: prefixes, one exact path, one match by header. */
function hostAt(hostname: string, host: number, count: number, edit = 0): Host {
  const matches: Match[] = []
  for (let i = 0; i < count; i++) {
    const rule: Rule = {
      route: `team-${host % 100}/route-${host}-${i}`,
      rule: edit === 0 ? 'main' : `main-${edit}`,
      policy: `policy-${(host + i) % 20}`,
      backends: [{ backend: `team-${host % 100}/backend-${host}`, weight: 1, priority: 0 }],
    }
    matches.push({
      path: { type: i % 10 === 0 ? 'Exact' : 'PathPrefix', value: pathOf(i) },
      ...(i % 10 === 1 ? { method: 'GET' } : {}),
      headers: i % 10 === 2 ? [{ name: 'x-version', type: 'Exact', value: '2' }] : [],
      queryParams: [],
      cookies: [],
      sourceCIDRs: [],
      frontends: undefined,
      within: [],
      rule,
      order: { created: undefined, rule: i, match: 0 },
    })
  }
  matches.sort((a, b) =>
    a.path.type === b.path.type ? b.path.value.length - a.path.value.length : a.path.type === 'Exact' ? -1 : 1,
  )
  return toHost(hostname, matches)
}

interface World {
  readonly table: FrozenMapBuilder<Host>
  readonly policies: FrozenMap<PolicySet>
  readonly backends: FrozenMap<BackendConfig>
  readonly rulesPerHost: number
  readonly hosts: number
}

function worldOf(routes: number, rulesPerHost: number): World {
  const hosts = Math.ceil(routes / rulesPerHost)
  const table = new FrozenMapBuilder<Host>()
  const backends = new FrozenMapBuilder<BackendConfig>()
  for (let i = 0; i < hosts; i++) {
    table.set(hostOf(i), hostAt(hostOf(i), i, rulesPerHost))
    backends.set(`team-${i % 100}/backend-${i}`, backendOf(`team-${i % 100}/backend-${i}`))
  }
  const policies = FrozenMap.from(
    Array.from({ length: 20 }, (_, i) => [`policy-${i}`, policyOf(`policy-${i}`)] as const),
  )
  return { table, policies, backends: backends.freeze(), rulesPerHost, hosts }
}

function snapshotOf({ table, policies, backends }: World): Snapshot {
  return { frontends: FRONTENDS, hosts: table.freeze(), policies, backends }
}

/** Middle and worst of some figures: on a busy machine the worst is often somebody else's work. */
function summary(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): string => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(2)
  return `${at(0.5)} (p99 ${at(0.99)}, worst ${at(1)}) ms`
}

interface Sliced {
  readonly result: PackResult
  readonly total: number
  readonly turns: readonly number[]
}

/** Packs as control does: steps until a turn is over, then something else. */
async function packSliced(packer: Packer, snapshot: Snapshot): Promise<Sliced> {
  const steps = packer.packSteps(snapshot)
  let total = 0
  const turns: number[] = []
  while (true) {
    const started = performance.now()
    let step = steps.next()
    while (step.done !== true && performance.now() - started < TURN) step = steps.next()
    const took = performance.now() - started
    total += took
    turns.push(took)
    if (step.done === true) return { result: step.value, total, turns }
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/**
 * Nanoseconds a match, best of several rounds. `distinct` routes take turns in no order. The requests themselves lie
 * one after the other in memory, as what has just arrived is in the processor's cache anyway: what is measured is the
 * tables.
 */
function measureMatch(tables: RouteTables, world: World, distinct: number): number {
  const fresh = (text: string): string => Buffer.from(text).latin1Slice(0, text.length)
  const fields = Fields.from({ 'user-agent': 'bench', accept: '*/*' })
  const frontend = new FrontendHandle('http')
  const common = { method: 'GET', query: undefined, frontend, request: fields, clientAddress: '192.0.2.1' }
  const requests: RouteRequest[] = []
  for (let n = 0; n < distinct; n++) {
    // A walk through all of them in large steps; the step shares no factor with any size used here.
    const i = (n * 7919) % distinct
    const host = Math.floor((i / distinct) * world.hosts)
    // Rule 2 asks for a header that is not sent: those requests would be refused.
    const rule = world.rulesPerHost > 10 ? i - (i % 10 === 2 ? 1 : 0) : [0, 1, 3, 4, 5, 6, 7, 8, 9][i % 9]!
    const path = rule % 10 === 0 ? pathOf(rule) : `${pathOf(rule)}/items/42`
    requests.push({ ...common, host: fresh(hostOf(host)), path: fresh(path) })
  }
  for (const one of requests)
    if (typeof match(tables, one) === 'string') throw new Error(`${one.host}${one.path} is not matched`)
  const times = Math.max(1, Math.ceil(400_000 / requests.length))
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 7; round++) {
    const started = performance.now()
    for (let i = 0; i < times; i++) for (const one of requests) match(tables, one)
    best = Math.min(best, ((performance.now() - started) * 1e6) / (times * requests.length))
  }
  return best
}

interface Stall {
  readonly swap: number
  readonly heap: number
}

/** Sends generations to a worker whose loop is never idle, and asks how long it stood still. */
class Peer {
  readonly #worker = new Worker(new URL(import.meta.url))

  /** @param result undefined: only look how long the loop stands still without anything to do */
  send(result: PackResult | undefined): Promise<Stall> {
    this.#worker.postMessage(result)
    return new Promise((resolve) => this.#worker.once('message', resolve))
  }

  end(): Promise<number> {
    return this.#worker.terminate()
  }
}

function runPeer(): void {
  const port = parentPort!
  let tables: RouteTables | undefined
  let last = performance.now()
  let worst = 0
  let waiting = 0
  let heap = 0
  const spin = (): void => {
    const now = performance.now()
    worst = Math.max(worst, now - last)
    last = now
    // A few turns after the swap: what a collection costs comes late.
    if (waiting > 0 && --waiting === 0) {
      port.postMessage({ swap: worst, heap })
      worst = 0
    }
    setImmediate(spin)
  }
  setImmediate(spin)
  port.on('message', (result: { readonly tables: PackedTables } | undefined) => {
    worst = 0
    waiting = 2000
    if (result === undefined) return
    const next = new RouteTables(result.tables, tables)
    for (const _ of next.prepare());
    tables = next
    heap = process.memoryUsage().heapUsed
  })
}

/**
 * Bytes that one more packer holds besides its blocks; NaN without --expose-gc. The first one has made flat strings out
 * of the world's.
 */
async function heapOfPacker(snapshot: Snapshot): Promise<number> {
  const { gc } = globalThis
  if (gc === undefined) return Number.NaN
  gc()
  const before = process.memoryUsage().heapUsed
  const packer = new Packer(Math.random)
  await packSliced(packer, snapshot)
  gc()
  const after = process.memoryUsage().heapUsed
  return packer.bytes > 0 ? after - before : 0
}

async function benchSize(routes: number, rulesPerHost: number): Promise<void> {
  const world = worldOf(routes, rulesPerHost)
  const snapshot = snapshotOf(world)
  const packer = new Packer(Math.random)
  const full = await packSliced(packer, snapshot)
  const heapControl = await heapOfPacker(snapshot)
  const peer = new Peer()
  // The code of a fresh thread is cold: what its first generations cost is not what a swap costs.
  for (let i = 0; i < 10; i++) await peer.send(packer.full()!)
  const idle: number[] = []
  for (let i = 0; i < SWAPS; i++) idle.push((await peer.send(undefined)).swap)
  const totals: number[] = []
  const turns: number[] = []
  const swaps: number[] = []
  let heapWorker = 0
  for (let i = 0; i < SWAPS; i++) {
    const host = Math.floor((i / SWAPS) * world.hosts)
    world.table.set(hostOf(host), hostAt(hostOf(host), host, rulesPerHost, i + 1))
    const sliced = await packSliced(packer, snapshotOf(world))
    totals.push(sliced.total)
    turns.push(...sliced.turns)
    const { swap, heap } = await peer.send(sliced.result)
    swaps.push(swap)
    heapWorker = heap
  }
  await peer.end()
  const { tables } = packer.full()!
  const shared = (packer.bytes + tables.root.byteLength) / MIB
  const spread = Math.min(20_000, routes)
  const mapped = new RouteTables(tables)
  console.log(`${routes.toLocaleString('en')} routes on ${world.hosts.toLocaleString('en')} hosts`)
  console.log(`  pack all: ${full.total.toFixed(1)} ms, turns ${summary(full.turns)}`)
  console.log(`  one host changed: pack ${summary(totals)}, turns ${summary(turns)}`)
  console.log(`  longest stall of a worker while it swaps: ${summary(swaps)}; of one that does not: ${summary(idle)}`)
  console.log(
    `  memory: ${shared.toFixed(1)} MiB shared in ${tables.blocks.length} blocks, ` +
      `${(heapControl / MIB).toFixed(1)} MiB heap of the packer, ${(heapWorker / MIB).toFixed(1)} MiB heap of a worker in all`,
  )
  console.log(
    `  match: ${measureMatch(mapped, world, Math.min(64, routes)).toFixed(0)} ns on ${Math.min(64, routes)} busy routes, ` +
      `${measureMatch(mapped, world, spread).toFixed(0)} ns spread over ${spread.toLocaleString('en')}`,
  )
}

if (!isMainThread) runPeer()
else {
  await packSliced(new Packer(Math.random), snapshotOf(worldOf(2000, RULES_PER_HOST)))
  const sizes = process.argv.slice(2).map(Number)
  for (const size of sizes.length > 0 ? sizes : [10, 10_000, 100_000]) await benchSize(size, RULES_PER_HOST)
  if (sizes.length === 0) await benchSize(100_000, 100_000)
}
