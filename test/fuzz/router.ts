/**
 * Fuzzer of packing and matching: `node test/fuzz/router.ts [seconds]`. A history is a row of snapshots that share
 * objects as compile's do; after each one a worker's view of the packed tables must answer like the slow matcher. The
 * seeds of what it finds go into router.seeds.json, which router.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import type { PolicySet } from '../../src/policy/policy-set.ts'
import { explainMatch } from '../../src/routing/explain-match.ts'
import { matchLinear } from '../../src/routing/linear.ts'
import { type ListedMatch, listMatches } from '../../src/routing/listing.ts'
import { match } from '../../src/routing/match.ts'
import type { RouteRequest } from '../../src/routing/request.ts'
import { frontendSet } from '../../src/snapshot/frontend.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { FrozenMap } from '../../src/snapshot/frozen-map.ts'
import { hostOf } from '../../src/snapshot/host.ts'
import { compareMatches, type OrderedMatch } from '../../src/snapshot/order.ts'
import { Packer, type PackResult } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import {
  type BackendConfig,
  type Host,
  layersOn,
  type Match,
  type Rule,
  type Snapshot,
} from '../../src/snapshot/snapshot.ts'
import { ANY, backend, policy, type RequestSpec, request } from '../suite/router.ts'

const HOSTS = ['a.x', 'b.x', 'a.b.x', '*.x', '*.b.x', '*.a.b.x', '*', 'x', '[::1]']
const ASKED = [...HOSTS.filter((host) => !host.startsWith('*')), 'c.x', 'c.b.x', 'c.a.b.x', 'c.c.c.x', 'y', '']
const PATHS = ['/', '/a', '/a/', '/a/b', '/ab', '/a/b/c', '/b', '/b/a', '/A', '/a/b/c/d/e', '/%2F', '/a.b']
const PREFIXES = ['/', '/a', '/a/b', '/a/b/c', '/b', '/ab', '/a/b/c/d']
const REGEXES = [
  '/a.*',
  '/a/[ab]',
  '/a/b(/.*)?',
  '/a|/b',
  '.*b',
  '/a/b?/c',
  '(?i)/a',
  '/a\\.b',
  '^/a/b$',
  '/a/b/c*',
  '/(a|b)/.*',
  '/a/+b',
  '/a/b{1,2}',
  '[/]a',
  '/a/\\w',
  '/a/*b',
  '/a/b|/b/a',
  '/a/b/?',
]
const METHODS = ['GET', 'HEAD', 'POST', 'OPTIONS', 'PURGE']
const CIDRS = ['10.0.0.0/8', '192.0.2.1', '::/0', '0.0.0.0/0', '2001:db8::/32']
const FRONTENDS = ['l0', 'l1', 'l2', 'l3']
const ADDRESSES = ['192.0.2.1', '10.1.1.1', '2001:db8::1', '::1']

const valueMatch = fc.record({
  name: fc.constantFrom('p', 'q'),
  type: fc.constantFrom('Exact' as const, 'RegularExpression' as const, 'Present' as const, 'Absent' as const),
  value: fc.constantFrom('1', '2', 'a b', '', 'ü'),
})
const few = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant<T[]>([]) }, { weight: 1, arbitrary: fc.array(one, { maxLength: 2 }) })
const matchSpec: fc.Arbitrary<Match> = fc
  .record({
    path: fc.oneof(
      fc.record({ type: fc.constant('Exact' as const), value: fc.constantFrom(...PATHS) }),
      fc.record({ type: fc.constant('PathPrefix' as const), value: fc.constantFrom(...PREFIXES) }),
      fc.record({ type: fc.constant('RegularExpression' as const), value: fc.constantFrom(...REGEXES) }),
    ),
    method: fc.option(fc.constantFrom(...METHODS), { nil: undefined, freq: 3 }),
    headers: few(valueMatch),
    queryParams: few(valueMatch),
    cookies: few(valueMatch),
    sourceCIDRs: few(fc.constantFrom(...CIDRS)),
    frontends: fc.option(fc.subarray(FRONTENDS, { minLength: 1 }).map(frontendSet), { nil: undefined, freq: 2 }),
    within: few(fc.constantFrom(...PREFIXES)),
  })
  .map(({ method, ...rest }) => ({ ...ANY, ...rest, ...(method === undefined ? {} : { method }) }))

const BACKENDS = ['ns/b1', 'ns/b2', 'ns/b3', 'service:ns/s:80']
const ruleSpec = fc.record({
  matches: fc.array(matchSpec, { minLength: 1, maxLength: 3 }),
  policy: fc.constantFrom('p1', 'p2', 'p3', 'p4'),
  backends: fc.array(fc.option(fc.constantFrom(...BACKENDS), { nil: undefined }), { maxLength: 2 }),
  closed: fc.boolean(),
})

const hostSpec = fc.record({
  /** Whether frontends that no match names have the hostname, too. */
  common: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  /** It is a delegate's, who adds to a wildcard. */
  extendsWildcard: fc.boolean(),
  rules: fc.array(ruleSpec, { maxLength: 6 }),
})
const requestSpec: fc.Arbitrary<RequestSpec> = fc
  .record({
    method: fc.constantFrom(...METHODS),
    host: fc.constantFrom(...ASKED),
    path: fc.constantFrom(...PATHS, '/a/b/c/d/e/f/g/h', '/zzz'),
    query: fc.constantFrom(undefined, '', 'p=1', 'p=2&q=1', 'q=a+b', 'p=%C3%BC'),
    frontend: fc.constantFrom(...FRONTENDS, 'unknown'),
    headers: few(
      fc.constantFrom(
        ['p', '1'] as const,
        ['q', 'a b'] as const,
        ['cookie', 'p=1; q=2'] as const,
        ['origin', 'x'] as const,
        ['access-control-request-method', 'GET'] as const,
      ),
    ),
    clientAddress: fc.constantFrom(...ADDRESSES),
  })
  .map(({ query, ...rest }) => ({ ...rest, ...(query === undefined ? {} : { query }) }))

/** One generation: which hosts are set to what or removed, how it is packed, and what is asked afterwards. */
const step = fc.record({
  /** Everything is first put back as it was in the last generation that was finished. */
  undo: fc.boolean(),
  set: fc.array(fc.tuple(fc.constantFrom(...HOSTS), hostSpec), { maxLength: 4 }),
  remove: fc.array(fc.constantFrom(...HOSTS), { maxLength: 2 }),
  /** Backends that get other options. */
  touch: fc.array(fc.constantFrom(...BACKENDS), { maxLength: 1 }),
  /** Steps after which a pack is given up; undefined = it is finished. */
  giveUp: fc.option(fc.nat(6), { nil: undefined, freq: 4 }),
  requests: fc.array(requestSpec, { minLength: 1, maxLength: 12 }),
  /** Of the settings: another order, or other names, in each generation. */
  frontends: fc.shuffledSubarray(FRONTENDS, { minLength: 1 }),
})
export const history = fc.record({ frozen: fc.boolean(), steps: fc.array(step, { minLength: 1, maxLength: 5 }) })
type History = typeof history extends fc.Arbitrary<infer T> ? T : never

type HostSpec = typeof hostSpec extends fc.Arbitrary<infer T> ? T : never

function toHost(hostname: string, { rules, ...options }: HostSpec): Host {
  const ordered: (OrderedMatch & { readonly match: Match })[] = []
  rules.forEach((spec, ruleOrder) => {
    const route = `ns/r${ruleOrder % 2}`
    const created = ruleOrder % 3 || undefined
    const rule: Rule = {
      route,
      rule: `rule${ruleOrder}`,
      policy: spec.policy,
      backends: spec.backends.map((id, i) =>
        id === undefined
          ? { weight: i, priority: 0, refuse: 'BackendNotFound' as const }
          : { backend: id, weight: i + 1, priority: i },
      ),
      ...(spec.closed ? { refuse: 'RuleClosed' as const } : {}),
    }
    spec.matches.forEach((match, matchOrder) => {
      const order = { created, rule: ruleOrder, match: matchOrder }
      ordered.push({ match: { ...match, rule, order }, created, route, ruleOrder, matchOrder })
    })
  })
  ordered.sort(compareMatches)
  return hostOf(
    hostname,
    ordered.map(({ match }) => match),
    options,
  )
}

/** A worker's state as messages make it. */
interface Worker {
  tables: RouteTables | undefined
  policies: (PolicySet | null)[]
  backends: (BackendConfig | null)[]
}

function apply(worker: Worker, update: PackResult): Worker {
  const policies = [...worker.policies]
  const backends = [...worker.backends]
  for (const { index, policy } of update.policies) policies[index] = policy
  for (const { index, backend } of update.backends) backends[index] = backend
  const tables = new RouteTables(update.tables, worker.tables)
  for (const _ of tables.prepare());
  return { tables, policies, backends }
}

function check(worker: Worker, snapshot: Snapshot, asked: RouteRequest): void {
  const wanted = matchLinear(snapshot, asked)
  const found = match(worker.tables!, asked)
  if (typeof wanted === 'string' || typeof found === 'string') {
    assert.equal(found, wanted)
    assert.equal(explainMatch(worker.tables!, asked, undefined).won, undefined)
    return
  }
  const { rule } = wanted
  const { byAddress, rule: got } = found
  // What is given again to others without matching.
  for (const clientAddress of byAddress ? [] : ADDRESSES) {
    const other = match(worker.tables!, { ...asked, clientAddress })
    assert.equal(typeof other === 'string' ? other : other.rule, got, 'the address decides, and is not said to')
  }
  assert.equal(explainMatch(worker.tables!, asked, found.rule).won?.rule.key, `${rule.route}/${rule.rule}`)
  assert.deepEqual(
    [found.rule.key, found.prefixLength, found.rule.refuse],
    [`${rule.route}/${rule.rule}`, wanted.prefixLength, rule.refuse],
  )
  assert.equal(worker.policies[found.rule.policyIndex], snapshot.policies.get(rule.policy))
  assert.equal(found.rule.backends.length, rule.backends.length)
  const identities = found.rule.backends.map(({ identity }) => identity)
  assert.equal(new Set(identities).size, identities.length)
  found.rule.backends.forEach(({ backendIndex, identity: _identity, ...rest }, i) => {
    const { backend: id, ...wantedRest } = rule.backends[i]!
    assert.deepEqual(rest, wantedRest)
    // The same object, so that a change of options arrives.
    assert.equal(
      backendIndex === -1 ? undefined : worker.backends[backendIndex],
      id === undefined ? undefined : snapshot.backends.get(id),
    )
  })
}

/** Throws when the packed tables answer otherwise than the slow matcher anywhere in the history. */
export function checkHistory({ frozen, steps }: History): void {
  const packer = new Packer(seededRandom())
  const map = <V>(entries: Iterable<readonly [string, V]>): ReadonlyMap<string, V> =>
    frozen ? FrozenMap.from(entries) : new Map(entries)
  const hosts = new Map<string, Host>()
  /** Connections stay open over all generations. */
  const handles = new Map([...FRONTENDS, 'unknown'].map((name) => [name, new FrontendHandle(name)]))
  const backends = new Map(BACKENDS.map((id) => [id, backend(id)]))
  const policies = new Map(['p1', 'p2', 'p3', 'p4'].map((digest) => [digest, policy(digest)]))
  let worker: Worker = { tables: undefined, policies: [], backends: [] }
  let previous: { worker: Worker; snapshot: Snapshot } | undefined
  for (const { undo, set, remove, touch, frontends, giveUp, requests } of steps) {
    if (undo && previous !== undefined) {
      hosts.clear()
      for (const [hostname, host] of previous.snapshot.hosts) hosts.set(hostname, host)
      for (const [id, one] of previous.snapshot.backends) backends.set(id, one)
    }
    for (const [hostname, spec] of set) hosts.set(hostname, toHost(hostname, spec))
    for (const hostname of remove) hosts.delete(hostname)
    for (const id of touch) backends.set(id, backend(id))
    const rules = [...hosts.values()].flatMap(({ matches }) => matches.map(({ rule }) => rule))
    const used = new Set(rules.flatMap((rule) => rule.backends.map((ref) => ref.backend)))
    const snapshot: Snapshot = {
      frontends: new Map(frontends.map((name) => [name, { name }])),
      hosts: map(hosts),
      policies: map([...policies].filter(([digest]) => rules.some((rule) => rule.policy === digest))),
      backends: map([...backends].filter(([id]) => used.has(id))),
    }
    const pack = packer.packSteps(snapshot)
    if (giveUp !== undefined) {
      let result: IteratorResult<void, PackResult> | undefined
      for (let i = 0; i < giveUp && result?.done !== true; i++) result = pack.next()
      if (result?.done !== true) {
        pack.return(undefined as never)
        continue
      }
      worker = apply(worker, result.value)
    } else worker = apply(worker, run(pack))
    // A fresh worker sees the same, and one that still holds the generation before sees that.
    const fresh = apply({ tables: undefined, policies: [], backends: [] }, packer.full()!)
    for (const spec of requests) {
      const asked = { ...request(spec), frontend: handles.get(spec.frontend!)! }
      check(worker, snapshot, asked)
      check(fresh, snapshot, asked)
      if (previous !== undefined) check(previous.worker, previous.snapshot, asked)
    }
    for (const frontend of handles.keys()) checkListing(worker.tables!, snapshot, frontend)
    previous = { worker, snapshot }
  }
}

function run(pack: Generator<void, PackResult>): PackResult {
  while (true) {
    const result = pack.next()
    if (result.done) return result.value
  }
}

/** The listing has every match that the frontend serves, layer by layer, each in the order in which it is tried. */
function checkListing(tables: RouteTables, snapshot: Snapshot, frontend: string): void {
  const listed = new Map<string, string[]>()
  for (const { hostname, rule, ...one } of listMatches(tables, frontend)) {
    let list = listed.get(hostname)
    if (list === undefined) listed.set(hostname, (list = []))
    list.push(matchText(rule.key, one))
  }
  for (const host of snapshot.hosts.values()) {
    const matches = layersOn(host, frontend).flatMap((layer) => layer.matches)
    const wanted = matches.map((one) => matchText(`${one.rule.route}/${one.rule.rule}`, one))
    assert.deepEqual(listed.get(host.hostname) ?? [], wanted)
  }
}

function matchText(
  key: string,
  { path, method, headers, queryParams, cookies, within, sourceCIDRs }: Omit<ListedMatch, 'hostname' | 'rule'>,
): string {
  return JSON.stringify([key, path, method, headers, queryParams, cookies, within, sourceCIDRs.length])
}

/** Mulberry32: the same hash seeds whenever a history is run again. */
export function seededRandom(state = 1): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let word = Math.imul(state ^ (state >>> 15), state | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return ((word ^ (word >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** Seeds of fast-check, each good for `RUNS_PER_SEED` histories. */
export const seeds: readonly number[] = JSON.parse(readFileSync(new URL('router.seeds.json', import.meta.url), 'utf8'))
export const RUNS_PER_SEED = 150

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(history, checkHistory), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
  })
}
