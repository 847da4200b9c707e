import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { INGRESS_SCHEMA, type Ingress, type IngressPath } from '../../src/api/ingress.ts'
import { referencesOf } from '../../src/api/kinds.ts'
import { compileSchema } from '../../src/api/schema.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import { classOf, ingressOf, ingressRoutes, nameOfRoute } from '../../src/compile/ingress.ts'
import { foreignAnnotations, ingressNotes } from '../../src/compile/ingress-notes.ts'
import { keyOfNode, ReferenceGraph } from '../../src/compile/reference-graph.ts'
import type { PayloadSummary, ResourceSet, ServedResource } from '../../src/compile/resource-set.ts'
import { Fields } from '../../src/message/fields.ts'
import { matchLinear } from '../../src/routing/linear.ts'
import { match } from '../../src/routing/match.ts'
import type { RouteRequest } from '../../src/routing/request.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { httpModeOf, tlsOptions } from '../../src/snapshot/host-tls.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import {
  backend,
  compiled,
  conditionsOf,
  ingress,
  messageOf,
  prefix,
  route,
  service,
  statusOf,
  type World,
  world,
} from './world.ts'

const HTTP = [{ name: 'http', port: 80, protocol: 'TCP' as const }]
const SERVICES = ['a/one', 'a/two', 'a/fallback', 'b/one'].map((key) => service(key, HTTP))

function path(value: string, name = 'one', pathType: IngressPath['pathType'] = 'Prefix'): IngressPath {
  return { path: value, pathType, backend: { service: { name, port: { number: 80 } } } }
}

function hosts(paths: Record<string, IngressPath[]>): Ingress['spec']['rules'] {
  return Object.entries(paths).map(([host, list]) => ({ ...(host && { host }), http: { paths: list } }))
}

const fallback = { service: { name: 'fallback', port: { name: 'http' } } }

/** `route rule` for `host/path`, by the packed tables. */
function router(resources: ResourceSet) {
  const { snapshot } = compiled(resources)
  const tables = new RouteTables(new Packer(Math.random).pack(snapshot).tables)
  return (url: string): string => {
    const slash = url.indexOf('/')
    const request: RouteRequest = {
      method: 'GET',
      host: url.slice(0, slash),
      path: url.slice(slash),
      query: undefined,
      frontend: new FrontendHandle('http'),
      request: new Fields(),
      clientAddress: '192.0.2.1',
    }
    const found = match(tables, request)
    const other = matchLinear(snapshot, request)
    const text = typeof found === 'string' ? found : found.rule.key
    assert.equal(typeof other === 'string' ? other : `${other.rule.route}/${other.rule.rule}`, text)
    return text
  }
}

suite('Ingress', () => {
  test('paths are matched as the API defines: Exact whole, Prefix by segment, the longest first', () => {
    const to = router(
      world({
        services: SERVICES,
        ingresses: [
          ingress('a/web', {
            rules: hosts({
              'x.example': [
                path('/foo/'),
                path('/foo/bar', 'two'),
                path('/foo', 'two', 'Exact'),
                path('/all/*', 'two', 'ImplementationSpecific'),
                path('/impl', 'one', 'ImplementationSpecific'),
              ],
            }),
          }),
        ],
      }),
    )
    const rule = (j: number) => `a/ingress:web:x.example/rule-0-path-${j}`
    assert.equal(to('x.example/foo'), rule(2))
    assert.equal(to('x.example/foo/'), rule(0))
    assert.equal(to('x.example/foo/x'), rule(0))
    assert.equal(to('x.example/foo/bar'), rule(1))
    assert.equal(to('x.example/foo/bar/x'), rule(1))
    assert.equal(to('x.example/foobar'), 'RouteNotFound')
    assert.equal(to('x.example/all/x'), rule(3))
    assert.equal(to('x.example/impl/below'), rule(4))
    assert.equal(to('y.example/foo'), 'HostNotFound')
  })

  test('each host has its own paths, and rules of one host come together', () => {
    const rules = [
      ...hosts({ 'x.example': [path('/a')], 'y.example': [path('/b')] }),
      ...hosts({ 'x.example': [path('/c')] }),
    ]
    const to = router(world({ services: SERVICES, ingresses: [ingress('a/web', { rules })] }))
    assert.equal(to('x.example/a'), 'a/ingress:web:x.example/rule-0-path-0')
    assert.equal(to('x.example/c'), 'a/ingress:web:x.example/rule-2-path-0')
    assert.equal(to('x.example/b'), 'RouteNotFound')
    assert.equal(to('y.example/a'), 'RouteNotFound')
  })

  test('a wildcard covers exactly one label', () => {
    const rules = hosts({ '*.example': [path('/')] })
    const to = router(world({ services: SERVICES, ingresses: [ingress('a/web', { rules })] }))
    assert.equal(to('x.example/'), 'a/ingress:web:*.example/rule-0-path-0')
    assert.equal(to('y.x.example/'), 'RouteNotFound')
    assert.equal(to('example/'), 'HostNotFound')
  })

  test('a Route of the same wildcard serves the deeper names', () => {
    const rules = hosts({ '*.example': [path('/')] })
    const resources = world({
      services: SERVICES,
      routes: [route('a/wide', { hostnames: ['*.example'] })],
      ingresses: [ingress('a/web', { rules })],
    })
    assert.equal(router(resources)('x.example/'), 'a/ingress:web:*.example/rule-0-path-0')
    assert.equal(router(resources)('y.x.example/'), 'a/wide/main')
  })

  test('a rule without host serves the catch-all', () => {
    const rules = hosts({ '': [path('/')] })
    const named = route('b/named', { hostnames: ['x.example'], rules: { main: { matches: [prefix('/a')] } } })
    const to = router(world({ services: SERVICES, routes: [named], ingresses: [ingress('a/web', { rules })] }))
    assert.equal(to('other.example/any'), 'a/ingress:web:*/rule-0-path-0')
    assert.equal(to('x.example/any'), 'RouteNotFound')
  })

  test('the default backend takes the remaining requests of its hosts and of the catch-all', () => {
    const rules = hosts({ 'x.example': [path('/a')], '*.wild.example': [path('/a')] })
    const resources = world({
      services: SERVICES,
      ingresses: [
        ingress('a/web', { rules, defaultBackend: fallback }),
        ingress('b/only', { defaultBackend: fallback }),
      ],
    })
    const to = router(resources)
    assert.equal(to('x.example/a'), 'a/ingress:web:x.example/rule-0-path-0')
    assert.equal(to('x.example/b'), 'a/~ingress:web/default-backend')
    assert.equal(to('x.y.wild.example/a'), 'a/~ingress:web/default-backend')
    assert.equal(to('other.example/'), 'a/~ingress:web:*/default-backend')
    assert.equal(conditionsOf(compiled(resources), 'b/only', 'Ingress').Accepted, 'False/Conflicted')
    assert.match(messageOf(compiled(resources), 'b/only', 'Accepted', 'Ingress'), /default-backend of Ingress a\/web/)
  })

  test('a default backend, however old, comes after every explicit path', () => {
    for (const created of [undefined, 1_700_000_000_000]) {
      const old = created === undefined ? {} : { created }
      const young = created === undefined ? {} : { created: created + 1_000 }
      const resources = world({
        services: SERVICES,
        routes: [route('a/zz', { hostnames: ['x.example'] }, young)],
        ingresses: [
          ingress('a/web', { rules: [{ host: 'x.example' }], defaultBackend: fallback }, old),
          ingress('a/other', { rules: hosts({ 'y.example': [path('/')] }), defaultBackend: fallback }, young),
        ],
      })
      const to = router(resources)
      assert.equal(to('x.example/'), 'a/zz/main')
      assert.equal(to('y.example/'), 'a/ingress:other:y.example/rule-0-path-0')
      const first = created === undefined ? 'a/~ingress:other:*' : 'a/~ingress:web:*'
      assert.equal(to('z.example/'), `${first}/default-backend`)
    }
  })

  test('a host without paths belongs to its namespace and goes to the default backend', () => {
    const rules = [{ host: 'x.example' }]
    const bare = world({ services: SERVICES, ingresses: [ingress('a/web', { rules })] })
    assert.equal(router(bare)('x.example/'), 'RouteNotFound')
    const resources = world({ services: SERVICES, ingresses: [ingress('a/web', { rules, defaultBackend: fallback })] })
    assert.equal(router(resources)('x.example/'), 'a/~ingress:web/default-backend')
  })

  test('its hostnames count for ownership, both ways', () => {
    const rules = hosts({ 'x.example': [path('/mine')] })
    const resources = world({
      services: SERVICES,
      ingresses: [
        ingress('a/first', { rules }, { created: 1_000 }),
        ingress('b/thief', { rules: hosts({ 'y.example': [path('/')] }) }, { created: 3_000 }),
      ],
      routes: [
        route('b/late', { hostnames: ['x.example'] }, { created: 2_000 }),
        route('a/owner', { hostnames: ['y.example'] }, { created: 2_000 }),
      ],
    })
    const result = compiled(resources)
    assert.equal(conditionsOf(result, 'b/late').Accepted, 'False/HostnameNotAllowed')
    assert.match(
      messageOf(result, 'b/late', 'Accepted'),
      /belongs to namespace a: its Ingress a\/first is older than Route b\/late;/,
    )
    assert.equal(conditionsOf(result, 'b/thief', 'Ingress').Accepted, 'False/HostnameNotAllowed')
    assert.match(
      messageOf(result, 'b/thief', 'Accepted', 'Ingress'),
      /its Route a\/owner is older than Ingress b\/thief;/,
    )
  })

  test('a solver of certificates may add its path to a host of its namespace', () => {
    const challenge = '/.well-known/acme-challenge/token'
    const rules = hosts({ 'x.example': [path(challenge, 'two', 'ImplementationSpecific')] })
    const resources = world({
      services: SERVICES,
      routes: [route('a/app', { hostnames: ['x.example'] }, { created: 1_000 })],
      ingresses: [ingress('a/cm-acme-http-solver-abcde', { rules }, { created: 2_000 })],
    })
    const to = router(resources)
    assert.equal(to(`x.example${challenge}`), 'a/ingress:cm-acme-http-solver-abcde:x.example/rule-0-path-0')
    assert.equal(to('x.example/'), 'a/app/main')
  })

  test('the class is the field, then the annotation, then the default', () => {
    const rules = hosts({ 'x.example': [path('/')] })
    const annotations = { 'kubernetes.io/ingress.class': 'other' }
    const served = (one: ServedResource<Ingress>, byDefault = true) =>
      router(
        world({
          settings: { ingressClass: { name: 'headgate', default: byDefault } },
          services: SERVICES,
          ingresses: [one],
        }),
      )('x.example/') !== 'HostNotFound'
    assert.equal(served(ingress('a/web', { rules })), true)
    assert.equal(served(ingress('a/web', { rules }), false), false)
    assert.equal(served(ingress('a/web', { rules, ingressClassName: 'headgate' }), false), true)
    assert.equal(served(ingress('a/web', { rules, ingressClassName: 'other' })), false)
    assert.equal(served(ingress('a/web', { rules }, { annotations })), false)
    assert.equal(served(ingress('a/web', { rules, ingressClassName: 'headgate' }, { annotations })), true)
    assert.equal(classOf(ingress('a/web', { rules }, { annotations }).object), 'other')
    const wrong = compiled(world({ ingresses: [ingress('a/web', { rules, ingressClassName: 'other' })] }))
    assert.equal(conditionsOf(wrong, 'a/web', 'Ingress').Accepted, 'False/WrongClass')
  })

  test('backends: Services by number and by name, Backends; other kinds are reported as unreachable', () => {
    const to = (backendOf: IngressPath['backend']): IngressPath => ({
      path: '/',
      pathType: 'Exact',
      backend: backendOf,
    })
    const one = (name: string, backendOf: IngressPath['backend']) =>
      ingress(`a/${name}`, { rules: hosts({ [`${name}.example`]: [to(backendOf)] }) })
    const result = compiled(
      world({
        services: SERVICES,
        backends: [backend('a/back', { endpoints: [{ address: '192.0.2.1', port: 80, weight: 1 }] })],
        ingresses: [
          one('number', { service: { name: 'one', port: { number: 80 } } }),
          one('name', { service: { name: 'one', port: { name: 'http' } } }),
          one('ours', { resource: { apiGroup: 'headgate.dev', kind: 'Backend', name: 'back' } }),
          one('bucket', { resource: { apiGroup: 'k8s.example.com', kind: 'StorageBucket', name: 'icons' } }),
          one('no-port', { service: { name: 'one', port: { name: 'nope' } } }),
          one('nothing', {}),
        ],
      }),
    )
    const target = (name: string) => result.snapshot.hosts.get(`${name}.example`)?.common?.rules[0]?.backends[0]
    assert.equal(target('number')?.backend, 'service:a/one:80')
    assert.equal(target('name')?.backend, 'service:a/one:http')
    assert.equal(target('ours')?.backend, 'a/back')
    for (const name of ['bucket', 'no-port', 'nothing']) assert.equal(target(name)?.refuse, 'BackendNotFound')
    const why = (name: string) => messageOf(result, `a/${name}`, 'ResolvedRefs', 'Ingress')
    assert.match(why('bucket'), /StorageBucket\.k8s\.example\.com\/icons cannot be reached; name a Service/)
    assert.match(why('no-port'), /has no TCP port nope/)
  })

  test('a change compiled on top of another is what a compile from scratch gives', () => {
    const first = world({
      services: SERVICES,
      ingresses: [ingress('a/web', { rules: hosts({ 'x.example': [path('/')] }) })],
    })
    const edits: Partial<Ingress['spec']>[] = [
      { rules: hosts({ 'y.example': [path('/')] }) },
      { rules: hosts({ 'y.example': [path('/')] }), defaultBackend: fallback },
      { rules: hosts({ 'y.example': [path('/')] }), defaultBackend: fallback, ingressClassName: 'other' },
      {},
    ]
    const memo = new CompileState()
    compiled(first, memo)
    for (const spec of edits) {
      const next = world({ services: SERVICES, ingresses: [ingress('a/web', spec)] })
      const later = compiled(next, memo)
      const fresh = compiled(next)
      assert.deepEqual(plain(later.snapshot.hosts), plain(fresh.snapshot.hosts))
      assert.deepEqual([...later.statuses.values()].sort(byKey), [...fresh.statuses.values()].sort(byKey))
    }
    assert.equal(compiled(world({ services: SERVICES }), memo).statuses.size, 0)
  })

  test('derived Routes can be distinguished from Route objects', () => {
    const one = ingress('a/web', { rules: hosts({ 'x.example': [path('/')] }), defaultBackend: fallback })
    for (const key of ingressRoutes(one).keys()) assert.equal(ingressOf(key), 'a/web')
    assert.equal(ingressRoutes(one), ingressRoutes(one))
    assert.equal(ingressOf('a/web'), undefined)
    assert.equal(nameOfRoute('a/~ingress:web:*'), 'Ingress a/web')
    assert.equal(nameOfRoute('a/web'), 'Route a/web')
  })

  test('what it refers to is listed once: Services with their backend ids, and Secrets', () => {
    const one = ingress('a/web', {
      rules: hosts({ 'x.example': [path('/'), path('/b', 'two')], 'y.example': [path('/')] }),
      tls: [{ hosts: ['x.example'], secretName: 'cert' }, { hosts: [], secretName: 'cert' }, { hosts: [] }],
    })
    const graph = new ReferenceGraph()
    graph.set('Ingress a/web', referencesOf('Ingress', 'a', one.object))
    const services = [...graph.targets('Service')].flatMap((service) =>
      [...graph.users('Service', service)].map((backend) => [service, keyOfNode(backend)]),
    )
    assert.deepEqual(services, [
      ['a/one', 'service:a/one:80'],
      ['a/two', 'service:a/two:80'],
    ])
    assert.deepEqual([...graph.targets('Secret')], ['a/cert'])
  })

  test('annotations of other controllers are reported, those of issuers and tools are not', () => {
    const annotations = {
      'nginx.ingress.kubernetes.io/rewrite-target': '/$1',
      'kubernetes.io/ingress.allow-http': 'false',
      'haproxy.org/timeout': '1s',
      'ingress.kubernetes.io/ssl-redirect': 'true',
      'kubernetes.io/ingress.class': 'headgate',
      'cert-manager.io/cluster-issuer': 'le',
      'external-dns.alpha.kubernetes.io/hostname': 'x.example',
      'kubectl.kubernetes.io/last-applied-configuration': '{}',
      plain: 'x',
    }
    const one = ingress('a/web', {}, { annotations }).object
    assert.deepEqual(foreignAnnotations(one), [
      'haproxy.org/timeout',
      'ingress.kubernetes.io/ssl-redirect',
      'kubernetes.io/ingress.allow-http',
      'nginx.ingress.kubernetes.io/rewrite-target',
    ])
    assert.deepEqual(
      ingressNotes(one).map(({ reason }) => reason),
      ['AnnotationsIgnored'],
    )
  })

  test('a path that looks like a pattern, and a certificate for a host without rules, are reported', () => {
    const rules = hosts({
      'x.example': [
        path('/foo(/|$)(.*)', 'one', 'ImplementationSpecific'),
        path('/ok/*', 'one', 'ImplementationSpecific'),
      ],
    })
    const one = ingress('a/web', { rules, tls: [{ hosts: ['elsewhere.example'] }] }).object
    const notes = ingressNotes(one)
    assert.deepEqual(
      notes.map(({ reason }) => reason),
      ['PathTakenLiterally', 'CertificateNotServed'],
    )
    assert.match(notes[0]!.message, /^\/foo\(\/\|\$\)\(\.\*\) is taken/)
  })

  test('its certificates are those of its hosts, by the entry that names them most closely', () => {
    const rules = hosts({
      'x.example': [path('/')],
      'y.example': [path('/')],
      'z.other': [path('/')],
      '*.example': [path('/')],
      'plain.test': [path('/')],
    })
    const entries = [
      { hosts: ['X.example'], secretName: 'x-rsa' },
      { hosts: ['x.example', 'plain.test'], secretName: 'x-ec' },
      { hosts: ['plain.test'] },
      { hosts: ['*.example'], secretName: 'wild' },
      { hosts: [], secretName: 'rest' },
    ]
    const certificatesOf = (tls: Ingress['spec']['tls']) => {
      const { snapshot } = compiled(world({ services: SERVICES, ingresses: [ingress('a/web', { rules, tls })] }))
      return Object.fromEntries(
        Array.from(snapshot.hosts, ([hostname, { tls: found }]) => [
          hostname,
          found?.certificates.map(({ secret }) => secret).join(),
        ]),
      )
    }
    assert.deepEqual(certificatesOf(entries), {
      'x.example': 'a/x-rsa,a/x-ec',
      'y.example': 'a/wild',
      '*.example': 'a/wild',
      'z.other': 'a/rest',
      'plain.test': 'a/x-ec',
    })
    assert.deepEqual(certificatesOf([{ hosts: ['*.example'], secretName: 'wild' }, { hosts: ['plain.test'] }]), {
      'x.example': 'a/wild',
      'y.example': 'a/wild',
      '*.example': 'a/wild',
      'z.other': undefined,
      'plain.test': '',
    })
  })

  test('redirects its hosts with TLS to https, but for the answers of a solver', () => {
    const rules = hosts({
      'x.example': [path('/'), path('/.well-known/acme-challenge/token', 'two', 'ImplementationSpecific')],
    })
    const web = ingress('a/web', { rules, tls: [{ hosts: ['x.example'], secretName: 'x' }] }, { created: 1 })
    const solver = ingress(
      'a/cm-acme-http-solver-1',
      { rules: hosts({ 'x.example': [path('/.well-known/acme-challenge/other', 'two', 'Exact')] }) },
      { created: 2 },
    )
    const { snapshot } = compiled(world({ services: SERVICES, ingresses: [web, solver] }))
    const { tls, matches } = snapshot.hosts.get('x.example')!
    assert.deepEqual(
      matches.map(({ path: { value }, rule }) => [value, httpModeOf(tls!, rule)]),
      [
        ['/.well-known/acme-challenge/other', 'Serve'],
        ['/.well-known/acme-challenge/token', 'Serve'],
        ['/', 'Redirect'],
      ],
    )
    assert.deepEqual(tls?.options, tlsOptions('TLSv1.2'))
  })

  test('its certificates may come later, be replaced and go, and their state is its own', () => {
    const web = ingress('a/web', {
      rules: hosts({ 'x.example': [path('/')] }),
      tls: [{ hosts: ['x.example'], secretName: 'x' }],
    })
    const memo = new CompileState()
    const at = (payloads: World['payloads'] = {}) => {
      const result = compiled(world({ services: SERVICES, ingresses: [web], payloads }), memo)
      const { ResolvedRefs, CertificatesValid } = conditionsOf(result, 'a/web', 'Ingress')
      return [ResolvedRefs, CertificatesValid]
    }
    const secret = (names: string[]): PayloadSummary => ({
      type: 'kubernetes.io/tls',
      keys: new Set(['tls.crt', 'tls.key']),
      refused: new Map(),
      secret: {
        validity: 'Valid',
        certificate: { names, commonNameOnly: false, selfSigned: false, notBefore: 0, notAfter: 0 },
      },
    })
    assert.deepEqual(at(), ['False/SecretNotFound', 'True/CertificatesValid'])
    assert.deepEqual(at({ 'Secret a/x': secret(['x.example']) }), ['True/ResolvedRefs', 'True/CertificatesValid'])
    assert.deepEqual(at({ 'Secret a/x': secret(['y.example']) }), ['True/ResolvedRefs', 'False/HostnameNotCovered'])
    assert.deepEqual(at(), ['False/SecretNotFound', 'True/CertificatesValid'])
  })

  test('certificates for hosts that no rule has, and more than a host may have, are reported', () => {
    const rules = hosts({ 'x.example': [path('/')], 'y.example': [path('/')] })
    const reasonsOf = (tls: Ingress['spec']['tls'], of = rules) =>
      ingressNotes(ingress('a/web', { rules: of, tls }).object).map(({ reason, message }) => `${reason}: ${message}`)
    assert.deepEqual(reasonsOf([{ hosts: ['x.example', '*.example'], secretName: 'x' }, { hosts: [] }]), [])
    const [unknown] = reasonsOf([{ hosts: ['x.example', 'z.example', '*.other'], secretName: 'x' }])
    assert.match(unknown!, /^CertificateNotServed: No certificate is served for \*\.other, z\.example: no rule/)
    const nobody = [{ http: { paths: [path('/')] } }]
    assert.match(reasonsOf([{ hosts: [], secretName: 'x' }], nobody)[0]!, /without hosts is for the hosts of the rules/)
    const many = Array.from({ length: 17 }, (_, i) => ({ hosts: ['x.example'], secretName: `s${i}` }))
    assert.match(reasonsOf(many)[0]!, /Only the first 16 certificates of x\.example are served/)
  })

  test('with as many entries of tls as it may have, it is translated in a moment', () => {
    const names = Array.from({ length: 2048 }, (_, i) => `h${i}.example`)
    const rules = names.flatMap((name) => hosts({ [name]: [path('/')] }))
    const tls = names.map((name, i) => ({ hosts: i % 2 === 0 ? [name, `*.${name}`] : [], secretName: `s${i}` }))
    const large = ingress('a/large', { rules, tls })
    const start = process.cpuUsage().user
    assert.equal(ingressRoutes(large).size, 2048)
    assert.ok(ingressNotes(large.object).length > 0)
    assert.ok(process.cpuUsage().user - start < 2_000_000, 'linear, not some seconds')
  })

  test('a path is served in the form in which clients send it', () => {
    const rules = hosts({
      'x.example': [path('/a b', 'one', 'Exact'), path('/café'), path('/[0]/*', 'one', 'ImplementationSpecific')],
    })
    const to = router(world({ services: SERVICES, ingresses: [ingress('a/web', { rules })] }))
    const rule = (j: number) => `a/ingress:web:x.example/rule-0-path-${j}`
    assert.equal(to('x.example/a%20b'), rule(0))
    assert.equal(to('x.example/caf%C3%A9/menu'), rule(1))
    assert.equal(to('x.example/%5B0%5D/x'), rule(2))
    assert.equal(to('x.example/other'), 'RouteNotFound')
  })

  test('a path that no request can have is reported with its location, and everything else is served', () => {
    const rules = hosts({
      'x.example': [path('/ok'), path('/a?b=1'), path('/c#d'), path('/100%'), path('/e\\f')],
      'y.example': [path('/a?b=1')],
    })
    const resources = world({ services: SERVICES, ingresses: [ingress('a/web', { rules })] })
    assert.equal(router(resources)('x.example/ok'), 'a/ingress:web:x.example/rule-0-path-0')
    assert.equal(router(resources)('y.example/a'), 'RouteNotFound', 'the host is its own all the same')
    const { notes = [], conditions, rules: served } = statusOf(compiled(resources), 'a/web', 'Ingress')
    assert.equal(served, 1)
    assert.equal(conditions.find(({ type }) => type === 'Accepted')?.status, 'True')
    assert.deepEqual(
      notes.map(({ reason }) => reason),
      ['PathNeverMatches'],
    )
    assert.deepEqual(notes[0]!.path, ['spec', 'rules', 0, 'http', 'paths', 1, 'path'])
    for (const text of [
      '/a?b=1: a "?" begins the query',
      '/c#d: a "#"',
      '/100%: a "%"',
      '/e\\f: requests with a backslash',
    ])
      assert.equal(notes[0]!.message.split(text).length, 2, `${text} once in ${notes[0]!.message}`)
  })

  test('an Ingress without a possible path reports that nothing of it is served', () => {
    const resources = world({
      services: SERVICES,
      ingresses: [ingress('a/web', { rules: hosts({ '': [path('/a?')] }) })],
    })
    assert.equal(conditionsOf(compiled(resources), 'a/web', 'Ingress').Accepted, 'False/NoRules')
  })

  test('what is wrong is one status of one object, whatever number of Routes it becomes', () => {
    const rules = hosts({
      'x.example': [path('/', 'gone')],
      'y.example': [path('/', 'gone')],
      'z.example': [path('/', 'gone')],
    })
    const one = ingress('a/web', { rules, defaultBackend: { service: { name: 'gone', port: { number: 80 } } } })
    const { statuses } = compiled(world({ ingresses: [one] }))
    assert.deepEqual(
      [...statuses.values()].map(({ kind, key }) => `${kind} ${key}`),
      ['Ingress a/web'],
    )
    assert.equal(
      messageOf(compiled(world({ ingresses: [one] })), 'a/web', 'ResolvedRefs', 'Ingress'),
      'rules rule-0-path-0, rule-1-path-0, rule-2-path-0, default-backend: there is no Service a/gone; create it or correct the name.',
    )
  })

  test('one of another class has no status, until its class becomes ours', () => {
    const annotations = { 'nginx.ingress.kubernetes.io/auth-url': 'x' }
    const at = (name: string) =>
      world({ services: SERVICES, settings: { ingressClass: { name, default: false } }, ingresses: [theirs] })
    const theirs = ingress(
      'a/web',
      { rules: hosts({ 'x.example': [path('/')] }), ingressClassName: 'other' },
      { annotations },
    )
    const memo = new CompileState()
    const notesOf = (name: string) => statusOf(compiled(at(name), memo), 'a/web', 'Ingress').notes?.length
    assert.deepEqual([notesOf('headgate'), notesOf('other'), notesOf('headgate')], [undefined, 1, undefined])
  })
})

suite('what is read of an Ingress', () => {
  const { properties, unread } = INGRESS_SCHEMA
  const check = compileSchema(
    { type: 'object', properties: { ...properties }, 'x-headgate-unread': unread },
    { unknown: 'warn' },
  )

  test('a manifest as people write it passes, and gets lists where it has none', () => {
    const spec = { defaultBackend: { service: { name: 'one', port: { number: 80 } } } }
    const { value, problems, warnings } = check({ spec, status: { loadBalancer: {} } })
    assert.deepEqual([problems, warnings], [[], []])
    assert.deepEqual((value as { spec: unknown }).spec, { ...spec, rules: [], tls: [] })
  })

  const bad: [name: string, spec: unknown][] = [
    ['a host in capitals', { rules: [{ host: 'X.example' }] }],
    ['a wildcard in the middle', { rules: [{ host: 'a.*.example' }] }],
    ['a path without slash', { rules: [{ http: { paths: [{ path: 'a', pathType: 'Exact', backend: {} }] } }] }],
    ['no path type', { rules: [{ http: { paths: [{ path: '/a', backend: {} }] } }] }],
    ['a port that is none', { defaultBackend: { service: { name: 'one', port: { number: 0 } } } }],
  ]
  for (const [name, spec] of bad)
    test(`${name} is refused`, () => {
      assert.ok(check({ spec }).problems.length > 0)
    })
})

function plain(hosts: ReadonlyMap<string, unknown>): unknown {
  return JSON.parse(JSON.stringify([...hosts].sort(([a], [b]) => (a < b ? -1 : 1))))
}

function byKey(a: { readonly key: string }, b: { readonly key: string }): number {
  return a.key < b.key ? -1 : 1
}
