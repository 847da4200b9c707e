/** What each frontend serves, from settings and Routes to packed tables, over changes of both. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { objectCost } from '../../src/api/cost.ts'
import type { Route } from '../../src/api/route.ts'
import type { Compiled } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { memoryCost } from '../../src/compile/memory-cost.ts'
import type { ServedResource } from '../../src/compile/resource-set.ts'
import { matchLinear } from '../../src/routing/linear.ts'
import { match } from '../../src/routing/match.ts'
import type { RouteRequest } from '../../src/routing/request.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { FrozenMap } from '../../src/snapshot/frozen-map.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import { seededRandom } from '../fuzz/router.ts'
import { request } from '../suite/router.ts'
import { compiled, conditionsOf, messageOf, prefix, route, world } from './world.ts'

const NAMES = ['f0', 'f1', 'f2', 'f3', 'f4']
const HOSTNAMES = ['x.example', '*.example', 'a.x.example', '*.x.example']
const PATHS = ['/', '/a', '/a/b', '/b']
const ASKED = ['x.example', 'y.example', 'a.x.example', 'b.x.example', 'other.test']

const matchSpec = fc.record(
  {
    path: fc.oneof(
      fc.record({ type: fc.constantFrom('PathPrefix' as const, 'Exact' as const), value: fc.constantFrom(...PATHS) }),
      fc.record({ type: fc.constant('RegularExpression' as const), value: fc.constantFrom('/a.*', '/.*b', '/a/[b]') }),
    ),
    method: fc.constantFrom('GET', 'POST'),
    headers: fc.constant([{ name: 'x-any', type: 'Present' as const }]),
  },
  { requiredKeys: ['path'] },
)
const routeSpec = fc.record(
  {
    hostnames: fc.uniqueArray(fc.constantFrom(...HOSTNAMES), { minLength: 1, maxLength: 3 }),
    listeners: fc.subarray([...NAMES, 'never'], { minLength: 1 }),
    rules: fc.dictionary(
      fc.constantFrom('one', 'two', 'three'),
      fc.record({ matches: fc.array(matchSpec, { minLength: 1, maxLength: 2 }) }),
      { minKeys: 1, maxKeys: 3 },
    ),
  },
  { requiredKeys: ['hostnames', 'rules'] },
)
const delegates = [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/'] }]
const anyRoute: fc.Arbitrary<ServedResource<Route>> = fc
  .tuple(fc.constantFrom('a', 'b'), fc.nat(3), routeSpec, fc.nat(5))
  .map(([namespace, number, spec, created]) =>
    route(`${namespace}/r${number}`, { ...spec, ...(namespace === 'a' && { delegates }) }, { created: created + 1 }),
  )
const change = fc.oneof(
  { weight: 3, arbitrary: anyRoute.map((one) => ({ set: one })) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom('a', 'b'), fc.nat(3)).map((key) => ({ remove: key.join('/r') })) },
  {
    weight: 1,
    arbitrary: fc.shuffledSubarray(NAMES, { minLength: 1 }).map((names) => ({ frontends: names })),
  },
)
const asked = fc.record({
  host: fc.constantFrom(...ASKED),
  path: fc.constantFrom(...PATHS, '/a/c', '/c/b'),
  method: fc.constantFrom('GET', 'POST'),
  headers: fc.constantFrom([], [['x-any', '1'] as const]),
})

type Generation = ReturnType<typeof generation>

/** A worker's tables after one more generation. */
function generation(packer: Packer, { snapshot }: Compiled, before: RouteTables | undefined) {
  const tables = new RouteTables(packer.pack(snapshot).tables, before)
  return { snapshot, tables }
}

const settingsOf = (names: readonly string[]) => ({
  listeners: names.map((name, i) => ({ name, port: 8000 + i })),
})

/**
 * Only this frontend exists: what is kept to others owns its hostnames, and has no rules.
 *
 * @param known those of the settings; a Route that names none of them owns nothing
 */
function aloneWith(name: string, known: readonly string[], routes: Iterable<ServedResource<Route>>): Generation {
  const served = [...routes].filter(
    ({ object: { spec } }) =>
      spec.listeners === undefined || spec.listeners.some((listener) => known.includes(listener)),
  )
  const alone = served.map((one): ServedResource<Route> => {
    const { listeners, ...spec } = one.object.spec
    const rules = listeners === undefined || listeners.includes(name) ? spec.rules : []
    return { ...one, object: { ...one.object, spec: { ...spec, rules } } }
  })
  const result = compiled(world({ settings: settingsOf([name]), routes: alone }))
  return generation(new Packer(seededRandom()), result, undefined)
}

/** Name of the rule that has the request; undefined when none has. */
function packedRule({ tables }: Generation, asked: RouteRequest): string | undefined {
  const found = match(tables, asked)
  return typeof found === 'string' ? undefined : found.rule.key
}

function linearRule({ snapshot }: Generation, asked: RouteRequest): string | undefined {
  const found = matchLinear(snapshot, asked)
  return typeof found === 'string' ? undefined : `${found.rule.route}/${found.rule.rule}`
}

suite('a frontend', () => {
  test('serves what it would serve if it were the only one, over all changes, also in generations that stay in use', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
        fc.array(asked, { minLength: 1, maxLength: 8 }),
        (generations, requests) => {
          const memo = new CompileState()
          const packer = new Packer(seededRandom())
          const routes = new Map<string, ServedResource<Route>>()
          const handles = [...NAMES, 'unknown'].map((name) => new FrontendHandle(name))
          let names: readonly string[] = NAMES.slice(0, 3)
          let before: (Generation & { readonly answers: ReadonlyMap<RouteRequest, string | undefined> }) | undefined
          for (const changes of generations) {
            for (const one of changes) {
              if ('set' in one) routes.set(one.set.key, one.set)
              else if ('remove' in one) routes.delete(one.remove)
              else names = one.frontends
            }
            const resources = world({ settings: settingsOf(names), routes: [...routes.values()] })
            const now = generation(packer, compiled(resources, memo), before?.tables)
            const answers = new Map<RouteRequest, string | undefined>()
            for (const frontend of handles) {
              // One that the settings do not have serves what names no listeners.
              const only = aloneWith(names.includes(frontend.name) ? frontend.name : 'unknown', names, routes.values())
              for (const spec of requests) {
                const one = { ...request(spec), frontend }
                const alone = { ...one, frontend: new FrontendHandle('alone') }
                answers.set(one, packedRule(now, one))
                assert.equal(answers.get(one), packedRule(only, alone), `packed, on ${frontend.name}`)
                assert.equal(linearRule(now, one), linearRule(only, alone), `one by one, on ${frontend.name}`)
              }
            }
            // Exchanges that began before keep their tables, with the same connections.
            for (const [one, answer] of before?.answers ?? []) assert.equal(packedRule(before!, one), answer)
            before = { ...now, answers }
          }
        },
      ),
      { numRuns: 120 },
    )
  })

  const many = Array.from({ length: 200 }, (_, i) => `f${i}`)
  const shared = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      route(`n/h${i}`, {
        hostnames: [`h${i}.example`],
        rules: { one: { matches: Array.from({ length: 10 }, (_, j) => prefix(`/p${j}`)) } },
      }),
    )
  const ownOf = (i: number, path = '/own') =>
    route(`n/own${i}`, {
      hostnames: ['h0.example', 'own.example'],
      listeners: [many[i]!],
      rules: { one: { matches: [prefix(path)] } },
    })
  const own = many.map((_, i) => ownOf(i))
  const bytesOf = (result: Compiled): number => {
    const packer = new Packer(seededRandom())
    const { tables } = packer.pack(result.snapshot)
    return packer.bytes + tables.root.byteLength + tables.frontends.byteLength
  }

  test('takes no memory for what all serve: 200 of them with 2,000 hosts are hardly more than one', (t) => {
    const routes = shared(2000)
    const one = bytesOf(compiled(world({ settings: settingsOf(['f0']), routes })))
    const all = bytesOf(compiled(world({ settings: settingsOf(many), routes })))
    const divided = bytesOf(compiled(world({ settings: settingsOf(many), routes: [...routes, ...own] })))
    t.diagnostic(`${one} bytes with one, ${all} with 200, ${divided} with a Route for each on two of the hosts`)
    assert.ok(all - one < 200 * 64, `${all - one} bytes more`)
    assert.ok(divided - all < 600 * 1024, `${divided - all} bytes more`)
  })

  test('costs what its Routes are said to cost, where every listener of a list has something of its own', (t) => {
    const large = (listeners?: string[]) =>
      route('n/large', {
        hostnames: ['h0.example'],
        ...(listeners && { listeners }),
        rules: { one: { matches: Array.from({ length: 400 }, (_, j) => prefix(`/large/${j}`)) } },
      })
    const names = many.slice(0, 64)
    const alone = names.map((_, i) => ownOf(i))
    const bytes = (one: ServedResource<Route>[]) =>
      bytesOf(compiled(world({ settings: settingsOf(names), routes: [...alone, ...one] })))
    const [nothing, everywhere, listed] = [bytes([]), bytes([large()]), bytes([large(names)])]
    const units = (one: ServedResource<Route>) => objectCost('Route', one.object).units
    t.diagnostic(`${everywhere - nothing} bytes on all, ${listed - nothing} on each of 64 that differ`)
    // A unit is about 16 bytes. What is on all listeners is stored once, whatever others do.
    assert.ok(everywhere - nothing < units(large()) * 16 * 3)
    assert.ok(listed - nothing < units(large(names)) * 16 * 3)
    const estimate = memoryCost('Route', large(names).object) - memoryCost('Route', large(names.slice(0, 1)).object)
    assert.ok(estimate > (listed - nothing) * 0.8 && estimate < (listed - nothing) * 3, `${estimate} estimated`)
  })

  test('is packed by itself: a change of one leaves what the others serve where it is', () => {
    const memo = new CompileState()
    const packer = new Packer(seededRandom())
    const settings = settingsOf(many)
    const placesOf = (result: Compiled): Set<string> => {
      const tables = new RouteTables(packer.pack(result.snapshot).tables)
      return new Set(Array.from(tables.virtualHosts(), ({ block, at }) => `${block.id}:${at}`))
    }
    const routes = shared(50)
    const before = placesOf(compiled(world({ settings, routes: [...routes, ...own] }), memo))
    assert.equal(before.size, 50 + 1 + 2 * 200)
    const changed = [...routes, ...own.with(7, ownOf(7, '/new'))]
    const edited = placesOf(compiled(world({ settings, routes: changed }), memo))
    assert.equal(edited.difference(before).size, 2, 'one frontend, on two hosts')
    const more = [
      ...changed,
      route('n/late', { hostnames: ['h0.example'], rules: { one: { matches: [prefix('/z')] } } }),
    ]
    const common = placesOf(compiled(world({ settings, routes: more }), memo))
    assert.equal(common.difference(edited).size, 1, 'what all have in common on one host')
  })

  test('that comes, goes or has another place in the settings costs the Routes that name listeners, and no host', () => {
    const memo = new CompileState()
    const routes = [...shared(300), ...own.slice(0, 5)]
    const all = FrozenMap.from(routes.map((one) => [one.key, one] as const))
    const at = (names: readonly string[]) => compiled({ ...world({ settings: settingsOf(names) }), routes: all }, memo)
    const first = at(many.slice(0, 5))
    const { routes: planned, hosts } = memo.counts
    const again = at(many.slice(0, 5).reverse())
    assert.equal(again.snapshot, first.snapshot, 'the order decides nothing')
    const grown = at(many.slice(0, 6))
    assert.equal(grown.snapshot.hosts, first.snapshot.hosts)
    assert.deepEqual([...grown.snapshot.frontends.keys()], many.slice(0, 6))
    assert.equal(memo.counts.routes - planned, 5)
    const lost = at(many.slice(1, 6))
    assert.equal(lost.snapshot.hosts.get('h9.example'), first.snapshot.hosts.get('h9.example'))
    assert.ok(memo.counts.hosts - hosts <= 3 * 2, `${memo.counts.hosts - hosts} hosts`)
    assert.equal(conditionsOf(lost, 'n/own0').Accepted, 'False/NoListener')
  })
})

suite('a listener that cannot be opened', () => {
  test('is reported in the Routes that name it while it lasts', () => {
    const memo = new CompileState()
    const routes = [
      route('a/kept', { hostnames: ['kept.example'], listeners: ['https'] }),
      route('a/both', { hostnames: ['both.example'], listeners: ['http', 'https'] }),
      route('a/other', { hostnames: ['other.example'], listeners: ['http'] }),
      route('a/every', {}),
    ]
    const open = world({ routes })
    const programmed = (result: Compiled) => routes.map(({ key }) => conditionsOf(result, key).Programmed)
    const pending = 'False/Pending'
    assert.deepEqual(programmed(compiled(open, memo)), [pending, pending, pending, pending])
    const { routes: planned } = memo.counts
    const why = 'listener https: 127.0.0.1:8443 is already in use; it is not open, and is tried again'
    const closed = compiled({ ...open, unopenedListeners: FrozenMap.from([['https', why]]) }, memo)
    const told = 'False/ListenerNotOpen'
    assert.deepEqual(programmed(closed), [told, told, pending, pending])
    assert.equal(messageOf(closed, 'a/kept', 'Programmed'), `${why}.`)
    assert.equal(conditionsOf(closed, 'a/kept').Ready, told)
    assert.equal(conditionsOf(closed, 'a/kept').Accepted, 'True/Accepted')
    assert.equal(memo.counts.routes, planned, 'nothing is compiled again')
    assert.deepEqual(programmed(compiled(open, memo)), [pending, pending, pending, pending])
  })
})
