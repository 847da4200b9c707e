/** An exchange, policy sets and dependencies for the tests of filters: the real contracts, without a socket. */

import type { ClientOrigin } from '../../src/message/client-origin.ts'
import { Fields } from '../../src/message/fields.ts'
import { normalizePath } from '../../src/pattern/path.ts'
import { compilePattern } from '../../src/pattern/regex.ts'
import type { Exchange, ExchangeLimits } from '../../src/policy/exchange.ts'
import { limitsOf } from '../../src/policy/limits/filter.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import type { FilterDefinition, FilterDeps } from '../../src/policy/registry.ts'

export const PLAIN: PolicySet = {
  digest: '0'.repeat(32),
  action: { type: 'forward' },
  timeouts: { request: 0, backendRequest: 0, responseHead: 60_000, idle: 60_000, tunnelIdle: 3_600_000 },
  retry: { attempts: 1, reasons: ['ConnectFailure', 'ResetBeforeResponse'], codes: [], backoff: 25, budgetPercent: 20 },
  limits: { maxRequestBytes: -1 },
  upgrades: ['websocket'],
  pathEncoding: 'Strict',
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
  readonly listener: string = 'http'
  readonly id: string = 'id-1'
  readonly route: string = 'shop/shop'
  readonly rule: string = 'api'
  readonly matchedPrefix: number = 0
  readonly policy: PolicySet = PLAIN
  upstreamHost: string | undefined = undefined
  entered = 0
  readonly attributes = new Map<string, unknown>()
  readonly requestBodyLength: number | undefined = 0
  readonly deadline: ExchangeLimits
  ended = false

  constructor(given: Partial<Exchange> = {}, fields: Readonly<Record<string, string>> = {}) {
    Object.assign(this, given)
    this.origin = given.origin ?? { scheme: 'http', host: this.host, port: 80 }
    this.originalPath = given.originalPath ?? this.path
    this.request = given.request ?? Fields.from(fields)
    this.deadline = given.deadline ?? { ...limitsOf(this.policy) }
  }
}

export interface TestDeps extends FilterDeps {
  readonly reports: { readonly filter: string; readonly error: unknown }[]
}

export function testDeps(): TestDeps {
  const reports: TestDeps['reports'] = []
  return {
    clock: { wall: () => 0, monotonic: () => 0 },
    random: () => 0.5,
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
