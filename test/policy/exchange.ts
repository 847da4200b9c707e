/** An exchange, policy sets and dependencies for the tests of filters: the real contracts, without a socket. */

import { randomBytes } from 'node:crypto'
import { MemoryStores } from '../../src/cache/memory-store.ts'
import { OwnedLru } from '../../src/cache/owned-lru.ts'
import { Purges } from '../../src/cache/purges.ts'
import { GatewayError } from '../../src/lib/error.ts'
import { WorkerPlaces } from '../../src/limit/places.ts'
import { TableLimiters } from '../../src/limit/table-limiters.ts'
import type { ClientOrigin } from '../../src/message/client-origin.ts'
import { Fields } from '../../src/message/fields.ts'
import { normalizePath } from '../../src/pattern/path.ts'
import { compilePattern } from '../../src/pattern/regex.ts'
import { type Attribute, Attributes } from '../../src/policy/attribute.ts'
import type { Exchange, ExchangeLimits, ExchangeSummary } from '../../src/policy/exchange.ts'
import { limitsOf } from '../../src/policy/limits/filter.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import type { FilterDefinition } from '../../src/policy/registry.ts'
import type { FilterServices } from '../../src/policy/services.ts'
import type { SignInFailure, SignIns } from '../../src/policy/sign-ins.ts'
import { LimitTable } from '../../src/shared-memory/limit-table.ts'
import { createMetrics, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { NamedPlaces } from '../../src/shared-memory/named-places.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'
import { WorkerCache } from '../../src/worker/cache-services.ts'
import { HeapResponses } from '../lib/memory/heap-responses.ts'

export const PLAIN: PolicySet = {
  digest: '0'.repeat(32),
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
  upgrades: ['websocket'],
  pathEncoding: 'Strict',
}

export const SUMMARY: ExchangeSummary = {
  status: 200,
  bytesIn: 0,
  bytesOut: 5,
  attempts: 1,
  reason: null,
  duration: 3,
  upstreamDuration: 2,
}

export class TestExchange implements Exchange {
  readonly method: string = 'GET'
  readonly host: string = 'shop.example.com'
  readonly origin: ClientOrigin
  path: string = '/'
  readonly originalPath: string
  query: string | undefined = undefined
  readonly request: Fields
  readonly clientAddress: string = '203.0.113.9'
  readonly trusted: boolean = false
  readonly clientCertificate: Exchange['clientCertificate'] = null
  readonly listener: string = 'http'
  readonly id: string = 'id-1'
  readonly route: string = 'shop/shop'
  readonly rule: string = 'api'
  readonly matchedPrefix: number = 0
  readonly policy: PolicySet = PLAIN
  upstreamHost: string | undefined = undefined
  entered = 0
  readonly upgrade: string | null = null
  cacheResult = ''
  readonly recurs = false
  readonly divided: boolean = false
  readonly requestBodyLength: number | undefined = 0
  readonly deadline: ExchangeLimits
  ended = false
  /** What {@link readBody} gives. */
  body: Uint8Array = new Uint8Array(0)
  readonly #attributes = new Attributes()
  readonly #end = new AbortController()

  constructor(given: Partial<Exchange> = {}, fields: Readonly<Record<string, string>> = {}) {
    Object.assign(this, given)
    this.origin = given.origin ?? { scheme: 'http', host: this.host, port: 80 }
    this.originalPath = given.originalPath ?? this.path
    this.request = given.request ?? Fields.from(fields)
    this.deadline = given.deadline ?? { ...limitsOf(this.policy) }
  }

  part(): string | null {
    return 'shop/up'
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  get<T>(key: Attribute<T>): T | undefined {
    return this.#attributes.get(key)
  }

  set<T>(key: Attribute<T>, value: T): void {
    this.#attributes.set(key, value)
  }

  async readBody(maxBytes: number): Promise<Uint8Array> {
    if (this.body.length > maxBytes) throw new GatewayError('BodyTooLarge')
    return this.body
  }

  end(): void {
    this.ended = true
    this.#end.abort()
  }
}

export interface TestDeps extends FilterServices {
  /** What `contents` has; a test changes it. */
  readonly contentsById: Map<string, Uint8Array>
  readonly reports: { readonly filter: string; readonly error: unknown }[]
}

const NOBODY: SignInFailure = { fault: 'unavailable', detail: 'nobody signs in here' }

export const NO_SIGN_INS: SignIns = {
  random: (bytes) => new Uint8Array(bytes),
  seed: new Uint8Array(32),
  endpoints: () => Promise.resolve(NOBODY),
  redeem: () => Promise.resolve(NOBODY),
  refresh: () => Promise.resolve(NOBODY),
  end: () => Promise.resolve(NOBODY),
  endByToken: () => Promise.resolve(NOBODY),
  isOver: () => false,
}

export function testDeps(): TestDeps {
  const reports: TestDeps['reports'] = []
  const clock = { wall: () => 0, monotonic: () => 0 }
  const contents = new Map<string, Uint8Array>()
  return {
    clock,
    random: () => 0.5,
    randomBytes: (length) => randomBytes(length),
    grants: { store: () => undefined },
    timers: { after: () => () => {}, every: () => () => {}, nextTurn: () => () => {} },
    mirrors: { begin: () => null },
    background: { begin: () => null },
    providers: { request: () => Promise.reject(new Error('no provider in this test')) },
    client: { request: () => Promise.reject(new Error('nothing is called here')) },
    signIns: NO_SIGN_INS,
    contents: { get: (id) => contents.get(id) },
    keySets: { check: () => 'unknown' },
    contentsById: contents,
    stores: new MemoryStores({ bytes: 65_536, maxValueBytes: 16_384 }, clock),
    cache: new WorkerCache(
      new HeapResponses(),
      new Purges(new PurgeLog(PurgeLog.allocate(1), 1), 0),
      new WorkerMetrics(createMetrics({ workers: 1 }), 0),
    ),
    passwords: { digest: (text) => text, check: () => Promise.reject(new Error('no password is checked here')) },
    memos: new OwnedLru(65_536, clock),
    remoteLimiters: { open: () => ({ take: () => Promise.reject(new Error('no Redis')), giveBack() {} }) },
    places: new WorkerPlaces(0, new NamedPlaces(NamedPlaces.allocate(1, 64), 1)),
    limiters: new TableLimiters(new LimitTable(LimitTable.allocate(1_024, [1, 2], 0)), clock),
    compilePattern,
    normalizePath,
    report: (filter, error) => void reports.push({ filter, error }),
    reports,
  }
}

/** One filter made for a policy set; the policy must give it something to do. */
export function make(definition: FilterDefinition, policy: Partial<PolicySet>) {
  const filter = definition.create({ ...PLAIN, ...policy }, testDeps())
  if (filter === undefined) throw new TypeError(`${definition.name} has nothing to do`)
  return filter
}

/** The fields as they would be sent. */
export function pairs(fields: Fields): [string, string][] {
  const all: [string, string][] = []
  fields.forEach((name, value) => {
    all.push([name, value])
  })
  return all
}
