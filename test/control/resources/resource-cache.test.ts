import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { Kind } from '../../../src/api/kinds.ts'
import type { SettingsObject } from '../../../src/api/settings.ts'
import { createValidator, type Validator } from '../../../src/api/validate.ts'
import { ResourceCache } from '../../../src/control/resources/resource-cache.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import type { LastGood } from '../../../src/thread/retained-state.ts'

const validator: Validator = createValidator(readSchemas())
const verdict = validator.checkSettings({})
assert.ok(verdict.ok)
const SETTINGS: SettingsObject = verdict.object

const API: Partial<Record<Kind, string>> = {
  Route: 'headgate.dev/v1alpha1',
  Backend: 'headgate.dev/v1alpha1',
  EndpointSlice: 'discovery.k8s.io/v1',
  Ingress: 'networking.k8s.io/v1',
}

type Fields = Record<string, unknown>

function upsert(kind: Kind, key: string, body: Fields, metadata: Fields = {}): SourceEvent {
  const [namespace, name] = key.split('/')
  const raw = { apiVersion: API[kind] ?? 'v1', kind, metadata: { name, namespace, ...metadata }, ...body }
  return { type: 'upsert', kind, key, raw, origin: { file: `${name}.yaml`, line: 1 } }
}

const OK = { respond: { statusCode: 200 } }
const JWT = { jwt: { issuer: 'https://id.example/', audiences: ['a'], keys: { jwksURI: 'ftp://id.example/keys' } } }
const routeOf = (spec: Fields, metadata?: Fields) => upsert('Route', 'a/r', { spec }, metadata)
const rules = (...list: Fields[]) => ({ rules: list.map((one) => ({ ...OK, ...one })) })
const SERVICE = { spec: { ports: [{ name: 'http', port: 80 }] } }
const sliceOf = (service: string, address: string): Fields => ({
  addressType: 'IPv4',
  endpoints: [{ addresses: [address] }],
  ports: [{ name: 'http', port: 8080 }],
  metadata: undefined,
  service,
})
const slice = (key: string, service: string, address: string) => {
  const { service: _, metadata: __, ...body } = sliceOf(service, address)
  return upsert('EndpointSlice', key, body, { labels: { 'kubernetes.io/service-name': service } })
}

function cache(lastGood: LastGood[] = []): ResourceCache {
  return new ResourceCache(validator, SETTINGS, lastGood)
}

function staleOf(it: ResourceCache) {
  return it.resources().routes.get('a/r')?.stale
}

suite('what a batch asks for', () => {
  test('an Ingress is as a Route: its class counts wherever it stands, its Services are followed, other annotations are not', () => {
    const it = cache()
    const spec = { defaultBackend: { service: { name: 'api', port: { number: 80 } } } }
    const ingress = (annotations: Record<string, string>) => upsert('Ingress', 'a/web', { spec }, { annotations })
    assert.equal(it.accept([ingress({})]), 'rebuild')
    assert.equal(it.resources().ingresses.size, 1)
    assert.equal(it.accept([upsert('Service', 'a/api', SERVICE)]), 'rebuild')
    assert.deepEqual(it.accept([slice('a/s', 'api', '10.0.0.1')]), { endpoints: ['service:a/api:80'] })
    assert.equal(it.accept([ingress({ 'cert-manager.io/issuer': 'x' })]), 'ignore')
    assert.equal(it.accept([ingress({ 'kubernetes.io/ingress.class': 'nginx' })]), 'rebuild')
    assert.equal(it.accept([ingress({ 'haproxy.org/timeout': '1s' })]), 'rebuild')
    assert.equal(it.accept([{ type: 'delete', kind: 'Ingress', key: 'a/web' }]), 'rebuild')
    assert.equal(it.accept([slice('a/s', 'api', '10.0.0.2')]), 'ignore')
  })

  test('a Route or Backend that comes, changes or goes asks for a rebuild', () => {
    const it = cache()
    assert.equal(it.accept([routeOf(rules({ name: 'x' }))]), 'rebuild')
    assert.equal(it.accept([routeOf(rules({ name: 'y' }))]), 'rebuild')
    assert.equal(it.accept([{ type: 'delete', kind: 'Route', key: 'a/r' }]), 'rebuild')
    assert.equal(it.accept([{ type: 'delete', kind: 'Route', key: 'a/r' }]), 'ignore')
    assert.equal(
      it.accept([upsert('Backend', 'a/b', { spec: { endpoints: [{ address: '10.0.0.1', port: 80 }] } })]),
      'rebuild',
    )
    assert.equal(it.resources().routes.size, 0)
    assert.equal(it.resources().backends.size, 1)
  })

  test('an equal version, or one that differs only in annotations or status, asks for nothing', () => {
    const it = cache()
    it.accept([routeOf(rules({ name: 'x' }), { generation: 1 })])
    const before = it.resources()
    assert.equal(
      it.accept([routeOf(rules({ name: 'x' }), { generation: 1, resourceVersion: '9', annotations: { a: 'b' } })]),
      'ignore',
    )
    assert.equal(it.resources(), before)
  })

  test('Services and EndpointSlices that nothing refers to ask for nothing, and are there when something does', () => {
    const it = cache()
    assert.equal(it.accept([upsert('Service', 'a/s', SERVICE), slice('a/s-1', 's', '10.0.0.1')]), 'ignore')
    assert.equal(it.resources().services.size, 1)
    assert.equal(it.resources().endpointSlices.get('a/s')?.size, 1)
  })

  test('an EndpointSlice of a referenced Service affects the endpoints of its users only', () => {
    const it = cache()
    it.accept([
      upsert('Service', 'a/s', SERVICE),
      upsert('Backend', 'a/b', { spec: { service: { name: 's', port: 80 } } }),
      upsert('Route', 'a/r', {
        spec: { rules: [{ name: 'x', backendRefs: [{ service: { name: 's', port: 'http' } }] }] },
      }),
    ])
    const ids = ['a/b', 'service:a/s:http']
    assert.deepEqual(it.accept([slice('a/s-1', 's', '10.0.0.1')]), { endpoints: ids })
    assert.equal(it.accept([slice('a/s-1', 's', '10.0.0.1')]), 'ignore')
    assert.deepEqual(it.accept([slice('a/s-1', 's', '10.0.0.2')]), { endpoints: ids })
    assert.equal(it.accept([slice('b/s-1', 's', '10.0.0.2')]), 'ignore', 'another namespace')
    assert.deepEqual(it.accept([slice('a/s-1', 'other', '10.0.0.2')]), { endpoints: ids }, 'it has left the Service')
    assert.equal(it.resources().endpointSlices.get('a/s'), undefined)
    it.accept([slice('a/s-1', 's', '10.0.0.2')])
    assert.deepEqual(it.accept([{ type: 'delete', kind: 'EndpointSlice', key: 'a/s-1' }]), { endpoints: ids })
    it.accept([{ type: 'delete', kind: 'Route', key: 'a/r' }])
    assert.deepEqual(it.accept([slice('a/s-1', 's', '10.0.0.3')]), { endpoints: ['a/b'] })
  })

  test('a used Service asks for a rebuild only when its spec changes', () => {
    const it = cache()
    it.accept([
      upsert('Service', 'a/s', SERVICE),
      upsert('Backend', 'a/b', { spec: { service: { name: 's', port: 80 } } }),
    ])
    assert.equal(it.accept([upsert('Service', 'a/s', SERVICE, { labels: { a: 'b' } })]), 'ignore')
    assert.equal(it.accept([upsert('Service', 'a/s', { spec: { ports: [{ name: 'http', port: 81 }] } })]), 'rebuild')
    assert.equal(it.accept([{ type: 'delete', kind: 'Service', key: 'a/s' }]), 'rebuild')
  })

  test('Secrets and ConfigMaps have no impact while nothing refers to them', () => {
    const it = cache()
    assert.equal(it.accept([upsert('Secret', 'a/s', { data: {} }), upsert('ConfigMap', 'a/c', { data: {} })]), 'ignore')
    assert.equal(it.resources().payloads.size, 2)
  })

  test('a batch asks for the most that one of its events asks for', () => {
    const it = cache()
    it.accept([
      upsert('Service', 'a/s', SERVICE),
      upsert('Backend', 'a/b', { spec: { service: { name: 's', port: 80 } } }),
    ])
    assert.equal(it.accept([slice('a/s-1', 's', '10.0.0.1'), routeOf(rules({ name: 'x' }))]), 'rebuild')
    assert.deepEqual(it.accept([upsert('Secret', 'a/s', {}), slice('a/s-1', 's', '10.0.0.2')]), { endpoints: ['a/b'] })
  })

  test('settings ask for a rebuild when they differ', () => {
    const it = cache()
    assert.equal(it.useSettings(structuredClone(SETTINGS)), 'ignore')
    const other = { ...SETTINGS, ingressClass: { name: 'other', default: true } }
    assert.equal(it.useSettings(other), 'rebuild')
    assert.equal(it.resources().settings, other)
  })
})

suite('objects that are not valid', () => {
  test('one that never was is refused, with every problem and where it stands', () => {
    const it = cache()
    assert.equal(it.accept([routeOf({ rules: [{ name: 'x', polices: {} }] }, { generation: 4 })]), 'rebuild')
    const refused = it.resources().rejected.get('Route a/r')
    assert.equal(refused?.generation, 4)
    assert.ok((refused?.problems.length ?? 0) > 0)
    assert.deepEqual(
      it.problems().map(({ kind, key, origin, stale }) => ({ kind, key, origin, stale })),
      [{ kind: 'Route', key: 'a/r', origin: { file: 'r.yaml', line: 1 }, stale: false }],
    )
    assert.equal(it.accept([routeOf(rules({ name: 'x' }))]), 'rebuild')
    assert.equal(it.resources().rejected.size, 0)
    assert.deepEqual(it.problems(), [])
  })

  test('the last good version of a changed one serves on until it is corrected', () => {
    const it = cache()
    it.accept([routeOf(rules({ name: 'x' }), { generation: 1, creationTimestamp: '2026-01-02T03:04:05Z' })])
    assert.equal(it.accept([routeOf({ rules: 7 }, { generation: 2 })]), 'rebuild')
    const served = it.resources().routes.get('a/r')
    assert.equal(served?.object.spec.rules[0]?.name, 'x')
    assert.equal(served?.stale?.generation, 2)
    assert.equal(served?.created, Date.parse('2026-01-02T03:04:05Z'))
    assert.equal(it.problems()[0]?.stale, true)
    assert.equal(it.accept([routeOf({ rules: 7 }, { generation: 2 })]), 'ignore', 'the same again')
    assert.equal(
      it.accept([routeOf(rules({ name: 'x' }), { generation: 3, creationTimestamp: '2026-01-02T03:04:05Z' })]),
      'rebuild',
    )
    assert.equal(staleOf(it), undefined)
  })

  test('a deleted one forgets its last good version', () => {
    const it = cache()
    it.accept([routeOf(rules({ name: 'x' }))])
    it.accept([{ type: 'delete', kind: 'Route', key: 'a/r' }])
    it.accept([routeOf({ rules: 7 })])
    assert.equal(it.resources().routes.size, 0)
    assert.equal(it.resources().rejected.size, 1)
  })

  test('the last good version of a Secret is not kept: its owner has replaced it', () => {
    const it = cache()
    it.accept([upsert('Secret', 'a/s', { data: { key: 'YQ==' } })])
    it.accept([upsert('Secret', 'a/s', { data: { key: '???' } })])
    assert.equal(it.resources().payloads.size, 0)
  })

  test('grants that an invalid edit withdraws are withdrawn', () => {
    const it = cache()
    const endpoints = [{ address: '10.0.0.1', port: 80 }]
    const back = (allowedNamespaces: unknown, more: Fields = {}) =>
      upsert('Backend', 'a/b', { spec: { endpoints, allowedNamespaces, ...more } })
    const allowed = () => it.resources().backends.get('a/b')?.object.spec.allowedNamespaces
    it.accept([back({ from: 'Names', names: ['b', 'c'] })])
    it.accept([back({ from: 'Names', names: ['c', 'd'] }, { typo: 1 })])
    assert.deepEqual(allowed(), { from: 'Names', names: ['c'] })
    it.accept([back({ from: 'Nobody' }, { typo: 1 })])
    assert.deepEqual(allowed(), { from: 'Same' })
    it.accept([back({ from: 'All' }, { typo: 1 })])
    assert.deepEqual(
      allowed(),
      { from: 'Names', names: ['b', 'c'] },
      'what was never granted by a valid version is not granted',
    )

    const entry = (name: string) => ({ namespaces: { from: 'Names', names: [name] }, pathPrefixes: ['/'] })
    const lead = (delegates: unknown, more: Fields = {}) =>
      routeOf({ hostnames: ['x.example'], delegates, ...rules({ name: 'x' }), ...more })
    it.accept([lead([entry('b'), entry('c')])])
    it.accept([lead([entry('c')], { typo: 1 })])
    const kept = it.resources().routes.get('a/r')?.object.spec.delegates
    assert.deepEqual(
      kept?.map((one) => one.namespaces.names),
      [['c']],
    )

    const https = (insecureSkipVerify: boolean, more: Fields = {}) =>
      upsert('Backend', 'a/tls', { spec: { endpoints, protocol: 'HTTPS', tls: { insecureSkipVerify }, ...more } })
    const lenient = () => it.resources().backends.get('a/tls')?.object.spec.tls?.insecureSkipVerify
    it.accept([https(true)])
    it.accept([https(true, { typo: 1 })])
    assert.equal(lenient(), true)
    it.accept([https(false, { typo: 1 })])
    assert.equal(lenient(), false, 'whoever wants certificates verified has them verified')
  })
})

suite('rules that a broken edit closes', () => {
  const served = rules({ name: 'x' }, { name: 'y' })
  const cases: [name: string, edit: Fields, closed: 'all' | string[]][] = [
    ['none when only something else is wrong', { ...served, typo: 1 }, []],
    ['the one that gets auth', rules({ name: 'x', policies: { auth: JWT } }, { name: 'y' }), ['x']],
    [
      'the one that gets authorization',
      {
        ...rules({ name: 'x' }, { name: 'y', policies: { authorization: [{ name: 'n', claim: 'c', in: ['v'] }] } }),
        typo: 1,
      },
      ['y'],
    ],
    [
      'the one that denies an address',
      { ...rules({ name: 'x' }, { name: 'y', policies: { access: { deny: ['10.0.0.0/8'] } } }), typo: 1 },
      ['y'],
    ],
    [
      'all when the Route lets pass some addresses alone',
      { ...served, policies: { access: { allow: ['10.0.0.0/8'] } }, typo: 1 },
      'all',
    ],
    ['none for access that asks nothing', { ...served, policies: { access: { allow: [], deny: [] } }, typo: 1 }, []],
    ['all when the Route gets auth', { ...served, policies: { auth: JWT } }, 'all'],
    ['all when the Route enforces auth', { ...served, policies: { enforced: { auth: JWT } } }, 'all'],
    [
      'the one whose auth stands under a mistyped name',
      rules({ name: 'x', polices: { auth: JWT } }, { name: 'y' }),
      ['x'],
    ],
    ['none for a rule that is new', rules({ name: 'x' }, { name: 'y' }, { name: 'new', policies: { auth: JWT } }), []],
    [
      'none for anonymous and for an empty list',
      { ...rules({ name: 'x', policies: { auth: { anonymous: {} }, authorization: [] } }), typo: 1 },
      [],
    ],
    ['all when the rule with auth has lost its name', { rules: [{ ...OK, name: 7, policies: { auth: JWT } }] }, 'all'],
    ['all when the rules are no list any more', { rules: { x: { policies: { auth: JWT } } } }, 'all'],
    ['none when nothing in the wreck speaks of auth', { rules: { x: {} } }, []],
  ]
  for (const [name, edit, closed] of cases)
    test(name, () => {
      const it = cache()
      it.accept([routeOf(served)])
      it.accept([routeOf(edit)])
      const rulesClosed = staleOf(it)?.closedRules
      assert.deepEqual(rulesClosed === 'all' ? 'all' : [...(rulesClosed ?? ['not stale'])], closed)
    })

  const first = { jwt: { ...JWT.jwt, keys: { publicKeySecretName: 'keys' } } }
  const second = { jwt: { ...first.jwt, issuer: 'https://second.example/' } }
  const only = (auth: unknown, more: Fields = {}) => ({
    ...served,
    policies: { auth: first },
    ...rules({ name: 'x', policies: { auth } }, { name: 'y' }),
    ...more,
  })
  const external = (more: Fields = {}) => ({ external: { backendRef: { name: 'authz' }, ...more } })
  const issuer = (clientsSecretName: string) => {
    const tokenIssuer = { issuer: 'https://a.example/t', signingKeySecretName: 'k', clientsSecretName }
    return { rules: [{ name: 'x', matches: [{ path: { value: '/t' } }], tokenIssuer }] }
  }
  const gold = (values: readonly string[]) => ({
    ...rules({ name: 'x', policies: { authorization: [{ name: 'tier', claim: 'tier', in: values }] } }, { name: 'y' }),
  })
  for (const [name, before, edit, closed] of [
    ['none when it lets pass whom it let pass', only({ anonymous: {} }), only({ anonymous: {} }, { typo: 1 }), []],
    ['the one that is not open to anybody any more', only({ anonymous: {} }), only(undefined, { typo: 1 }), ['x']],
    [
      'the one that may not be used without a credential any more',
      only({ anyOf: [first, { anonymous: {} }] }),
      only({ anyOf: [first, second] }, { typo: 1 }),
      ['x'],
    ],
    [
      'the one that withdraws an issuer',
      only({ anyOf: [first, second] }),
      only({ anyOf: [first] }, { typo: 1 }),
      ['x'],
    ],
    ['none when it gets an issuer', only({ anyOf: [first] }), only({ anyOf: [second, first] }, { typo: 1 }), []],
    [
      'the one whose service may not be down any more',
      only(external({ failOpen: true })),
      only(external(), { typo: 1 }),
      ['x'],
    ],
    ['none when it may be down', only(external()), only(external({ failOpen: true }), { typo: 1 }), []],
    ['the one that asks another service', only(external()), only(external({ path: '/other' }), { typo: 1 }), ['x']],
    ['none when it waits longer', only(external()), only(external({ timeout: '9s' }), { typo: 1 }), []],
    [
      'the one that wants other passwords',
      only({ basic: { secretName: 'a' } }),
      only({ basic: { secretName: 'b' } }, { typo: 1 }),
      ['x'],
    ],
    ['the one whose issuer has other clients', issuer('a'), { ...issuer('b'), typo: 1 }, ['x']],
    ['none when its issuer has the same', issuer('a'), { ...issuer('a'), typo: 1 }, []],
    ['the one that withdraws a claim', gold(['gold', 'tin']), { ...gold(['gold']), typo: 1 }, ['x']],
    ['none when it has the claims of before', gold(['gold']), { ...gold(['gold']), typo: 1 }, []],
  ] as const)
    test(name, () => {
      const it = cache()
      it.accept([routeOf(before as Fields)])
      assert.equal(staleOf(it), undefined, 'the first version is served')
      it.accept([routeOf(edit as Fields)])
      const rulesClosed = staleOf(it)?.closedRules
      assert.deepEqual(rulesClosed === 'all' ? 'all' : [...(rulesClosed ?? ['not stale'])], closed)
    })

  const clients = (more: Fields = {}) => ({
    ...served,
    hostnames: ['x.example'],
    tls: { clientCertificate: { caSecretName: 'ca', mode: 'Optional', ...more } },
  })
  for (const [name, before, edit, closed] of [
    ['all when the Route gets a client certificate', served, { ...clients(), typo: 1 }, 'all'],
    ['all when it would require one', clients(), { ...clients({ mode: 'Require' }), typo: 1 }, 'all'],
    ['all when it would by leaving out the mode', clients(), { ...clients({ mode: undefined }), typo: 1 }, 'all'],
    [
      'all when it gets a list of those that are revoked',
      clients(),
      { ...clients({ crlSecretName: 'crl' }), typo: 1 },
      'all',
    ],
    ['all when it trusts other authorities', clients(), { ...clients({ caSecretName: 'new' }), typo: 1 }, 'all'],
    ['all when the client certificate stands under a mistyped name', served, { ...served, tsl: clients().tls }, 'all'],
    ['all when nothing is under its name', served, { ...served, tls: { clientCertificate: null }, typo: 1 }, 'all'],
    ['none when it asks for as much as before', clients(), { ...clients(), typo: 1 }, []],
    ['none when it asks for less', clients({ mode: 'Require', crlSecretName: 'crl' }), { ...clients(), typo: 1 }, []],
    ['none when it is removed', clients(), { ...served, typo: 1 }, []],
  ] as const)
    test(name, () => {
      const it = cache()
      it.accept([routeOf(before as Fields)])
      assert.equal(staleOf(it), undefined, 'the first version is served')
      it.accept([routeOf(edit as Fields)])
      const rulesClosed = staleOf(it)?.closedRules
      assert.deepEqual(rulesClosed === 'all' ? 'all' : [...(rulesClosed ?? ['not stale'])], closed)
    })

  test('an edit that removes the auth again opens them, valid or not', () => {
    const it = cache()
    it.accept([routeOf(served)])
    it.accept([routeOf({ ...served, policies: { auth: JWT }, typo: 1 })])
    assert.equal(staleOf(it)?.closedRules, 'all')
    it.accept([routeOf({ ...served, typo: 1 })])
    assert.deepEqual(staleOf(it)?.closedRules, new Set())
  })

  test('nothing that can stand in a file makes it throw', () => {
    const it = cache()
    it.accept([routeOf(served)])
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('rules', 'policies', 'auth', 'delegates'), fc.jsonValue()), (spec) => {
        it.accept([routeOf(spec as Fields)])
        assert.ok(it.resources().routes.has('a/r'))
      }),
    )
  })
})

suite('last good versions of an earlier process', () => {
  const good = routeOf(rules({ name: 'x' }))
  const record: LastGood = { kind: 'Route', key: 'a/r', object: (good as SourceEvent & { type: 'upsert' }).raw }

  test('an object is kept when it becomes stale and given up when it is corrected or deleted', () => {
    const it = cache()
    it.accept([good])
    assert.deepEqual(it.lastGoodChanges(), [])
    it.accept([routeOf({ rules: 7 })])
    const [change, ...more] = it.lastGoodChanges()
    assert.deepEqual(more, [])
    assert.equal(change?.key, 'a/r')
    assert.equal(change?.object?.kind, 'Route')
    it.accept([good])
    assert.deepEqual(it.lastGoodChanges(), [{ kind: 'Route', key: 'a/r', object: undefined }])
    assert.deepEqual(it.lastGoodChanges(), [])
  })

  test('the stored version is served while the object is still invalid', () => {
    const it = cache([record])
    assert.equal(it.resources().routes.size, 0, 'not before the object is seen')
    it.accept([routeOf({ rules: 7, policies: { auth: JWT } })])
    assert.equal(it.resources().routes.get('a/r')?.object.spec.rules[0]?.name, 'x')
    assert.equal(staleOf(it)?.closedRules, 'all')
  })

  test('it is not that of an object that was deleted and created again unseen: with it the age would come back', () => {
    const old = routeOf(rules({ name: 'x' }), { uid: 'old', creationTimestamp: '2020-01-01T00:00:00Z' })
    const kept: LastGood = { ...record, object: (old as SourceEvent & { type: 'upsert' }).raw }
    const it = cache([kept])
    it.accept([routeOf({ rules: 7 }, { uid: 'new', creationTimestamp: '2026-01-01T00:00:00Z' })])
    assert.equal(it.resources().routes.size, 0)
    const same = cache([kept])
    same.accept([routeOf({ rules: 7 }, { uid: 'old', creationTimestamp: '2020-01-01T00:00:00Z' })])
    assert.equal(same.resources().routes.size, 1)
  })

  test('it is given up when the object is valid, gone, or does not pass the door of this version', () => {
    const gone = [{ kind: 'Route', key: 'a/r', object: undefined }]
    const valid = cache([record])
    valid.accept([routeOf(rules({ name: 'new' }))])
    assert.equal(staleOf(valid), undefined)
    assert.deepEqual(valid.lastGoodChanges(), gone)
    const deleted = cache([record])
    deleted.synced()
    assert.deepEqual(deleted.lastGoodChanges(), gone)
    // A record put into the state directory by somebody else speaks for no other object.
    const forged = cache([
      { ...record, object: (upsert('Route', 'b/r', { spec: rules({ name: 'x' }) }) as { raw?: unknown }).raw },
    ])
    forged.accept([routeOf({ rules: 7 })])
    assert.equal(forged.resources().routes.size, 0)
    const odd = cache([{ ...record, object: { kind: 'Route' } }])
    odd.accept([routeOf({ rules: 7 })])
    assert.equal(odd.resources().routes.size, 0)
  })
})
