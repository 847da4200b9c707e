/**
 * `node bench/balance.ts`: nanoseconds of a pick with each algorithm, of a split, and of a run of a filter chain. The
 * best of several rounds, because the others include other work of the machine.
 */
import { Availability } from '../src/balance/availability.ts'
import { NO_KEY } from '../src/balance/balancer.ts'
import { type Algorithm, createBalancer, type Spread } from '../src/balance/create-balancer.ts'
import type { Endpoint, EndpointGauge } from '../src/balance/endpoint.ts'
import { choosePlace, type Room } from '../src/balance/priority-split.ts'
import type { Topology } from '../src/balance/topology.ts'
import { UserSplit } from '../src/balance/user-split.ts'
import { WeightedSplits } from '../src/balance/weighted-split.ts'
import { MemoryStores } from '../src/cache/memory-store.ts'
import { NO_MEMORY } from '../src/cache/no-memory.ts'
import { OwnedLru } from '../src/cache/owned-lru.ts'
import { Purges } from '../src/cache/purges.ts'
import { hashKey } from '../src/lib/hash.ts'
import { TableLimiters } from '../src/limit/table-limiters.ts'
import { Fields } from '../src/message/fields.ts'
import type { ResponseHead } from '../src/message/head.ts'
import { normalizePath } from '../src/pattern/path.ts'
import { compilePattern } from '../src/pattern/regex.ts'
import { type Chain, composeChain, runEnd, runRequest, runResponse } from '../src/policy/chain.ts'
import type { Exchange, ExchangeSummary } from '../src/policy/exchange.ts'
import { limitsOf } from '../src/policy/limits/filter.ts'
import type { PolicySet } from '../src/policy/policy-set.ts'
import { problemResponse } from '../src/policy/problem.ts'
import { makeRequestId } from '../src/policy/request-id/request-id.ts'
import type { FilterServices } from '../src/policy/services.ts'
import { EndpointTable, SLOT_STATE } from '../src/shared-memory/endpoint-table.ts'
import { LimitTable } from '../src/shared-memory/limit-table.ts'
import { createMetrics, WorkerMetrics } from '../src/shared-memory/metrics.ts'
import { PurgeLog } from '../src/shared-memory/purge-log.ts'
import { WorkerCache } from '../src/worker/cache-services.ts'
import { NO_SIGN_INS } from '../test/policy/exchange.ts'

/** Many short ones: on a machine that does other work, some are not interrupted. */
const ROUNDS = 100
const WORKERS = 4

/** Keeps results alive, so that the measured code is not optimised away. */
let sink: unknown

function measure(name: string, times: number, once: () => unknown): void {
  const each = times / 10
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < each; i++) sink = once()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / each)
  }
  console.log(`${name.padEnd(58)} ${best.toFixed(1).padStart(9)} ns`)
}

/** State and counts in shared memory, as workers have them: one atomic load for state, one for each worker's count. */
class SharedGauge implements EndpointGauge {
  readonly #states: Int32Array
  readonly #counts: Int32Array

  constructor(slots: number) {
    this.#states = new Int32Array(new SharedArrayBuffer(slots * 4)).fill(1)
    this.#counts = new Int32Array(new SharedArrayBuffer(slots * WORKERS * 4))
  }

  eligible(slot: number): boolean {
    return Atomics.load(this.#states, slot) === 1
  }

  inFlight(slot: number): number {
    let count = 0
    for (let worker = 0; worker < WORKERS; worker++) count += Atomics.load(this.#counts, slot * WORKERS + worker)
    return count
  }

  age(): number {
    return Number.POSITIVE_INFINITY
  }

  cost(slot: number): number {
    return 1 + (slot % 7)
  }

  withdraw(slot: number): void {
    Atomics.store(this.#states, slot, 0)
  }
}

function endpoints(count: number): Endpoint[] {
  return Array.from({ length: count }, (_, slot) => {
    const address = `10.0.${slot >> 8}.${slot & 255}`
    const zone = 'abc'[slot % 3]!
    return {
      authority: `${address}:80`,
      address,
      port: 80,
      slot,
      weight: 1 + (slot % 5),
      state: 'ready' as const,
      zone,
    }
  })
}

/** One of 30 replicas, ten in each zone. */
const TOPOLOGY: Topology = {
  zone: 'a',
  replicas: [
    ['a', 10],
    ['b', 10],
    ['c', 10],
  ],
  place: { index: 7, count: 30 },
  placeInZone: { index: 3, count: 10 },
}

/** What ready endpoints weigh is counted ten times a second: time goes on as if a worker did nothing but pick. */
let time = 0

function measurePick(algorithm: Algorithm, count: number, withdrawn: number, what = '', spread?: Spread): void {
  const gauge = new SharedGauge(count)
  const now = () => (time += 0.0002)
  const context = { gauge, random: Math.random, topology: TOPOLOGY, now, requests: () => count * 4 }
  const balancer = createBalancer(algorithm, context, 0, spread)
  balancer.update(endpoints(count))
  for (let slot = 0; slot < withdrawn; slot++) gauge.withdraw(slot * 2)
  const note = withdrawn === 0 ? '' : `, ${withdrawn} of them withdrawn`
  let key = algorithm === 'ConsistentHash' ? 1 : NO_KEY
  const times = count < 100 ? 1_000_000 : 50_000
  measure(`pick: ${algorithm}${what}, ${count} endpoints${note}`, times, () => {
    if (key !== NO_KEY) key = (Math.imul(key, 0x9e3779b1) + 1) >>> 0
    return balancer.pick(key, null)
  })
}

const ALGORITHMS = ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random', 'ConsistentHash'] as const
for (const algorithm of ALGORITHMS)
  for (const [count, withdrawn] of [
    [3, 0],
    [50, 0],
    [50, 25],
    [1_000, 0],
    [10_000, 0],
    [10_000, 5_000],
  ] as const)
    measurePick(algorithm, count, withdrawn)

for (const algorithm of ALGORITHMS)
  for (const withdrawn of [0, 5_000]) {
    measurePick(algorithm, 10_000, withdrawn, ' in zones', { zoneAware: true, subsetSize: 0 })
    if (algorithm !== 'ConsistentHash')
      measurePick(algorithm, 10_000, withdrawn, ' in a subset of 400', { zoneAware: false, subsetSize: 400 })
  }

const splits = new WeightedSplits(Math.random)
const refs = (...weights: number[]) => weights.map((weight, i) => ({ identity: hashKey(`shop/b${i}`), weight }))
const one = { key: 'shop/shop/one', backends: refs(1) }
const two = { key: 'shop/shop/two', backends: refs(90, 10) }
measure('split: one backendRef', 1_000_000, () => splits.turn(one))
measure('split: two backendRefs', 1_000_000, () => splits.turn(two))
for (const [name, split] of [
  ['two', two],
  ['sixteen', { key: 'shop/shop/sixteen', backends: refs(...Array.from({ length: 16 }, (_, i) => i + 1)) }],
] as const)
  measure(`split by user: ${name} backendRefs`, 1_000_000, () => new UserSplit(Math.random() * 2 ** 32).turn(split))

/** A Backend in a split with priorities. @param out share of its endpoints that is out */
function backendWith(table: EndpointTable, first: number, count: number, out: number): { readonly room: Room } {
  const members = Array.from({ length: count }, (_, i): Endpoint => {
    const slot = first + i
    table.enlist(slot)
    if (i < count * out) table.mark(slot, SLOT_STATE.unhealthy, true)
    return { authority: `e${slot}`, address: `e${slot}`, port: 80, slot, weight: 1, state: 'ready' }
  })
  const availability = new Availability(table)
  return {
    get room() {
      return availability.refresh(members, undefined, time)
    },
  }
}

for (const [name, levels, count, out, flaps] of [
  ['2 levels, well', 2, 10, 0, false],
  ['2 levels, half out', 2, 10, 0.5, false],
  ['16 levels, all out', 16, 99, 1, false],
  ['16 levels of 99, all out, a state changes each time', 16, 99, 1, true],
  ['16 levels of 2,000, all out, a state changes each time', 16, 2_000, 1, true],
] as const) {
  const table = new EndpointTable(EndpointTable.allocate(WORKERS, 65_536))
  const made = Array.from({ length: levels }, (_, i) => ({ ...one, key: `shop/shop/one/${i}`, weight: 1 }))
  const rooms = made.map((_, i) => [backendWith(table, i * count, count, out)])
  measure(`split: ${name}`, flaps ? 20_000 : 200_000, () => {
    time += 0.025
    if (flaps) table.changed()
    return choosePlace(made, rooms, splits)
  })
}

const PLAIN: PolicySet = {
  digest: '',
  action: { type: 'forward' },
  timeouts: { request: 0, backendRequest: 0, responseHead: 60_000, idle: 60_000, tunnelIdle: 3_600_000 },
  retry: {
    attempts: 1,
    reasons: ['ConnectFailure', 'ResetBeforeResponse'],
    codes: [],
    grpcCodes: [],
    methods: ['GET'],
    backoff: 25,
    budgetPercent: 20,
  },
  limits: { maxRequestBytes: -1 },
  upgrades: [],
  pathEncoding: 'Strict',
}

const AVERAGE: PolicySet = {
  ...PLAIN,
  limits: { maxRequestBytes: 1 << 20 },
  rewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } },
  requestHeaders: { set: [{ name: 'x-env', value: 'prod' }], add: [], remove: ['x-debug'] },
  responseHeaders: { set: [], add: [], remove: ['server'] },
}

const VARIABLES: PolicySet = {
  ...AVERAGE,
  requestHeaders: {
    set: [
      { name: 'x-client', value: '%{client.ip}' },
      { name: 'x-from', value: '%{method} %{host}%{path} by %{header:user-agent}' },
    ],
    add: [],
    remove: ['x-debug'],
  },
}

const clock = { wall: () => 0, monotonic: () => 0 }

const deps: FilterServices = {
  clock,
  random: Math.random,
  randomBytes: (length) => new Uint8Array(length),
  grants: { store: () => undefined },
  cache: new WorkerCache(
    NO_MEMORY,
    new Purges(new PurgeLog(PurgeLog.allocate(1), 1), 0),
    new WorkerMetrics(createMetrics({ workers: 1 }), 0),
  ),
  timers: { after: () => () => {}, every: () => () => {}, nextTurn: () => () => {} },
  mirrors: { begin: () => null },
  background: { begin: () => null },
  client: { request: () => Promise.reject(new Error('nothing is called here')) },
  providers: { request: () => Promise.reject(new Error('nothing is called here')) },
  signIns: NO_SIGN_INS,
  contents: { get: () => undefined },
  keySets: { check: () => 'unknown' },
  passwords: { digest: (text) => text, check: () => Promise.reject(new Error('no password is checked here')) },
  stores: new MemoryStores({ bytes: 65_536, maxValueBytes: 16_384 }, clock),
  memos: new OwnedLru(65_536, clock),
  remoteLimiters: { open: () => ({ take: () => Promise.reject(new Error('no Redis')), giveBack() {} }) },
  places: { open: () => ({ take: () => true, give() {} }) },
  limiters: new TableLimiters(new LimitTable(LimitTable.allocate(256, [1, 2], 0)), clock),
  compilePattern,
  normalizePath,
  report: (_filter, error) => {
    throw error
  },
}

const REQUEST = { host: 'shop.example.com', 'user-agent': 'wrk/4', accept: '*/*', cookie: 'sid=1', 'x-debug': '1' }
const RESPONSE = { server: 'x', date: 'Mon, 01 Jan 2026 00:00:00 GMT', 'content-type': 'text/plain', etag: '"1"' }

/** The bytes of fields, and how a parser leaves them in place. */
function template(pairs: Readonly<Record<string, string>>): () => Fields {
  const lines = Object.entries(pairs)
  const bytes = Buffer.from(lines.map(([name, value]) => `${name}: ${value}\r\n`).join(''), 'latin1')
  return () => {
    const fields = new Fields()
    fields.clear(bytes)
    let at = 0
    for (const [name, value] of lines) {
      const colon = at + name.length
      fields.push(at, colon, colon + 2, colon + 2 + value.length)
      at = colon + 2 + value.length + 2
    }
    return fields
  }
}

const freshRequest = template(REQUEST)
const freshResponse = template(RESPONSE)

function exchange(policy: PolicySet): Exchange {
  return {
    method: 'GET',
    host: 'shop.example.com',
    origin: { scheme: 'http', host: 'shop.example.com', port: 80 },
    path: '/api/items/7',
    originalPath: '/api/items/7',
    query: 'a=1',
    request: freshRequest(),
    clientAddress: '203.0.113.9',
    trusted: false,
    listener: 'http',
    clientCertificate: null,
    id: '7mk2v0c9x4t1bd8ze6rq',
    route: 'shop/shop',
    rule: 'api',
    divided: false,
    part: () => 'shop/shop',
    matchedPrefix: 4,
    policy,
    upstreamHost: undefined,
    upgrade: null,
    cacheResult: '',
    recurs: false,
    entered: 0,
    requestBodyLength: 0,
    deadline: limits,
    ended: false,
    signal: NEVER,
    get: () => undefined,
    set() {},
    readBody: () => Promise.resolve(new Uint8Array(0)),
  }
}

const NEVER = new AbortController().signal
const SUMMARY: ExchangeSummary = {
  status: 200,
  bytesIn: 0,
  bytesOut: 10,
  attempts: 1,
  reason: null,
  duration: 1,
  upstreamDuration: 1,
}
const limits = { ...limitsOf(AVERAGE) }

function walk(chain: Chain | null, policy: PolicySet): unknown {
  const x = exchange(policy)
  const head: ResponseHead = { status: 200, fields: freshResponse(), bodyLength: 10 }
  if (chain !== null) {
    runRequest(chain, x)
    runResponse(chain, x, head, chain.length)
    runEnd(chain, x, () => SUMMARY)
  }
  return head
}

measure('request id', 1_000_000, () => makeRequestId(Math.random))
measure('problem document', 1_000_000, () => problemResponse('RouteNotFound', { id: 'x' }))
for (const [name, policy] of [
  ['no policies (the test’s own exchange only)', PLAIN],
  ['body limit, rewrite, request and response headers', AVERAGE],
  ['the same with variables', VARIABLES],
] as const) {
  const chain = composeChain(policy, deps)
  measure(`chain: ${name}`, 300_000, () => walk(chain, policy))
}

if (sink === undefined) throw new Error('nothing was measured')
