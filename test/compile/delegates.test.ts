/**
 * Names under a wildcard that another namespace owns, from Routes to packed tables: api.md, "Which rule wins". The most
 * specific hostname comes first, whatever the paths; what the delegate's rules leave goes to the owner's wildcard.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { Route } from '../../src/api/route.ts'
import type { Compiled } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { ServedResource } from '../../src/compile/resource-set.ts'
import { coveringWildcards } from '../../src/pattern/host.ts'
import { matchLinear } from '../../src/routing/linear.ts'
import { match } from '../../src/routing/match.ts'
import { FrozenMap } from '../../src/snapshot/frozen-map.ts'
import { matchesUnder } from '../../src/snapshot/host.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import { seededRandom } from '../fuzz/router.ts'
import { request } from '../suite/router.ts'
import { compiled, listing, prefix, route, world } from './world.ts'

const FRONTENDS = ['f0', 'f1', 'f2']
const PATHS = ['/', '/a', '/a/b', '/b']
const NAMES = ['*.example', '*.x.example', 'x.example', 'a.x.example', 'y.example']
const ASKED = ['x.example', 'y.example', 'a.x.example', 'b.x.example', 'z.example', 'example']
const EVERYBODY = [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/'] }]

const settings = { listeners: FRONTENDS.map((name, i) => ({ name, port: 8080 + i })) }
const exact = (value: string) => ({ path: { type: 'Exact' as const, value } })

const matchSpec = fc.record(
  {
    path: fc.record({
      type: fc.constantFrom('PathPrefix' as const, 'Exact' as const),
      value: fc.constantFrom(...PATHS),
    }),
    method: fc.constantFrom('GET', 'POST'),
  },
  { requiredKeys: ['path'] },
)
const routeSpec = fc.record(
  {
    // The owner of *.example is `a`; what it names itself, it takes back from its delegates.
    namespace: fc.constantFrom('a', 'b', 'b', 'c'),
    hostnames: fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 2 }),
    listeners: fc.subarray(FRONTENDS, { minLength: 1 }),
    matches: fc.array(matchSpec, { minLength: 1, maxLength: 3 }),
  },
  { requiredKeys: ['namespace', 'hostnames', 'matches'] },
)
type RouteSpec = typeof routeSpec extends fc.Arbitrary<infer T> ? T : never

/** Each Route is younger than those before it, and the first one owns `*.example`. */
function routesOf(specs: readonly RouteSpec[]): ServedResource<Route>[] {
  const owner: RouteSpec = { namespace: 'a', hostnames: ['*.example'], matches: [] }
  return [owner, ...specs].map(({ namespace, matches, ...spec }, i) =>
    route(
      `${namespace}/r${i}`,
      { ...spec, delegates: EVERYBODY, rules: matches.length === 0 ? {} : { main: { matches } } },
      { created: i + 1 },
    ),
  )
}

/** What api.md says, read off the Routes. */
function wanted(specs: readonly RouteSpec[], frontend: string, host: string, method: string, path: string): string {
  const names = [host, ...coveringWildcards(host)]
  const known = names.filter((name) => name === '*.example' || specs.some(({ hostnames }) => hostnames.includes(name)))
  if (known.length === 0) return 'HostNotFound'
  for (const name of known) {
    const naming = specs.flatMap((spec, i) => (spec.hostnames.includes(name) ? [{ ...spec, key: `r${i + 1}` }] : []))
    const matches = naming
      .filter(({ listeners }) => listeners === undefined || listeners.includes(frontend))
      .flatMap(({ namespace, key, matches }) => matches.map((one) => ({ ...one, rule: `${namespace}/${key}/main` })))
      .filter((one) => one.method === undefined || one.method === method)
      .filter(({ path: { type, value } }) => path === value || (type === 'PathPrefix' && isBelow(path, value)))
    // Sorting is stable, and older Routes come first.
    matches.sort(
      (a, b) =>
        Number(b.path.type === 'Exact') - Number(a.path.type === 'Exact') ||
        b.path.value.length - a.path.value.length ||
        Number(b.method !== undefined) - Number(a.method !== undefined),
    )
    if (matches[0] !== undefined) return matches[0].rule
    if (naming.some(({ namespace }) => namespace === 'a')) break
  }
  return 'RouteNotFound'
}

function isBelow(path: string, value: string): boolean {
  return value === '/' || path.startsWith(`${value}/`)
}

/** The first of the listing of the most specific hostname that holds: how a person reads `headgate routes`. */
function listed({ snapshot }: Compiled, frontend: string, host: string, method: string, path: string): string {
  const name = [host, ...coveringWildcards(host)].find((one) => snapshot.hosts.has(one))
  if (name === undefined) return 'HostNotFound'
  const found = matchesUnder(snapshot.hosts, snapshot.hosts.get(name)!).find(
    (one) =>
      (one.frontends === undefined || one.frontends.names.includes(frontend)) &&
      (one.method === undefined || one.method === method) &&
      (path === one.path.value || (one.path.type === 'PathPrefix' && isBelow(path, one.path.value))),
  )
  return found === undefined ? 'RouteNotFound' : `${found.rule.route}/${found.rule.rule}`
}

suite('names under the wildcard of another namespace', () => {
  test('serve the delegate’s rules first, although the wildcard has a more specific path', () => {
    const routes = [
      route(
        'a/wild',
        { hostnames: ['*.example'], delegates: EVERYBODY, rules: { x: { matches: [exact('/x')] }, rest: {} } },
        { created: 1 },
      ),
      route('b/team', { hostnames: ['x.example'], rules: { t: { matches: [prefix('/x')] } } }, { created: 2 }),
    ]
    const result = compiled(world({ settings, routes }))
    const tables = new RouteTables(new Packer(seededRandom()).pack(result.snapshot).tables)
    const ask = (host: string, path: string) => {
      const found = match(tables, request({ host, path, frontend: 'f0' }))
      return typeof found === 'string' ? found : found.rule.key
    }
    assert.equal(ask('x.example', '/x'), 'b/team/t')
    assert.equal(ask('x.example', '/y'), 'a/wild/rest')
    assert.equal(ask('y.example', '/x'), 'a/wild/x')
    assert.deepEqual(listing(result, 'x.example'), [
      'b/team t: PathPrefix /x',
      'a/wild x: Exact /x',
      'a/wild rest: PathPrefix /',
    ])
  })

  test('hold no copy of what the wildcard serves, however many names and rules there are', () => {
    const rules = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`r${i}`, { matches: [prefix(`/${i}`)] }]))
    const names = Array.from({ length: 40 }, (_, i) => `n${i}.example`)
    const wild = (more: object) =>
      route('a/wild', { hostnames: ['*.example'], delegates: EVERYBODY, rules: { ...rules, ...more } }, { created: 1 })
    const team = route('b/team', { hostnames: names, rules: { mine: { matches: [prefix('/mine')] } } }, { created: 2 })
    const memo = new CompileState()
    const before = compiled(world({ settings, routes: [wild({}), team] }), memo)
    for (const name of names) assert.equal(before.snapshot.hosts.get(name)!.matches.length, 1)
    const after = compiled(world({ settings, routes: [wild({ more: {} }), team] }), memo)
    for (const name of names) assert.equal(after.snapshot.hosts.get(name), before.snapshot.hosts.get(name))
    assert.equal(listing(after, 'n0.example')!.length, 52)
  })

  test('are served alike by Routes, listing, slow matcher and packed matcher, over a history', () => {
    const history = fc.array(fc.array(routeSpec, { maxLength: 6 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(history, (generations) => {
        const memo = new CompileState()
        const packer = new Packer(seededRandom())
        let tables: RouteTables | undefined
        for (const specs of generations) {
          const routes = FrozenMap.from(routesOf(specs).map((one) => [one.key, one] as const))
          const result = compiled({ ...world({ settings }), routes }, memo)
          tables = new RouteTables(packer.pack(result.snapshot).tables, tables)
          for (const frontend of [...FRONTENDS, 'unknown'])
            for (const host of ASKED)
              for (const path of PATHS)
                for (const method of ['GET', 'POST']) {
                  const right = wanted(specs, frontend, host, method, path)
                  const asked = request({ host, path, method, frontend })
                  const slow = matchLinear(result.snapshot, asked)
                  const packed = match(tables, asked)
                  const what = `${method} ${host}${path} on ${frontend}`
                  assert.equal(typeof slow === 'string' ? slow : `${slow.rule.route}/${slow.rule.rule}`, right, what)
                  assert.equal(typeof packed === 'string' ? packed : packed.rule.key, right, what)
                  assert.equal(listed(result, frontend, host, method, path), right, what)
                }
        }
      }),
      { numRuns: 60 },
    )
  })
})
