import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Compiled } from '../../src/compile/compile.ts'
import { programmed } from '../../src/compile/conditions.ts'
import {
  backend,
  compiled,
  conditionsOf,
  listing,
  messageOf,
  prefix,
  route,
  service,
  statusOf,
  world,
} from './world.ts'

function rulesOf(result: Compiled, hostname: string) {
  return result.snapshot.hosts.get(hostname)?.common?.rules ?? []
}

function policyOf(result: Compiled, hostname: string, rule = 'main', key?: string) {
  const found = rulesOf(result, hostname).find((one) => one.rule === rule && (key === undefined || one.route === key))
  return result.snapshot.policies.get(found?.policy ?? '')
}

suite('which installation serves a Route', () => {
  const cases: [settings: object, name: string | undefined, served: boolean][] = [
    [{ name: 'headgate', default: true }, undefined, true],
    [{ name: 'headgate', default: false }, undefined, false],
    [{ name: 'headgate', default: false }, 'headgate', true],
    [{ name: 'headgate', default: true }, 'other', false],
  ]
  for (const [ingressClass, name, served] of cases)
    test(`class ${JSON.stringify(ingressClass)} ${served ? 'serves' : 'does not serve'} a Route of class ${name}`, () => {
      const one = route('a/one', {
        hostnames: ['x.example'],
        ...(name === undefined ? {} : { ingressClassName: name }),
      })
      const result = compiled(world({ settings: { ingressClass } as never, routes: [one] }))
      assert.equal(listing(result, 'x.example') !== undefined, served)
      assert.equal(conditionsOf(result, 'a/one').Accepted, served ? 'True/Accepted' : 'False/WrongClass')
    })

  test('a Route of another class claims no hostname', () => {
    const routes = [
      route('a/other', { hostnames: ['x.example'], ingressClassName: 'other' }),
      route('b/ours', { hostnames: ['x.example'] }),
    ]
    assert.deepEqual(listing(compiled(world({ routes })), 'x.example'), ['b/ours main: PathPrefix /'])
  })
})

suite('listeners', () => {
  test('none named is every listener, names are those of the settings in any order', () => {
    const names = (listeners?: string[]) =>
      compiled(world({ routes: [route('a/one', { ...(listeners && { listeners }) })] })).snapshot.hosts.get('*')
        ?.matches[0]?.frontends?.names
    assert.equal(names(), undefined)
    assert.deepEqual(names(['http']), ['http'])
    assert.deepEqual(names(['https']), ['https'])
    assert.deepEqual(names(['https', 'http']), ['http', 'https'])
  })

  test('an unknown listener is reported; the Route is served on its known ones', () => {
    const part = compiled(world({ routes: [route('a/one', { listeners: ['http', 'tls'] })] }))
    assert.equal(conditionsOf(part, 'a/one').Accepted, 'True/Accepted')
    assert.equal(conditionsOf(part, 'a/one').PartiallyInvalid, 'True/NoListener')
    assert.match(
      messageOf(part, 'a/one', 'PartiallyInvalid'),
      /no listener tls in the settings \(there is http, https\)/,
    )
    const none = compiled(world({ routes: [route('a/one', { listeners: ['tls'] })] }))
    assert.equal(conditionsOf(none, 'a/one').Accepted, 'False/NoListener')
    assert.equal(none.snapshot.hosts.size, 0)
  })
})

suite('conflicts', () => {
  const two = (first: object, second: object) => [
    route('a/young', { hostnames: ['x.example'], ...first }, { created: 2 }),
    route('a/old', { hostnames: ['x.example'], ...second }, { created: 1 }),
  ]

  test('an identical match belongs to the oldest Route; the younger keeps its others and names the winner', () => {
    const rules = { api: { matches: [prefix('/api')] }, more: { matches: [prefix('/more')] } }
    const result = compiled(world({ routes: two({ rules }, { rules: { api: { matches: [prefix('/api/')] } } }) }))
    assert.deepEqual(listing(result, 'x.example'), ['a/young more: PathPrefix /more', 'a/old api: PathPrefix /api'])
    assert.equal(conditionsOf(result, 'a/young').PartiallyInvalid, 'True/Conflicted')
    assert.equal(conditionsOf(result, 'a/young').Accepted, 'True/Accepted')
    assert.match(
      messageOf(result, 'a/young', 'PartiallyInvalid'),
      /rule api: PathPrefix \/api on x\.example is already served by rule api of Route a\/old/,
    )
    assert.equal(statusOf(result, 'a/young').rules, 1)
    assert.equal(conditionsOf(result, 'a/old').PartiallyInvalid, 'False/AllValid')
  })

  test('a Route that loses everything is not accepted', () => {
    const result = compiled(world({ routes: two({}, {}) }))
    assert.equal(conditionsOf(result, 'a/young').Accepted, 'False/Conflicted')
    assert.equal(statusOf(result, 'a/young').rules, 0)
  })

  test('the order of header conditions makes no difference, their values do', () => {
    const header = (name: string, value: string) => ({ name, type: 'Exact' as const, value })
    const match = (...headers: ReturnType<typeof header>[]) => ({ rules: { r: { matches: [{ headers }] } } })
    const same = two(match(header('a', '1'), header('b', '2')), match(header('b', '2'), header('a', '1')))
    assert.equal(conditionsOf(compiled(world({ routes: same })), 'a/young').Accepted, 'False/Conflicted')
    const other = two(match(header('a', '1')), match(header('a', '2')))
    assert.equal(conditionsOf(compiled(world({ routes: other })), 'a/young').Accepted, 'True/Accepted')
  })

  test('the same match on other listeners is none', () => {
    const result = compiled(world({ routes: two({ listeners: ['http'] }, { listeners: ['https'] }) }))
    assert.equal(listing(result, 'x.example')?.length, 2)
    const wider = compiled(world({ routes: two({}, { listeners: ['https'] }) }))
    assert.equal(listing(wider, 'x.example')?.length, 2, 'the younger still has the other listener')
    const narrower = compiled(world({ routes: two({ listeners: ['http'] }, {}) }))
    assert.equal(listing(narrower, 'x.example')?.length, 1)
  })

  test('two rules of one Route with the same match are reported', () => {
    const result = compiled(world({ routes: [route('a/one', { rules: { first: {}, second: {} } })] }))
    assert.deepEqual(listing(result, '*'), ['a/one first: PathPrefix /'])
    assert.match(messageOf(result, 'a/one', 'PartiallyInvalid'), /already served by rule first of this Route/)
  })
})

interface Named {
  readonly name?: string
  readonly namespace?: string
  readonly service?: { readonly name: string; readonly port: string | number }
}

suite('backends of a rule', () => {
  const refs = (...list: object[]) =>
    ({ rules: { main: { backendRefs: list.map((ref) => ({ weight: 1, priority: 0, ...ref })) } } }) as never
  const backends = [
    backend('a/own', { endpoints: [] }),
    backend('b/closed', { endpoints: [] }),
    backend('b/open', { endpoints: [], allowedNamespaces: { from: 'All' } }),
    backend('b/named', { endpoints: [], allowedNamespaces: { from: 'Names', names: ['a'] } }),
    backend('b/others', { endpoints: [], allowedNamespaces: { from: 'Names', names: ['c'] } }),
  ]
  const services = [
    service('a/api', [
      { name: 'http', port: 80, protocol: 'TCP' },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ]),
  ]

  const named = ({ name, namespace = 'a', service }: Named) =>
    service === undefined ? `${namespace}/${name}` : `service:a/${service.name}:${service.port}`

  const cases: [ref: Named, id: string | undefined, reason: string, message: RegExp][] = [
    [{ name: 'own' }, 'a/own', 'ResolvedRefs', /./],
    [{ name: 'open', namespace: 'b' }, 'b/open', 'ResolvedRefs', /./],
    [{ name: 'named', namespace: 'b' }, 'b/named', 'ResolvedRefs', /./],
    [
      { name: 'closed', namespace: 'b' },
      undefined,
      'BackendNotAllowed',
      /Backend b\/closed does not allow Routes of namespace a/,
    ],
    [{ name: 'others', namespace: 'b' }, undefined, 'BackendNotAllowed', /allowedNamespaces must name it/],
    [{ name: 'none' }, undefined, 'BackendNotFound', /rule main: there is no Backend a\/none; create it/],
    [{ service: { name: 'api', port: 'http' } }, 'service:a/api:http', 'ResolvedRefs', /./],
    [{ service: { name: 'api', port: 80 } }, 'service:a/api:80', 'ResolvedRefs', /./],
    [{ service: { name: 'api', port: 81 } }, undefined, 'PortNotFound', /no TCP port 81 \(it has 80 http\)/],
    [{ service: { name: 'api', port: 'dns' } }, undefined, 'PortNotFound', /no TCP port dns/],
    [{ service: { name: 'none', port: 80 } }, undefined, 'ServiceNotFound', /there is no Service a\/none/],
  ]
  for (const [ref, id, reason, message] of cases)
    test(`${JSON.stringify(ref)} gives ${id ?? reason}`, () => {
      const result = compiled(world({ routes: [route('a/one', refs(ref))], backends, services }))
      const [rule] = rulesOf(result, '*')
      const expected =
        id === undefined
          ? { missing: named(ref), weight: 1, priority: 0, refuse: 'BackendNotFound' }
          : { backend: id, weight: 1, priority: 0 }
      assert.deepEqual(rule?.backends, [expected])
      if (id !== undefined) assert.equal(result.snapshot.backends.get(id)?.id, id)
      assert.equal(conditionsOf(result, 'a/one').ResolvedRefs, `${id === undefined ? 'False' : 'True'}/${reason}`)
      assert.match(messageOf(result, 'a/one', 'ResolvedRefs'), message)
      assert.equal(
        conditionsOf(result, 'a/one').Accepted,
        'True/Accepted',
        'the rule is served, with an answer of its own',
      )
    })

  test('a split keeps its weights and refuses only the share of the broken reference', () => {
    const result = compiled(
      world({ routes: [route('a/one', refs({ name: 'own', weight: 9 }, { name: 'none', weight: 1 }))], backends }),
    )
    assert.deepEqual(rulesOf(result, '*')[0]?.backends, [
      { backend: 'a/own', weight: 9, priority: 0 },
      { missing: 'a/none', weight: 1, priority: 0, refuse: 'BackendNotFound' },
    ])
  })

  test('a Backend that was never valid is not found, and the message explains why', () => {
    const refused = [
      {
        kind: 'Backend' as const,
        key: 'a/bad',
        problems: [{ path: ['spec', 'x'], reason: 'Unknown' as const, message: 'is not a field' }],
      },
    ]
    const result = compiled(world({ routes: [route('a/one', refs({ name: 'bad' }))], refused }))
    assert.match(messageOf(result, 'a/one', 'ResolvedRefs'), /Backend a\/bad exists but is not valid/)
    assert.equal(conditionsOf(result, 'a/bad', 'Backend').Accepted, 'False/Invalid')
    assert.match(messageOf(result, 'a/bad', 'Accepted', 'Backend'), /spec\.x: is not a field/)
  })

  test('only the Services that a rule names are backends', () => {
    const result = compiled(world({ routes: [route('a/one', {})], backends, services }))
    assert.deepEqual([...result.snapshot.backends.keys()].sort(), [
      'a/own',
      'b/closed',
      'b/named',
      'b/open',
      'b/others',
    ])
  })

  test('a Backend reports a missing Service, and so does the Route, whose rule responds 503', () => {
    const own = backend('a/own', { service: { name: 'gone', port: 80 } })
    const result = compiled(world({ routes: [route('a/one', refs({ name: 'own' }))], backends: [own] }))
    assert.equal(conditionsOf(result, 'a/own', 'Backend').ResolvedRefs, 'False/ServiceNotFound')
    assert.equal(conditionsOf(result, 'a/one').ResolvedRefs, 'False/ServiceNotFound')
    assert.equal(conditionsOf(result, 'a/one').Ready, 'False/ServiceNotFound')
    assert.deepEqual(result.endpoints.get('a/own'), [])
    assert.equal(result.snapshot.hosts.get('*')?.common?.rules[0]?.backends[0]?.refuse, undefined)
  })
})

suite('policies', () => {
  test('units are numbers and defaults are applied', () => {
    assert.deepEqual(
      { ...policyOf(compiled(world({ routes: [route('a/one', {})] })), '*'), digest: '' },
      {
        digest: '',
        action: { type: 'respond', statusCode: 200, body: 'ok' },
        timeouts: { request: 0, backendRequest: 0, responseHead: 60_000, idle: 60_000, tunnelIdle: 3_600_000 },
        retry: {
          attempts: 1,
          reasons: ['ConnectFailure', 'ResetBeforeResponse', 'ResponseHeadTimeout', 'BackendRequestTimeout'],
          codes: [],
          grpcCodes: [],
          methods: ['GET', 'HEAD', 'OPTIONS', 'TRACE'],
          backoff: 25,
          budgetPercent: 20,
        },
        limits: { maxRequestBytes: -1 },
        upgrades: ['websocket'],
        pathEncoding: 'Strict',
      },
    )
    const policies = { timeouts: { request: '1m30s' }, limits: { maxRequestBytes: '10Mi' }, retry: { backoff: '1s' } }
    const stated = policyOf(compiled(world({ routes: [route('a/one', { policies })] })), '*')
    assert.equal(stated?.timeouts.request, 90_000)
    assert.equal(stated?.limits.maxRequestBytes, 10 * 1024 * 1024)
    assert.equal(stated?.retry.backoff, 1_000)
    assert.equal(stated?.retry.attempts, 1)
  })

  test('settings, Route and rule: each key replaced whole, timeouts field by field', () => {
    const settings = {
      policies: {
        defaults: { timeouts: { request: '1s', idle: '2s' }, upgrades: [], responseHeaders: { remove: ['server'] } },
        enforced: { pathEncoding: 'Strict' as const },
      },
    }
    const routePolicies = { timeouts: { idle: '3s' }, responseHeaders: { set: [{ name: 'x-route', value: '1' }] } }
    const rules = {
      main: { policies: { timeouts: { responseHead: '4s' }, pathEncoding: 'KeepEncodedSlash' as const } },
    }
    const set = policyOf(
      compiled(world({ settings, routes: [route('a/one', { policies: routePolicies, rules })] })),
      '*',
    )
    assert.deepEqual(set?.timeouts, {
      request: 1_000,
      backendRequest: 0,
      responseHead: 4_000,
      idle: 3_000,
      tunnelIdle: 3_600_000,
    })
    assert.deepEqual(set?.responseHeaders, { set: [{ name: 'x-route', value: '1' }], add: [], remove: [] })
    assert.deepEqual(set?.upgrades, [])
    assert.equal(set?.pathEncoding, 'Strict')
  })

  test('what the owner of a hostname enforces binds the rules of delegates, there only', () => {
    const routes = [
      route(
        'a/owner',
        {
          hostnames: ['x.example'],
          delegates: [{ namespaces: { from: 'Names', names: ['b'] }, pathPrefixes: ['/b'] }],
          policies: { enforced: { timeouts: { request: '5s' } } },
        },
        { created: 1 },
      ),
      route(
        'b/team',
        {
          hostnames: ['x.example', 'own.example'],
          rules: { main: { matches: [prefix('/b')], policies: { timeouts: { request: '1h' } } } },
        },
        { created: 2 },
      ),
    ]
    const result = compiled(world({ routes }))
    assert.equal(policyOf(result, 'x.example', 'main', 'b/team')?.timeouts.request, 5_000)
    assert.equal(policyOf(result, 'own.example', 'main', 'b/team')?.timeouts.request, 3_600_000)
    assert.equal(policyOf(result, 'x.example', 'main', 'a/owner')?.timeouts.request, 5_000)
  })

  test('rules with the same policies share one set', () => {
    const rules = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { matches: [prefix(`/${name}`)] }]))
    assert.equal(compiled(world({ routes: [route('a/one', { rules })] })).snapshot.policies.size, 1)
  })

  test('redirects and rewrites come as filters take them', () => {
    const replaceRegex = { pattern: '^/v1/(.*)', substitution: '/v2/$1' }
    const rules = {
      main: {
        redirect: {
          scheme: 'https' as const,
          statusCode: 301 as const,
          path: { type: 'ReplaceFullPath' as const, replaceFullPath: '/new' },
        },
      },
      other: {
        matches: [prefix('/o')],
        policies: { rewrite: { hostname: 'api.internal', path: { type: 'ReplaceRegex' as const, replaceRegex } } },
      },
    }
    const result = compiled(world({ routes: [route('a/one', { rules })] }))
    assert.deepEqual(policyOf(result, '*')?.action, {
      type: 'redirect',
      scheme: 'https',
      path: { type: 'ReplaceFullPath', replaceFullPath: '/new' },
      statusCode: 301,
    })
    assert.deepEqual(policyOf(result, '*', 'other')?.rewrite, {
      hostname: 'api.internal',
      path: { type: 'ReplaceRegex', ...replaceRegex },
    })
  })
})

suite('stale Routes', () => {
  const problems = [
    { path: ['spec', 'rules', 0, 'policies', 'auth'], reason: 'NotImplemented' as const, message: 'is not built yet.' },
  ]
  const rules = { open: { matches: [prefix('/open')] }, closed: { matches: [prefix('/closed')] } }

  test('the last good version is served, and the status reports it', () => {
    const stale = { problems, generation: 7, closedRules: new Set<string>() }
    const result = compiled(world({ routes: [route('a/one', { rules }, { stale })] }))
    assert.ok(rulesOf(result, '*').every((rule) => rule.refuse === undefined))
    assert.equal(conditionsOf(result, 'a/one').Stale, 'True/LastGoodServed')
    assert.match(messageOf(result, 'a/one', 'Stale'), /spec\.rules\[0\]\.policies\.auth: is not built yet/)
    assert.equal(conditionsOf(result, 'a/one').Ready, 'False/LastGoodServed')
    assert.ok(statusOf(result, 'a/one').conditions.every((one) => one.observedGeneration === 7))
  })

  test('rules to which the broken edit adds auth are closed', () => {
    const stale = { problems, closedRules: new Set(['closed']) }
    const result = compiled(world({ routes: [route('a/one', { rules }, { stale })] }))
    assert.deepEqual(Object.fromEntries(rulesOf(result, '*').map((rule) => [rule.rule, rule.refuse])), {
      open: undefined,
      closed: 'RuleClosed',
    })
    assert.equal(conditionsOf(result, 'a/one').Stale, 'True/ClosedByEdit')
    assert.match(messageOf(result, 'a/one', 'Stale'), /closed answer 503/)
  })

  test('all of them where it adds auth to the Route', () => {
    const result = compiled(world({ routes: [route('a/one', { rules }, { stale: { problems, closedRules: 'all' } })] }))
    assert.ok(rulesOf(result, '*').every((rule) => rule.refuse === 'RuleClosed'))
  })

  test('rules of delegates as well, on the hostnames of that Route alone', () => {
    const delegates = [{ namespaces: { from: 'Names' as const, names: ['b'] }, pathPrefixes: ['/b'] }]
    const owner = (more: Parameters<typeof route>[2]) =>
      route('a/owner', { hostnames: ['x.example'], delegates }, { created: 1, ...more })
    const team = route(
      'b/team',
      { hostnames: ['x.example', 'own.example'], rules: { main: { matches: [prefix('/b')] } } },
      { created: 2 },
    )
    const refusalOf = (result: Compiled, hostname: string) =>
      rulesOf(result, hostname).find(({ route }) => route === 'b/team')?.refuse
    for (const [closedRules, refusal] of [
      ['all', 'RuleClosed'],
      [new Set<string>(), undefined],
    ] as const) {
      const result = compiled(world({ routes: [owner({ stale: { problems, closedRules } }), team] }))
      assert.deepEqual([refusalOf(result, 'x.example'), refusalOf(result, 'own.example')], [refusal, undefined])
    }
  })
})

suite('conditions', () => {
  test('a Route that is served whole becomes Ready when every worker serves it', () => {
    const result = compiled(world({ routes: [route('a/one', {})] }))
    assert.deepEqual(conditionsOf(result, 'a/one'), {
      Ready: 'False/Pending',
      Accepted: 'True/Accepted',
      PartiallyInvalid: 'False/AllValid',
      ResolvedRefs: 'True/ResolvedRefs',
      Programmed: 'False/Pending',
      Stale: 'False/Current',
    })
    const status = programmed(statusOf(result, 'a/one'))
    assert.deepEqual(
      status.conditions.filter(({ type }) => type === 'Ready' || type === 'Programmed').map(({ reason }) => reason),
      ['Ready', 'Programmed'],
    )
  })

  test('what is not served at all is never Programmed', () => {
    const status = statusOf(compiled(world({ routes: [route('a/one', { listeners: ['none'] })] })), 'a/one')
    assert.deepEqual(programmed(status), status)
  })

  test('a Route that was never valid reports what to correct', () => {
    const refused = [
      {
        kind: 'Route' as const,
        key: 'a/bad',
        generation: 3,
        problems: [{ path: ['spec', 'tls'], reason: 'NotImplemented' as const, message: 'is not built yet' }],
      },
    ]
    const result = compiled(world({ refused }))
    assert.deepEqual(conditionsOf(result, 'a/bad'), { Ready: 'False/NotImplemented', Accepted: 'False/NotImplemented' })
    assert.equal(statusOf(result, 'a/bad').rules, 0)
    assert.equal(statusOf(result, 'a/bad').conditions[0]?.observedGeneration, 3)
  })
})
