import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { Route } from '../../src/api/route.ts'
import { type Compiled, compile } from '../../src/compile/compile.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { HostnameReservation, ResourceSet, ServedResource } from '../../src/compile/resource-set.ts'
import { FrozenMap } from '../../src/snapshot/frozen-map.ts'
import { backend, compiled, namespace, prefix, route, service, slice, type World, world } from './world.ts'

/** Few names, so that Routes meet: own, cover, delegate, conflict, refer to what is and what is not there. */
const NAMESPACES = ['a', 'b', 'c']
const HOSTNAMES = ['x.example', 'y.example', '*.example', 'z.x.example', '*.x.example']
const PATHS = ['/', '/a', '/a/b', '/b']

const routeKey = fc
  .tuple(fc.constantFrom(...NAMESPACES), fc.constantFrom('r1', 'r2', 'r3'))
  .map((parts) => parts.join('/'))
const backendKey = fc.tuple(fc.constantFrom(...NAMESPACES), fc.constantFrom('p', 'q')).map((parts) => parts.join('/'))
const enforced = fc.constantFrom<object>({ timeouts: { request: '1s' } }, { upgrades: [] })
const ref = fc.oneof(
  fc.record({ name: fc.constantFrom('p', 'q', 's'), namespace: fc.constantFrom(...NAMESPACES) }),
  fc.record({
    service: fc.record({ name: fc.constantFrom('p', 'q'), port: fc.constantFrom<number | string>(80, 'http', 81) }),
  }),
)
const match = fc.record(
  {
    path: fc.oneof(
      fc.record({ type: fc.constantFrom('PathPrefix' as const, 'Exact' as const), value: fc.constantFrom(...PATHS) }),
      fc.constant({ type: 'RegularExpression' as const, value: '/a.*' }),
    ),
    method: fc.constantFrom('GET', 'POST'),
    headers: fc.constant([{ name: 'x', type: 'Present' as const }]),
  },
  { requiredKeys: ['path'] },
)
const rule = fc.record(
  {
    matches: fc.array(match, { minLength: 1, maxLength: 2 }),
    backendRefs: fc.array(
      ref.map((one) => ({ weight: 1, priority: 0, ...one })),
      { maxLength: 2 },
    ),
    policies: enforced,
  },
  { requiredKeys: ['matches'] },
)
const spec = fc.record(
  {
    hostnames: fc.uniqueArray(fc.constantFrom(...HOSTNAMES), { maxLength: 2 }),
    listeners: fc.constantFrom(['http'], ['https'], ['none'], ['http', 'none']),
    ingressClassName: fc.constantFrom('headgate', 'headgate', 'other'),
    delegates: fc.array(
      fc.record({
        namespaces: fc.oneof(
          fc.constant({ from: 'All' as const }),
          fc.constant({ from: 'Names' as const, names: ['b'] }),
          fc.constant({ from: 'Selector' as const, selector: { matchLabels: { t: '1' } } }),
        ),
        pathPrefixes: fc.uniqueArray(fc.constantFrom('/', '/a', '/b'), { minLength: 1, maxLength: 2 }),
      }),
      { maxLength: 2 },
    ),
    policies: fc.record({ enforced }, { requiredKeys: [] }),
    rules: fc.dictionary(fc.constantFrom('one', 'two', 'three'), rule, { maxKeys: 3 }),
  },
  { requiredKeys: ['rules'] },
)
const anyRoute: fc.Arbitrary<ServedResource<Route>> = fc
  .tuple(routeKey, spec, fc.option(fc.constantFrom(1, 2, 3), { nil: undefined }), fc.integer({ min: 0, max: 9 }))
  .map(([key, parts, created, luck]) => {
    const stale = { problems: [], closedRules: luck === 0 ? ('all' as const) : new Set(['one']) }
    return route(key, parts as never, { created, ...(luck < 2 ? { stale } : {}) })
  })
const anyBackend = fc
  .tuple(
    backendKey,
    fc.constantFrom<object>(
      { service: { name: 'p', port: 80 } },
      { endpoints: [{ address: 'n.example', port: 1, weight: 1 }] },
    ),
    fc.constantFrom('Same', 'All'),
  )
  .map(([key, parts, from]) => backend(key, { ...parts, allowedNamespaces: { from: from as 'Same' } }))
const anyService = fc
  .tuple(backendKey, fc.constantFrom(80, 82))
  .map(([key, port]) => service(key, [{ name: 'http', port, protocol: 'TCP' }]))
const anySlice = fc
  .tuple(backendKey, fc.constantFrom('p', 'q'), fc.constantFrom('10.0.0.1', '10.0.0.2'))
  .map(([key, of, address]) => slice(key, of, { endpoints: [{ addresses: [address] }] }))
const anyNamespace = fc
  .tuple(fc.constantFrom(...NAMESPACES), fc.constantFrom('1', '2'))
  .map(([name, t]) => namespace(name, { t }))
const anyRefused = fc
  .tuple(fc.constantFrom('Route' as const, 'Backend' as const), fc.constantFrom('a/s', 'b/s'))
  .map(([kind, key]) => ({ kind, key, problems: [] }))

const STRICT = {
  tenancy: 'Strict' as const,
  hostnames: [
    { namespaces: { from: 'Selector' as const, selector: { matchLabels: { t: '1' } } }, names: ['*.example'] },
  ],
  upstreams: {
    denyCIDRs: [],
    externalTargets: [
      { namespaces: { from: 'Selector' as const, selector: { matchLabels: { t: '1' } } }, hosts: ['10.0.0.1:8080'] },
    ],
  },
}

const anyReservation = fc
  .tuple(fc.constantFrom(...HOSTNAMES), fc.constantFrom(...NAMESPACES), fc.constantFrom(0, 2, 4), fc.boolean())
  .map(([hostname, namespace, created, ends]) => {
    const reservation = { namespace, key: `${namespace}/r`, created: created || undefined, until: ends ? 9 : undefined }
    return { key: hostname, reservation }
  })

/** One object put in, taken out, or the settings changed. */
const edit = fc.oneof(
  { weight: 6, arbitrary: fc.record({ list: fc.constant('routes' as const), value: anyRoute }) },
  { weight: 2, arbitrary: fc.record({ list: fc.constant('backends' as const), value: anyBackend }) },
  { weight: 2, arbitrary: fc.record({ list: fc.constant('services' as const), value: anyService }) },
  { weight: 1, arbitrary: fc.record({ list: fc.constant('slices' as const), value: anySlice }) },
  { weight: 1, arbitrary: fc.record({ list: fc.constant('namespaces' as const), value: anyNamespace }) },
  { weight: 1, arbitrary: fc.record({ list: fc.constant('refused' as const), value: anyRefused }) },
  { weight: 2, arbitrary: fc.record({ list: fc.constant('reservations' as const), value: anyReservation }) },
  { weight: 3, arbitrary: fc.record({ list: fc.constant('remove' as const), value: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      list: fc.constant('settings' as const),
      value: fc.constantFrom<World['settings']>(
        {},
        { policies: { defaults: { timeouts: { idle: '9s' } } } },
        { listeners: [{ name: 'none', port: 1 }] },
        { ingressClass: { name: 'headgate', default: false } },
        STRICT,
        {
          ...STRICT,
          hostnames: [{ namespaces: { from: 'Selector', selector: { matchLabels: { t: '2' } } }, names: ['*'] }],
        },
      ),
    }),
  },
)
type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never

/** The world after some edits; each object in it is the one of its edit. */
function after(edits: readonly Edit[]): World {
  const objects = new Map<string, { list: string; value: unknown }>()
  let settings: World['settings'] = {}
  for (const { list, value } of edits)
    if (list === 'settings') settings = value
    else if (list === 'remove') objects.delete([...objects.keys()][(value as number) % (objects.size || 1)] ?? '')
    else
      objects.set(
        `${list} ${(value as { key: string }).key} ${list === 'refused' ? (value as { kind: string }).kind : ''}`,
        { list, value },
      )
  const of = (list: string) => [...objects.values()].filter((one) => one.list === list).map((one) => one.value) as never
  return {
    settings: settings ?? {},
    routes: of('routes'),
    backends: of('backends'),
    services: of('services'),
    slices: of('slices'),
    namespaces: of('namespaces'),
    refused: of('refused'),
    reservations: Object.fromEntries(
      (of('reservations') as { key: string; reservation: HostnameReservation }[]).map(({ key, reservation }) => [
        key,
        reservation,
      ]),
    ),
  }
}

/** A result as plain data in an order of its own, so that two can be compared. */
function plain({ snapshot, statuses, endpoints, names, owners }: Compiled) {
  const sorted = (map: ReadonlyMap<string, unknown>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    hosts: sorted(snapshot.hosts),
    policies: sorted(snapshot.policies),
    backends: sorted(snapshot.backends),
    endpoints: sorted(endpoints),
    names: sorted(names),
    owners: sorted(owners),
    statuses: sorted(statuses),
  }
}

suite('compile', () => {
  test('takes any set of valid objects, and the order in which they came makes no difference', () => {
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 20 }), (edits) => {
        const there = after(edits)
        const reversed = Object.fromEntries(
          Object.entries(there).map(([name, list]) => [name, Array.isArray(list) ? list.toReversed() : list]),
        )
        assert.deepEqual(plain(compiled(world(reversed))), plain(compiled(world(there))))
      }),
      { numRuns: 300 },
    )
  })

  test('with a memo gives what it gives from scratch, also after runs that were given up', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(edit, fc.boolean(), fc.nat(6)), { minLength: 1, maxLength: 15 }), (steps) => {
        const memo = new CompileState()
        let resources = world({})
        steps.forEach((_, i) => {
          resources = sharing(resources, world(after(steps.slice(0, i + 1).map(([one]) => one))))
          const [, givenUp, at] = steps[i]!
          if (givenUp) giveUp(resources, memo, at)
          else assert.deepEqual(plain(compiled(resources, memo)), plain(compiled(resources)))
        })
        assert.deepEqual(plain(compiled(resources, memo)), plain(compiled(resources)))
      }),
      { numRuns: 300 },
    )
  })

  test('every backend of the snapshot has endpoints, every rule a policy set, every match a rule', () => {
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 20 }), (edits) => {
        const { snapshot, endpoints } = compiled(world(after(edits)))
        assert.deepEqual([...endpoints.keys()].sort(), [...snapshot.backends.keys()].sort())
        for (const [id, one] of snapshot.backends) assert.equal(one.id, id)
        for (const { common, own, matches } of snapshot.hosts.values()) {
          const layers = [common!, ...own]
          for (const one of layers.flatMap(({ rules }) => rules)) {
            assert.ok(snapshot.policies.has(one.policy))
            for (const target of one.backends) assert.ok(target.refuse ?? snapshot.backends.has(target.backend ?? ''))
          }
          for (const layer of layers) for (const one of layer.matches) assert.ok(layer.rules.includes(one.rule))
          for (const one of matches) assert.ok(layers.some((layer) => layer.matches.includes(one)))
        }
      }),
    )
  })

  test('what did not change is the same object, and a change costs what it touches', () => {
    const count = 5_000
    const backends = Array.from({ length: 100 }, (_, i) =>
      backend(`n/b${i}`, { endpoints: [{ address: '10.0.0.1', port: 80, weight: 1 }] }),
    )
    const one = (i: number, path: string) =>
      route(`n/r${i}`, {
        hostnames: [`h${i}.example`],
        rules: { main: { matches: [prefix(path)], backendRefs: [{ name: `b${i % 100}`, weight: 1, priority: 0 }] } },
      })
    const routes = Array.from({ length: count }, (_, i) => one(i, '/'))
    const before = world({ routes, backends })
    const memo = new CompileState()
    const first = compiled(before, memo)
    const work = { ...memo.counts }
    const builder = before.routes.edit()
    builder.set('n/r77', one(77, '/new'))
    const second = compiled({ ...before, routes: builder.freeze() }, memo)
    const done = Object.fromEntries(
      Object.entries(memo.counts).map(([name, total]) => [name, total - work[name as keyof typeof work]]),
    )
    assert.deepEqual(done, { routes: 1, hosts: 1, matches: 1, policies: 1, targets: 0, endpoints: 0, statuses: 1 })
    for (const [hostname, host] of second.snapshot.hosts)
      assert.equal(host === first.snapshot.hosts.get(hostname), hostname !== 'h77.example')
    assert.equal(second.snapshot.policies, first.snapshot.policies)
    assert.equal(second.snapshot.backends, first.snapshot.backends)
    assert.equal(second.statuses, first.statuses, 'the Route stands as before')
    assert.equal(compiled({ ...before, routes: builder.freeze() }, memo).snapshot, second.snapshot)
  })

  test('an edit of a Route with a foreign hostname does not affect thousands of others with it', () => {
    const asking = (i: number, path: string) =>
      route(`noisy/r${i}`, { hostnames: ['web.example'], rules: { main: { matches: [prefix(path)] } } }, { created: 2 })
    const owner = route('calm/web', { hostnames: ['web.example'] }, { created: 1 })
    const before = world({ routes: [owner, ...Array.from({ length: 2_000 }, (_, i) => asking(i, '/'))] })
    const memo = new CompileState()
    compiled(before, memo)
    const { statuses } = memo.counts
    const builder = before.routes.edit()
    builder.set('noisy/r7', asking(7, '/new'))
    const edited = { ...before, routes: builder.freeze() }
    compiled(edited, memo)
    assert.equal(memo.counts.statuses - statuses, 1)
    // The name is another's now, and all of them are told.
    builder.set('calm/web', route('calm/web', { hostnames: ['other.example'] }, { created: 1 }))
    const moved = compiled({ ...before, routes: builder.freeze() }, memo)
    assert.deepEqual(
      moved.statuses.get('Route noisy/r1999'),
      compiled({ ...before, routes: builder.freeze() }).statuses.get('Route noisy/r1999'),
    )
    assert.ok(memo.counts.statuses - statuses > 2_000)
  })

  test('a Backend whose options change leaves every virtual host as it is', () => {
    const rules = { main: { backendRefs: [{ name: 'p', weight: 1, priority: 0 }] } }
    const before = world({ routes: [route('a/one', { rules })], backends: [backend('a/p', { endpoints: [] })] })
    const memo = new CompileState()
    const first = compiled(before, memo)
    const slower = backend('a/p', {
      endpoints: [],
      connection: { connectTimeout: '9s', idleTimeout: '60s', maxRequestsPerConnection: 0 },
    })
    const second = compiled({ ...before, backends: FrozenMap.from([['a/p', slower]]) }, memo)
    assert.equal(second.snapshot.hosts, first.snapshot.hosts)
    assert.equal(second.snapshot.backends.get('a/p')?.connectTimeout, 9_000)
  })

  test('one that is begun ends those begun before it', () => {
    const memo = new CompileState()
    const resources = world({
      routes: Array.from({ length: 2_000 }, (_, i) => route(`a/r${i}`, { hostnames: [`h${i}.example`] })),
    })
    const first = compile(resources, memo)
    assert.equal(first.next().done, false)
    compile(resources, memo).next()
    assert.throws(() => first.next(), TypeError)
  })
})

function giveUp(resources: ResourceSet, memo: CompileState, at: number): void {
  const passes = compile(resources, memo)
  for (let i = 0; i < at; i++) if (passes.next().done === true) return
}

/** The second with the objects of the first where they are equal, as a cache would have it. */
function sharing(first: ResourceSet, second: ResourceSet): ResourceSet {
  const shared = <V>(before: FrozenMap<V>, now: FrozenMap<V>): FrozenMap<V> => {
    const builder = before.edit()
    for (const { key, after: value } of before.changesTo(now))
      if (value === undefined) builder.delete(key)
      else builder.set(key, value)
    return builder.freeze()
  }
  return {
    ...second,
    routes: shared(first.routes, second.routes),
    backends: shared(first.backends, second.backends),
    services: shared(first.services, second.services),
    endpointSlices: shared(first.endpointSlices, second.endpointSlices),
    namespaces: shared(first.namespaces, second.namespaces),
    rejected: shared(first.rejected, second.rejected),
    reservations: shared(first.reservations, second.reservations),
  }
}
