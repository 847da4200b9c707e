import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { NamespaceGrant } from '../../src/api/route.ts'
import type { SettingsObject } from '../../src/api/settings.ts'
import { serviceBackendId } from '../../src/compile/backend-service.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { endpointsOf } from '../../src/compile/endpoints.ts'
import { Tenancy } from '../../src/compile/tenancy.ts'
import {
  backend,
  compiled,
  conditionsOf,
  ingress,
  listing,
  messageOf,
  namespace,
  prefix,
  route,
  SETTINGS,
  service,
  slice,
  world,
} from './world.ts'

const to = (...names: string[]): NamespaceGrant => ({ from: 'Names', names })
const labelled = (matchLabels: Record<string, string>): NamespaceGrant => ({
  from: 'Selector',
  selector: { matchLabels },
})

function strict(grants: [NamespaceGrant, ...string[]][], targets: [NamespaceGrant, ...string[]][] = []) {
  return {
    tenancy: 'Strict',
    hostnames: grants.map(([namespaces, ...names]) => ({ namespaces, names })),
    upstreams: { denyCIDRs: [], externalTargets: targets.map(([namespaces, ...hosts]) => ({ namespaces, hosts })) },
  } satisfies Partial<SettingsObject>
}

suite('a grant of hostnames', () => {
  const cases: [grant: string, hostname: string, covered: boolean][] = [
    ['shop.example', 'shop.example', true],
    ['shop.example', 'a.shop.example', false],
    ['shop.example', '*.shop.example', false],
    ['*.shop.example', '*.shop.example', true],
    ['*.shop.example', 'a.shop.example', true],
    ['*.shop.example', 'a.b.shop.example', true],
    ['*.shop.example', '*.b.shop.example', true],
    ['*.shop.example', 'shop.example', false],
    ['*.shop.example', '*.example', false],
    ['*.shop.example', 'ashop.example', false],
    ['*.shop.example', '*.ashop.example', false],
    ['*.shop.example', '*', false],
    ['*', 'shop.example', true],
    ['*', '*.example', true],
    ['*', '*', true],
  ]
  for (const [grant, hostname, covered] of cases)
    test(`${grant} ${covered ? 'covers' : 'does not cover'} ${hostname}`, () => {
      const tenancy = new Tenancy({ ...SETTINGS, ...strict([[to('team'), grant]]) }, new Map())
      assert.equal(tenancy.isHostnameGranted('team', hostname), covered)
      assert.equal(tenancy.isHostnameGranted('other', hostname), false)
    })

  test('limits nothing in Shared', () => {
    const settings = { ...strict([[to('other'), '*']]), tenancy: 'Shared' as const }
    const result = compiled(
      world({ settings, routes: [route('team/a', { hostnames: ['x.example'] }), route('team/b', {})] }),
    )
    assert.equal(conditionsOf(result, 'team/a').Ready, 'False/Pending')
    assert.deepEqual(listing(result, '*'), ['team/b main: PathPrefix /'])
  })

  test('is missed by a message that names the setting and what the namespace has', () => {
    const settings = strict([[to('team'), '*.team.example', 'team.example']])
    const result = compiled(world({ settings, routes: [route('team/a', { hostnames: ['shop.example'] })] }))
    assert.equal(listing(result, 'shop.example'), undefined)
    assert.equal(conditionsOf(result, 'team/a').Accepted, 'False/HostnameNotAllowed')
    const message = messageOf(result, 'team/a', 'Accepted')
    assert.match(message, /hostname shop\.example needs a grant .* to namespace team under hostnames of the settings/)
    assert.match(message, /it has \*\.team\.example, team\.example/)
  })

  test('is asked for of each hostname by itself', () => {
    const settings = strict([[to('team'), '*.team.example']])
    const result = compiled(
      world({ settings, routes: [route('team/a', { hostnames: ['shop.example', 'a.team.example'] })] }),
    )
    assert.deepEqual(listing(result, 'a.team.example'), ['team/a main: PathPrefix /'])
    const { Accepted, PartiallyInvalid } = conditionsOf(result, 'team/a')
    assert.deepEqual([Accepted, PartiallyInvalid], ['True/Accepted', 'True/HostnameNotAllowed'])
  })

  test('for the catch-all is "*"', () => {
    const settings = strict([
      [to('team'), '*.team.example'],
      [to('platform'), '*'],
    ])
    const routes = [route('team/all', {}), route('platform/all', {})]
    const result = compiled(world({ settings, routes }))
    assert.deepEqual(listing(result, '*'), ['platform/all main: PathPrefix /'])
    assert.match(messageOf(result, 'team/all', 'Accepted'), /the grant "\*" to namespace team/)
  })

  test('is needed by the owner: an older Route without one takes no hostname away', () => {
    const settings = strict([[to('owner'), '*.shop.example']])
    const routes = [
      route('thief/wild', { hostnames: ['*.example'] }, { created: 1 }),
      route('thief/same', { hostnames: ['a.shop.example'] }, { created: 1 }),
      route('owner/a', { hostnames: ['a.shop.example'] }, { created: 9 }),
    ]
    const result = compiled(world({ settings, routes }))
    assert.deepEqual(listing(result, 'a.shop.example'), ['owner/a main: PathPrefix /'])
    assert.equal(listing(result, '*.example'), undefined)
    for (const key of ['thief/wild', 'thief/same'])
      assert.equal(conditionsOf(result, key).Accepted, 'False/HostnameNotAllowed', key)
  })

  test('is needed by the owner, not by its delegates', () => {
    const settings = strict([[to('owner'), 'shop.example']])
    const delegates = [{ namespaces: to('team'), pathPrefixes: ['/team'] }]
    const routes = [
      route('owner/a', { hostnames: ['shop.example'], delegates }, { created: 1 }),
      route('team/a', { hostnames: ['shop.example'], rules: { in: { matches: [prefix('/team')] } } }, { created: 2 }),
    ]
    const result = compiled(world({ settings, routes }))
    assert.deepEqual(listing(result, 'shop.example'), ['team/a in: PathPrefix /team', 'owner/a main: PathPrefix /'])
    const without = compiled(world({ settings: strict([]), routes }))
    assert.equal(listing(without, 'shop.example'), undefined, 'a delegate of nobody')
    assert.equal(conditionsOf(without, 'team/a').Accepted, 'False/HostnameNotAllowed')
  })

  test('counts for Ingresses too, hosts and default backend', () => {
    const settings = strict([[to('team'), 'team.example']])
    const web = ingress('team/web', {
      defaultBackend: { service: { name: 'api', port: { number: 80 } } },
      rules: [{ host: 'team.example' }, { host: 'shop.example' }],
    })
    const result = compiled(world({ settings, ingresses: [web] }))
    assert.deepEqual([...result.snapshot.hosts.keys()], ['team.example'])
    assert.match(messageOf(result, 'team/web', 'PartiallyInvalid', 'Ingress'), /the grant "\*"/)
  })

  test('by labels holds while the Namespace has them, and never for one that is not known', () => {
    const settings = strict([[labelled({ tenant: 'yes' }), '*.team.example']])
    const routes = [route('team/a', { hostnames: ['a.team.example'] }), route('b/b', { hostnames: ['b.team.example'] })]
    const memo = new CompileState()
    const served = (namespaces: ReturnType<typeof namespace>[]) =>
      [...compiled(world({ settings, routes, namespaces }), memo).snapshot.hosts.keys()].sort()
    assert.deepEqual(served([]), [])
    assert.deepEqual(served([namespace('team', { tenant: 'yes' }), namespace('b', {})]), ['a.team.example'])
    assert.deepEqual(served([namespace('team', { tenant: 'no' }), namespace('b', { tenant: 'yes' })]), [
      'b.team.example',
    ])
    assert.deepEqual(served([namespace('b', {})]), [])
  })

  test('that comes or goes acts on Routes that are there already', () => {
    const routes = [
      route('thief/wild', { hostnames: ['*.example'] }, { created: 1 }),
      route('owner/a', { hostnames: ['a.example'] }, { created: 2 }),
    ]
    const memo = new CompileState()
    const of = (settings: Partial<SettingsObject>) => compiled(world({ settings, routes }), memo)
    assert.equal(listing(of({}), 'a.example'), undefined, 'covered by the older wildcard')
    assert.deepEqual(listing(of(strict([[to('owner'), 'a.example']])), 'a.example'), ['owner/a main: PathPrefix /'])
    const both = of(strict([[{ from: 'All' }, '*']]))
    assert.equal(listing(both, 'a.example'), undefined)
    assert.equal(conditionsOf(both, 'thief/wild').Accepted, 'True/Accepted')
    assert.deepEqual([...of(strict([])).snapshot.hosts.keys()], [])
  })
})

suite('delegates by labels', () => {
  const selector = { matchExpressions: [{ key: 'untrusted', operator: 'DoesNotExist' as const }] }
  const routes = [
    route('owner/a', {
      hostnames: ['x.example'],
      delegates: [{ namespaces: { from: 'Selector', selector }, pathPrefixes: ['/t'] }],
    }),
    route('team/a', { hostnames: ['x.example'], rules: { t: { matches: [prefix('/t')] } } }),
    route('zeta/a', { hostnames: ['x.example', 'z.example'], rules: { z: { matches: [prefix('/t/z')] } } }),
  ]

  test('never select an unknown Namespace, not even by an absent label', () => {
    const result = compiled(world({ routes, namespaces: [namespace('zeta', {})] }))
    assert.deepEqual(listing(result, 'x.example'), ['zeta/a z: PathPrefix /t/z', 'owner/a main: PathPrefix /'])
    assert.equal(conditionsOf(result, 'team/a').Accepted, 'False/HostnameNotAllowed')
  })

  test('can name a namespace by the label that every one has', () => {
    const byName = labelled({ 'kubernetes.io/metadata.name': 'team' })
    const owner = route('owner/a', {
      hostnames: ['x.example'],
      delegates: [{ namespaces: byName, pathPrefixes: ['/t'] }],
    })
    const forged = { 'kubernetes.io/metadata.name': 'team' }
    const result = compiled(
      world({ routes: [owner, ...routes.slice(1)], namespaces: [namespace('team', {}), namespace('zeta', forged)] }),
    )
    assert.deepEqual(listing(result, 'x.example'), ['team/a t: PathPrefix /t', 'owner/a main: PathPrefix /'])
  })

  test('are looked at again only on the hostnames of a namespace whose labels changed', () => {
    const memo = new CompileState()
    const of = (...namespaces: ReturnType<typeof namespace>[]) => compiled(world({ routes, namespaces }), memo)
    of(namespace('team', {}), namespace('zeta', {}))
    const before = memo.counts.hosts
    of(namespace('team', {}), namespace('zeta', {}), namespace('idle', {}))
    assert.equal(memo.counts.hosts, before)
    const result = of(namespace('team', { untrusted: '' }), namespace('zeta', {}), namespace('idle', {}))
    assert.equal(memo.counts.hosts, before + 1)
    assert.equal(conditionsOf(result, 'team/a').Accepted, 'False/HostnameNotAllowed')
  })
})

suite('targets outside of Services', () => {
  const one = (key: string, ...addresses: string[]) =>
    backend(key, { endpoints: addresses.map((address) => ({ address, port: 443, weight: 1 })) })
  const addressesOf = (settings: Partial<SettingsObject>, ...addresses: string[]) =>
    endpointsOf(world({ settings, backends: [one('team/b', ...addresses)] }), 'team/b').map(({ address }) => address)
  const given = (...hosts: string[]) => strict([], [[to('team'), ...hosts]])

  test('are only those of the list in Strict, by name and port, in one spelling', () => {
    const settings = given(
      'api.partner.example:443',
      '*.cdn.example:443',
      '192.0.2.7:443',
      '[2001:DB8:0::7]:443',
      'x.example:80',
    )
    const all = [
      'api.partner.example',
      'a.b.cdn.example',
      'cdn.example',
      '192.0.2.7',
      '192.0.2.8',
      '2001:db8::7',
      'x.example',
    ]
    assert.deepEqual(addressesOf(settings, ...all), [
      '192.0.2.7',
      '2001:db8::7',
      'a.b.cdn.example',
      'api.partner.example',
    ])
    assert.deepEqual(addressesOf({}, ...all).length, all.length, 'Shared asks nobody')
    assert.deepEqual(addressesOf(strict([], [[to('other'), 'x.example:443']]), 'x.example'), [])
  })

  test('that are refused make a Backend report the setting that allows them', () => {
    const result = compiled(
      world({ settings: given('a.example:443'), backends: [one('team/b', 'a.example', '10.0.0.1')] }),
    )
    assert.equal(conditionsOf(result, 'team/b', 'Backend').ResolvedRefs, 'False/AddressNotAllowed')
    const message = messageOf(result, 'team/b', 'ResolvedRefs', 'Backend')
    assert.match(message, /10\.0\.0\.1:443 may not be used.*upstreams\.externalTargets.*namespace team/)
    assert.deepEqual([...result.names.keys()], ['a.example'])
  })

  const http = [{ name: 'http', port: 80, protocol: 'TCP' as const }]
  const pod = { kind: 'Pod', namespace: 'team' }
  const ofController = { 'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io' }

  function slices(more: {
    selector?: Record<string, string>
    labels?: Record<string, string>
    targetRef?: { kind?: string; namespace?: string }
    created?: number | undefined
    addressType?: 'IPv4' | 'FQDN'
  }) {
    const {
      selector = { app: 'api' },
      labels = ofController,
      targetRef,
      created,
      addressType = 'IPv4',
    } = {
      targetRef: pod,
      created: 1,
      ...more,
    }
    const made = slice('team/s', 'api', {
      addressType,
      endpoints: [{ addresses: ['10.0.0.9'], ...(targetRef && { targetRef }) }],
    })
    const { metadata } = made.object
    const written = {
      ...made,
      created,
      object: { ...made.object, metadata: { ...metadata, labels: { ...metadata.labels, ...labels } } },
    }
    return { services: [service('team/api', http, { selector })], slices: [written] }
  }

  const refused: [what: string, Parameters<typeof slices>[0]][] = [
    ['a Service without selector', { selector: {} }],
    ['a slice that the controller did not write', { labels: {} }],
    [
      'a mirrored slice',
      { labels: { 'endpointslice.kubernetes.io/managed-by': 'endpointslicemirroring-controller.k8s.io' } },
    ],
    ['an endpoint that is no pod', { targetRef: { kind: 'Node' } }],
    ['an endpoint that refers to nothing', { targetRef: {} }],
    ['a pod of another namespace', { targetRef: { kind: 'Pod', namespace: 'other' } }],
    ['names', { addressType: 'FQDN' }],
    ['a slice from a folder', { created: undefined }],
  ]
  const id = serviceBackendId('team', { name: 'api', port: 'http' })
  for (const [what, more] of refused)
    test(`are those of ${what}`, () => {
      const parts = slices(more)
      assert.deepEqual(endpointsOf(world({ settings: strict([]), ...parts }), id), [])
      assert.equal(endpointsOf(world({ settings: given('10.0.0.9:8080'), ...parts }), id).length, 1)
      assert.equal(endpointsOf(world(parts), id).length, 1)
    })

  test('are not the pods that the cluster lists for a Service', () => {
    assert.equal(endpointsOf(world({ settings: strict([]), ...slices({}) }), id).length, 1)
  })

  test('are reported by a Route that names the Service directly, until the slice changes', () => {
    const settings = strict([[to('team'), '*']])
    const backendRefs = [{ service: { name: 'api', port: 'http' }, weight: 1, priority: 0 }]
    const routes = [route('team/r', { hostnames: ['x.example'], rules: { main: { backendRefs } } })]
    const memo = new CompileState()
    const bad = compiled(world({ settings, routes, ...slices({ labels: {} }) }), memo)
    assert.equal(conditionsOf(bad, 'team/r').ResolvedRefs, 'False/AddressNotAllowed')
    assert.match(messageOf(bad, 'team/r', 'ResolvedRefs'), /rule main: 10\.0\.0\.9:8080 may not be used/)
    const good = compiled(world({ settings, routes, ...slices({}) }), memo)
    assert.equal(conditionsOf(good, 'team/r').ResolvedRefs, 'True/ResolvedRefs')
    const external = [service('team/api', http, { type: 'ExternalName', externalName: 'db.other.svc.cluster.local' })]
    const named = compiled(world({ settings, routes, services: external }), memo)
    assert.equal(conditionsOf(named, 'team/r').ResolvedRefs, 'False/AddressNotAllowed')
    assert.deepEqual(named.endpoints.get(id), [])
  })

  test('follow the settings without any object changing', () => {
    const memo = new CompileState()
    const backends = [one('team/b', 'a.example')]
    const of = (settings: Partial<SettingsObject>) => compiled(world({ settings, backends }), memo)
    assert.equal(of(strict([])).endpoints.get('team/b')?.length, 0)
    assert.equal(of(given('a.example:443')).endpoints.get('team/b')?.length, 1)
    assert.equal(conditionsOf(of(given('b.example:443')), 'team/b', 'Backend').ResolvedRefs, 'False/AddressNotAllowed')
    assert.equal(of({}).endpoints.get('team/b')?.length, 1)
  })
})

suite('a hostname that is kept', () => {
  const settings = strict([[to('owner', 'team', 'a-team'), '*']])
  const reservation = (key: string, created: number, until: number | undefined = 3_600_000) => ({
    namespace: key.slice(0, key.indexOf('/')),
    key,
    created,
    until,
  })
  const there = (hostname: string, ...created: [key: string, created: number][]) =>
    created.map(([key, age]) => route(key, { hostnames: [hostname] }, { created: age }))

  test('is not served: not by another claimant, a wildcard or the catch-all', () => {
    const routes = [...there('x.example', ['team/a', 2]), ...there('*.example', ['team/w', 3]), route('team/all', {})]
    const result = compiled(world({ settings, routes, reservations: { 'x.example': reservation('owner/gone', 1) } }))
    assert.deepEqual(listing(result, 'x.example'), [])
    assert.deepEqual(listing(result, '*.example'), ['team/w main: PathPrefix /'])
    assert.equal(conditionsOf(result, 'team/a').Accepted, 'False/HostnameNotAllowed')
    const message = messageOf(result, 'team/a', 'Accepted')
    assert.match(message, /kept for namespace owner, whose Route owner\/gone had it, until 1970-01-01T01:00:00\.000Z/)
    assert.match(message, /grant of namespace owner under hostnames of the settings withdrawn/)
  })

  test('is served by what its namespace has for a wildcard over it', () => {
    const delegates = [{ namespaces: to('team'), pathPrefixes: ['/t'] }]
    const routes = [
      route('owner/w', { hostnames: ['*.example'], delegates }, { created: 3 }),
      route('team/t', { hostnames: ['x.example'], rules: { t: { matches: [prefix('/t')] } } }, { created: 2 }),
    ]
    const result = compiled(world({ settings, routes, reservations: { 'x.example': reservation('owner/gone', 1) } }))
    assert.deepEqual(listing(result, 'x.example'), ['team/t t: PathPrefix /t', 'owner/w main: PathPrefix /'])
  })

  test('is its namespace’s again with the age it had, however old others have become', () => {
    const routes = there('x.example', ['team/a', 2], ['owner/new', 3])
    const result = compiled(
      world({ settings, routes, reservations: { 'x.example': reservation('owner/gone', 1, undefined) } }),
    )
    assert.deepEqual(listing(result, 'x.example'), ['owner/new main: PathPrefix /'])
    assert.match(
      messageOf(result, 'team/a', 'Accepted'),
      /belongs to namespace owner: its Route owner\/new \(with the age of owner\/gone, whose hostname was kept\) is older/,
    )
    assert.deepEqual(result.owners.get('x.example'), {
      namespace: 'owner',
      age: { created: 1, key: 'owner/gone' },
      oldestRoute: { created: 3, key: 'owner/new' },
      contested: true,
    })
  })

  test('speaks with the delegates of the Route that is there, not of the one that is gone', () => {
    const delegates = [{ namespaces: to('team'), pathPrefixes: ['/t'] }]
    const team = route(
      'team/t',
      { hostnames: ['x.example'], rules: { t: { matches: [prefix('/t')] } } },
      { created: 2 },
    )
    const reservations = { 'x.example': reservation('owner/gone', 1) }
    assert.deepEqual(listing(compiled(world({ settings, routes: [team], reservations })), 'x.example'), [])
    const back = route('owner/new', { hostnames: ['x.example'], delegates }, { created: 3 })
    const result = compiled(world({ settings, routes: [team, back], reservations }))
    assert.deepEqual(listing(result, 'x.example'), ['team/t t: PathPrefix /t', 'owner/new main: PathPrefix /'])
  })

  test('as a wildcard keeps the names under it, but for those that are older', () => {
    const routes = [...there('a.example', ['team/old', 1]), ...there('b.example', ['team/new', 3])]
    const result = compiled(world({ settings, routes, reservations: { '*.example': reservation('owner/gone', 2) } }))
    assert.deepEqual(listing(result, 'a.example'), ['team/old main: PathPrefix /'])
    assert.equal(listing(result, 'b.example'), undefined)
    assert.deepEqual(listing(result, '*.example'), [], 'which is where b.example ends')
  })

  test('is not reserved without a grant, and not in Shared', () => {
    const routes = there('x.example', ['team/a', 2])
    const reservations = { 'x.example': reservation('owner/gone', 1) }
    for (const given of [strict([[to('team'), '*']]), {}])
      assert.deepEqual(listing(compiled(world({ settings: given, routes, reservations })), 'x.example'), [
        'team/a main: PathPrefix /',
      ])
  })

  test('follows grants by settings and by labels without any Route', () => {
    const memo = new CompileState()
    const reservations = { 'x.example': reservation('owner/gone', 1) }
    const byLabel = strict([[labelled({ t: '1' }), '*.example']])
    const kept = (given: Partial<SettingsObject>, t: string) =>
      compiled(world({ settings: given, reservations, namespaces: [namespace('owner', { t })] }), memo).owners.has(
        'x.example',
      )
    assert.equal(kept({}, '1'), false)
    assert.equal(kept(byLabel, '1'), true)
    assert.equal(kept(byLabel, '2'), false)
    assert.equal(kept(byLabel, '1'), true)
    assert.equal(kept({}, '1'), false)
  })

  test('is free when the time is over, and leaves nothing behind', () => {
    const memo = new CompileState()
    const routes = there('x.example', ['team/a', 2])
    compiled(
      world({
        settings,
        routes,
        reservations: { 'x.example': reservation('owner/gone', 1), 'y.example': reservation('owner/y', 1) },
      }),
      memo,
    )
    assert.equal(memo.hosts.size, 2)
    const result = compiled(world({ settings, routes }), memo)
    assert.deepEqual(listing(result, 'x.example'), ['team/a main: PathPrefix /'])
    assert.deepEqual([...memo.hosts.keys()], ['x.example'])
    assert.deepEqual([...result.owners.keys()], ['x.example'])
  })
})
