/** What every router does, whatever it is made of: one suite for the slow matcher and the packed one. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fields } from '../../src/message/fields.ts'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import type { RouteRequest } from '../../src/routing/request.ts'
import { type FrontendSet, frontendSet } from '../../src/snapshot/frontend.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { hostOf } from '../../src/snapshot/host.ts'
import { compareMatches, type OrderedMatch } from '../../src/snapshot/order.ts'
import type { BackendConfig, Host, Match, PathMatch, Rule, Snapshot, ValueMatch } from '../../src/snapshot/snapshot.ts'

/** What a router says about a request: `ns/name/rule` and the length of the matched prefix, or why there is none. */
export type Routed = { readonly key: string; readonly prefixLength: number } | 'HostNotFound' | 'RouteNotFound'
export type Router = (request: RouteRequest) => Routed
export type RouterFactory = (snapshot: Snapshot) => Router

export interface RuleSpec {
  readonly name: string
  readonly matches: readonly Partial<Match>[]
  readonly policy?: string
  readonly backends?: Rule['backends']
  readonly refuse?: NonNullable<Rule['refuse']>
}

export const ANY: Match = {
  path: { type: 'PathPrefix', value: '/' },
  headers: [],
  queryParams: [],
  cookies: [],
  sourceCIDRs: [],
  frontends: undefined,
  within: [],
  rule: { route: 'ns/route', rule: 'any', policy: 'p', backends: [] },
  order: { created: undefined, rule: 0, match: 0 },
}

export function policy(digest: string): PolicySet {
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

export function backend(id: string): BackendConfig {
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

/** One hostname with its matches in the order of api.md. */
export function host(hostname: string, specs: readonly RuleSpec[], route = 'ns/route'): Host {
  const ordered: OrderedMatch[] = []
  specs.forEach((spec, ruleOrder) => {
    const rule: Rule = {
      route,
      rule: spec.name,
      policy: spec.policy ?? 'p',
      backends: spec.backends ?? [],
      ...(spec.refuse === undefined ? {} : { refuse: spec.refuse }),
    }
    spec.matches.forEach((match, matchOrder) => {
      const order = { created: undefined, rule: ruleOrder, match: matchOrder }
      const whole: Match = { ...ANY, ...match, rule, order }
      ordered.push({ match: whole, created: undefined, route, ruleOrder, matchOrder })
    })
  })
  ordered.sort(compareMatches)
  return hostOf(
    hostname,
    ordered.map(({ match }) => match as Match),
  )
}

/** Frontends by number: `l0` and so on. */
export function frontends(...numbers: number[]): FrontendSet {
  return frontendSet(numbers.map((number) => `l${number}`))
}

/** More than a word has bits. */
const FRONTENDS = new Map(Array.from({ length: 40 }, (_, i) => [`l${i}`, { name: `l${i}` }]))

export function snapshot(hosts: Readonly<Record<string, readonly RuleSpec[]>>): Snapshot {
  return {
    frontends: FRONTENDS,
    hosts: new Map(Object.entries(hosts).map(([hostname, specs]) => [hostname, host(hostname, specs)])),
    policies: new Map([['p', policy('p')]]),
    backends: new Map(),
  }
}

export interface RequestSpec {
  readonly method?: string
  readonly host?: string
  readonly path?: string
  readonly query?: string
  readonly frontend?: string
  readonly headers?: readonly (readonly [string, string])[]
  readonly clientAddress?: string
}

export function request(spec: RequestSpec): RouteRequest {
  const fields = new Fields()
  for (const [name, value] of spec.headers ?? []) fields.add(name, value)
  return {
    method: spec.method ?? 'GET',
    host: spec.host ?? 'a.example',
    path: spec.path ?? '/',
    query: spec.query,
    frontend: new FrontendHandle(spec.frontend ?? 'l0'),
    request: fields,
    clientAddress: spec.clientAddress ?? '192.0.2.1',
  }
}

const exact = (value: string): PathMatch => ({ type: 'Exact', value })
const prefix = (value: string): PathMatch => ({ type: 'PathPrefix', value })
const regex = (value: string): PathMatch => ({ type: 'RegularExpression', value })
const is = (name: string, value: string): ValueMatch => ({ name, type: 'Exact', value })

export function routerSuite(name: string, make: RouterFactory): void {
  /** Name of the rule that gets the request, or why none does. */
  function ask(hosts: Readonly<Record<string, readonly RuleSpec[]>>, spec: RequestSpec): string {
    const routed = make(snapshot(hosts))(request(spec))
    return typeof routed === 'string' ? routed : routed.key.slice('ns/route/'.length)
  }
  const one = (match: Partial<Match>): Readonly<Record<string, readonly RuleSpec[]>> => ({
    'a.example': [{ name: 'hit', matches: [match] }],
  })

  describe(`${name}: hosts that extend a wildcard`, () => {
    const { hosts, ...rest } = snapshot({
      'x.example': [{ name: 'mine', matches: [{ path: prefix('/a') }] }],
      '*.example': [{ name: 'wild', matches: [{ path: exact('/a/b') }, { path: prefix('/w') }] }],
      '*': [{ name: 'rest', matches: [{}] }],
    })
    const extended = (extending: readonly string[]) =>
      make({
        ...rest,
        hosts: new Map(Array.from(hosts, ([k, one]) => [k, { ...one, extendsWildcard: extending.includes(k) }])),
      })
    const key = (routed: Routed) => (typeof routed === 'string' ? routed : routed.key)

    it('serve their own rules before those of the wildcard, whatever the paths', () => {
      const route = extended(['x.example'])
      assert.equal(key(route(request({ host: 'x.example', path: '/a/b' }))), 'ns/route/mine')
      assert.equal(key(route(request({ host: 'y.example', path: '/a/b' }))), 'ns/route/wild')
    })

    it('leave the rest to the wildcard, and nothing to the catch-all', () => {
      const route = extended(['x.example', '*.example'])
      assert.equal(key(route(request({ host: 'x.example', path: '/w/1' }))), 'ns/route/wild')
      assert.equal(key(route(request({ host: 'x.example', path: '/other' }))), 'RouteNotFound')
      assert.equal(key(extended([])(request({ host: 'x.example', path: '/w/1' }))), 'RouteNotFound')
    })
  })

  describe(`${name}: hosts`, () => {
    const hosts = {
      'shop.example.com': [{ name: 'exact', matches: [{ path: prefix('/only') }] }],
      '*.example.com': [{ name: 'wild', matches: [{}] }],
      '*.eu.example.com': [{ name: 'longer', matches: [{}] }],
      '*': [{ name: 'rest', matches: [{}] }],
    }
    it('takes the exact name before a wildcard, and a longer wildcard before a shorter one', () => {
      assert.equal(ask(hosts, { host: 'shop.example.com', path: '/only' }), 'exact')
      assert.equal(ask(hosts, { host: 'a.eu.example.com' }), 'longer')
      assert.equal(ask(hosts, { host: 'a.example.com' }), 'wild')
    })
    it('covers one or more labels by a wildcard, never none', () => {
      assert.equal(ask(hosts, { host: 'a.b.c.example.com' }), 'wild')
      assert.equal(ask(hosts, { host: 'a.b.eu.example.com' }), 'longer')
      assert.equal(ask(hosts, { host: 'eu.example.com' }), 'wild')
      assert.equal(ask(hosts, { host: 'example.com' }), 'rest')
      assert.equal(ask(hosts, { host: '.example.com' }), 'rest')
      assert.equal(ask(hosts, { host: 'badexample.com' }), 'rest')
    })
    it('never falls through from a matched host to a wildcard or the catch-all', () => {
      assert.equal(ask(hosts, { host: 'shop.example.com', path: '/elsewhere' }), 'RouteNotFound')
    })
    it('has no host where nobody names it and there is no catch-all', () => {
      assert.equal(ask({ 'a.example': [{ name: 'x', matches: [{}] }] }, { host: 'b.example' }), 'HostNotFound')
      assert.equal(ask({}, { host: 'b.example' }), 'HostNotFound')
    })
    it('serves address literals like names', () => {
      const literals = {
        '[2001:db8::1]': [{ name: 'six', matches: [{}] }],
        '192.0.2.7': [{ name: 'four', matches: [{}] }],
      }
      assert.equal(ask(literals, { host: '[2001:db8::1]' }), 'six')
      assert.equal(ask(literals, { host: '192.0.2.7' }), 'four')
    })
    it('answers at once for a host of a thousand labels', () => {
      assert.equal(ask(hosts, { host: `${'a.'.repeat(1000)}example.com` }), 'wild')
    })
  })

  describe(`${name}: paths`, () => {
    it('takes exact before regular expression before the longest prefix', () => {
      const hosts = {
        'a.example': [
          { name: 'root', matches: [{}] },
          { name: 'short', matches: [{ path: prefix('/api') }] },
          { name: 'long', matches: [{ path: prefix('/api/v1') }] },
          { name: 'regex', matches: [{ path: regex('/api/v1/[a-z]+') }] },
          { name: 'longer-regex', matches: [{ path: regex('/api/v1/special[a-z]*') }] },
          { name: 'exact', matches: [{ path: exact('/api/v1/users') }] },
        ],
      }
      assert.equal(ask(hosts, { path: '/api/v1/users' }), 'exact')
      assert.equal(ask(hosts, { path: '/api/v1/orders' }), 'regex')
      assert.equal(ask(hosts, { path: '/api/v1/specialoffer' }), 'longer-regex')
      assert.equal(ask(hosts, { path: '/api/v1/7' }), 'long')
      assert.equal(ask(hosts, { path: '/api/v2' }), 'short')
      assert.equal(ask(hosts, { path: '/' }), 'root')
    })
    it('matches prefixes by segment', () => {
      assert.equal(ask(one({ path: prefix('/a') }), { path: '/a' }), 'hit')
      assert.equal(ask(one({ path: prefix('/a') }), { path: '/a/' }), 'hit')
      assert.equal(ask(one({ path: prefix('/a') }), { path: '/a/b' }), 'hit')
      assert.equal(ask(one({ path: prefix('/a') }), { path: '/ab' }), 'RouteNotFound')
      assert.equal(ask(one({ path: prefix('/a') }), { path: '/' }), 'RouteNotFound')
    })
    it('says how much of the path a prefix covered, and 0 for other kinds', () => {
      const length = (path: PathMatch, asked: string): number => {
        const routed = make(snapshot(one({ path })))(request({ path: asked }))
        return typeof routed === 'string' ? -1 : routed.prefixLength
      }
      assert.equal(length(prefix('/api/v1'), '/api/v1/x'), 7)
      assert.equal(length(prefix('/'), '/api'), 1)
      assert.equal(length(exact('/api'), '/api'), 0)
      assert.equal(length(regex('/a.*'), '/api'), 0)
    })
    it('keeps a trailing slash apart in exact paths', () => {
      assert.equal(ask(one({ path: exact('/a') }), { path: '/a/' }), 'RouteNotFound')
    })
    it('matches regular expressions against the whole path', () => {
      assert.equal(ask(one({ path: regex('/a') }), { path: '/a/b' }), 'RouteNotFound')
      assert.equal(ask(one({ path: regex('.*[.]php') }), { path: '/x/y.php' }), 'hit')
      assert.equal(ask(one({ path: regex('/a|/b/c') }), { path: '/b/c' }), 'hit')
      assert.equal(ask(one({ path: regex('(?i)/API/x') }), { path: '/api/X' }), 'hit')
      assert.equal(ask(one({ path: regex('/ap?/x') }), { path: '/a/x' }), 'hit')
      assert.equal(ask(one({ path: regex('/a/*b') }), { path: '/ab' }), 'hit')
      assert.equal(ask(one({ path: regex('^/a/b$') }), { path: '/a/b' }), 'hit')
    })
    it('keeps the expressions of a delegate below its paths', () => {
      const match = { path: regex('/.*x'), within: ['/team', '/other'] }
      assert.equal(ask(one(match), { path: '/team/x' }), 'hit')
      assert.equal(ask(one(match), { path: '/other/x' }), 'hit')
      assert.equal(ask(one(match), { path: '/teamx' }), 'RouteNotFound')
    })
    it('goes on to a shorter prefix where the conditions of the longer one do not hold', () => {
      const hosts = {
        'a.example': [
          { name: 'post', matches: [{ path: prefix('/api'), method: 'POST' }] },
          { name: 'all', matches: [{}] },
        ],
      }
      assert.equal(ask(hosts, { path: '/api/x', method: 'POST' }), 'post')
      assert.equal(ask(hosts, { path: '/api/x' }), 'all')
    })
    it('finds a prefix of many segments, and is not impressed by a path of more', () => {
      const deep = '/s'.repeat(200)
      assert.equal(ask(one({ path: prefix(deep) }), { path: `${deep}/x` }), 'hit')
      assert.equal(ask(one({ path: prefix(deep) }), { path: '/s'.repeat(199) }), 'RouteNotFound')
      assert.equal(ask(one({ path: prefix('/s/s') }), { path: '/s'.repeat(8000) }), 'hit')
    })
  })

  describe(`${name}: conditions`, () => {
    it('matches GET also for HEAD, and methods by case', () => {
      assert.equal(ask(one({ method: 'GET' }), { method: 'HEAD' }), 'hit')
      assert.equal(ask(one({ method: 'HEAD' }), { method: 'GET' }), 'RouteNotFound')
      assert.equal(ask(one({ method: 'GET' }), { method: 'get' }), 'RouteNotFound')
      assert.equal(ask(one({ method: 'PURGE' }), { method: 'PURGE' }), 'hit')
      assert.equal(ask(one({ method: 'PURGE' }), { method: 'PURGES' }), 'RouteNotFound')
    })
    it('matches a CORS preflight by the method it asks for', () => {
      const asking = (method: string) => ({
        method: 'OPTIONS',
        headers: [
          ['origin', 'https://x.example'],
          ['access-control-request-method', method],
        ] as const,
      })
      assert.equal(ask(one({ method: 'PUT' }), asking('PUT')), 'hit')
      assert.equal(ask(one({ method: 'PUT' }), asking('POST')), 'RouteNotFound')
      assert.equal(ask(one({ method: 'OPTIONS' }), { method: 'OPTIONS' }), 'hit')
      assert.equal(
        ask(one({ method: 'PUT' }), { ...asking('PUT'), headers: asking('PUT').headers.slice(1) }),
        'RouteNotFound',
      )
    })
    it('compares headers exactly, all lines of a name as one', () => {
      const match = { headers: [is('x-env', 'prod')] }
      assert.equal(ask(one(match), { headers: [['x-env', 'prod']] }), 'hit')
      assert.equal(ask(one(match), { headers: [['x-env', 'Prod']] }), 'RouteNotFound')
      assert.equal(
        ask(one(match), {
          headers: [
            ['x-env', 'prod'],
            ['x-env', 'test'],
          ],
        }),
        'RouteNotFound',
      )
      assert.equal(
        ask(one({ headers: [is('x-env', 'a, b')] }), {
          headers: [
            ['x-env', 'a'],
            ['x-env', 'b'],
          ],
        }),
        'hit',
      )
    })
    it('reads bytes of headers and cookies as UTF-8', () => {
      const bytes = Buffer.from('grün').toString('latin1')
      assert.equal(ask(one({ headers: [is('x-colour', 'grün')] }), { headers: [['x-colour', bytes]] }), 'hit')
      assert.equal(ask(one({ cookies: [is('colour', 'grün')] }), { headers: [['cookie', `colour=${bytes}`]] }), 'hit')
    })
    it('knows present, absent and regular expressions', () => {
      const header = (type: ValueMatch['type'], value = '') => one({ headers: [{ name: 'x', type, value }] })
      assert.equal(ask(header('Present'), { headers: [['x', '']] }), 'hit')
      assert.equal(ask(header('Present'), {}), 'RouteNotFound')
      assert.equal(ask(header('Absent'), {}), 'hit')
      assert.equal(ask(header('Absent'), { headers: [['x', '']] }), 'RouteNotFound')
      assert.equal(ask(header('RegularExpression', 'a+'), { headers: [['x', 'aaa']] }), 'hit')
      assert.equal(ask(header('RegularExpression', 'a+'), { headers: [['x', 'aab']] }), 'RouteNotFound')
    })
    it('refuses what is too long for an expression, rather than pass it on to the next rule', () => {
      const slow = '.*a.{400}b'
      const hosts = (match: Partial<Match>) => ({
        'a.example': [
          { name: 'slow', matches: [match] },
          { name: 'open', matches: [{}] },
        ],
      })
      const long = 'a'.repeat(10_000)
      assert.throws(() => ask(hosts({ path: regex(slow) }), { path: `/${long}` }), { reason: 'UriTooLong' })
      assert.throws(
        () =>
          ask(hosts({ headers: [{ name: 'x', type: 'RegularExpression', value: slow }] }), { headers: [['x', long]] }),
        { reason: 'HeadTooLarge' },
      )
      assert.equal(ask(hosts({ path: regex(slow) }), { path: '/short' }), 'open')
    })
    it('compares the first query parameter of a name after decoding', () => {
      const match = { queryParams: [is('q', 'a b')] }
      assert.equal(ask(one(match), { query: 'q=a+b' }), 'hit')
      assert.equal(ask(one(match), { query: 'x=1&%71=a%20b' }), 'hit')
      assert.equal(ask(one(match), { query: 'q=other&q=a+b' }), 'RouteNotFound')
      assert.equal(ask(one(match), {}), 'RouteNotFound')
    })
    it('compares cookies, also when they come in several lines', () => {
      const match = { cookies: [is('canary', 'always')] }
      assert.equal(ask(one(match), { headers: [['cookie', 'a=1; canary=always']] }), 'hit')
      assert.equal(
        ask(one(match), {
          headers: [
            ['cookie', 'a=1'],
            ['cookie', 'canary=always'],
          ],
        }),
        'hit',
      )
      assert.equal(ask(one(match), { headers: [['cookie', 'xcanary=always']] }), 'RouteNotFound')
    })
    it('lets any one of the source prefixes hold the client', () => {
      const match = { sourceCIDRs: ['10.0.0.0/8', '2001:db8::/32'] }
      assert.equal(ask(one(match), { clientAddress: '10.9.9.9' }), 'hit')
      assert.equal(ask(one(match), { clientAddress: '2001:db8::7' }), 'hit')
      assert.equal(ask(one(match), { clientAddress: '11.0.0.1' }), 'RouteNotFound')
      assert.equal(ask(one({ sourceCIDRs: ['::/0'] }), { clientAddress: '11.0.0.1' }), 'RouteNotFound')
    })
    it('serves on the frontends of the match only', () => {
      assert.equal(ask(one({ frontends: frontends(1) }), { frontend: 'l1' }), 'hit')
      assert.equal(ask(one({ frontends: frontends(1) }), { frontend: 'l0' }), 'RouteNotFound')
      assert.equal(ask(one({ frontends: frontends(1) }), { frontend: 'unknown' }), 'RouteNotFound')
      assert.equal(ask(one({ frontends: frontends(31) }), { frontend: 'l31' }), 'hit')
      assert.equal(ask(one({ frontends: frontends(39) }), { frontend: 'l39' }), 'hit')
      assert.equal(ask(one({}), { frontend: 'unknown' }), 'hit')
    })
    it('prefers what says more: method, then headers, then query parameters, cookies, addresses', () => {
      const hosts = {
        'a.example': [
          { name: 'none', matches: [{}] },
          { name: 'address', matches: [{ sourceCIDRs: ['192.0.2.0/24'] }] },
          { name: 'cookie', matches: [{ cookies: [is('c', '1')] }] },
          { name: 'query', matches: [{ queryParams: [is('q', '1')] }] },
          { name: 'header', matches: [{ headers: [is('h', '1')] }] },
          { name: 'headers', matches: [{ headers: [is('h', '1'), is('i', '1')] }] },
          { name: 'method', matches: [{ method: 'PUT' }] },
        ],
      }
      const full: RequestSpec = {
        method: 'PUT',
        query: 'q=1',
        headers: [
          ['h', '1'],
          ['i', '1'],
          ['cookie', 'c=1'],
        ],
      }
      assert.equal(ask(hosts, full), 'method')
      assert.equal(ask(hosts, { ...full, method: 'GET' }), 'headers')
      assert.equal(
        ask(hosts, {
          query: 'q=1',
          headers: [
            ['h', '1'],
            ['cookie', 'c=1'],
          ],
        }),
        'header',
      )
      assert.equal(ask(hosts, { query: 'q=1', headers: [['cookie', 'c=1']] }), 'query')
      assert.equal(ask(hosts, { headers: [['cookie', 'c=1']] }), 'cookie')
      assert.equal(ask(hosts, {}), 'address')
      assert.equal(ask(hosts, { clientAddress: '203.0.113.1' }), 'none')
    })
  })
}
