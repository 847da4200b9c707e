import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KIND_NAMES, type Kind } from '../../src/api/kinds.ts'
import { type FieldProblem, formatPath } from '../../src/api/object.ts'
import { createValidator } from '../../src/api/validate.ts'
import { documents, validator } from './schemas.ts'

type Tree = Record<string, unknown>

function problemsOf(kind: Kind, raw: unknown): string[] {
  const result = validator.check(kind, raw)
  return result.ok ? [] : result.problems.map(({ path, reason }) => `${formatPath(path)} ${reason}`)
}

function accepted<K extends Kind>(kind: K, raw: unknown) {
  const result = validator.check(kind, raw)
  assert.ok(result.ok, JSON.stringify(result))
  return result
}

const metadata = { name: 'a', namespace: 'b' }
const route = (more: Tree = {}): Tree => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata,
  spec: { rules: [{ name: 'a', respond: {} }] },
  ...more,
})
const secret = (more: Tree): Tree => ({ apiVersion: 'v1', kind: 'Secret', metadata, ...more })

test('an object without namespace is in the default one', () => {
  assert.equal(accepted('Route', route({ metadata: { name: 'a' } })).object.metadata.namespace, 'default')
  assert.equal(accepted('Route', route()).object.metadata.namespace, 'b')
})

test('a Namespace that a source brings in no namespace is well', () => {
  const raw = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', namespace: '' } }
  assert.equal(validator.check('Namespace', raw).ok, true)
})

test('a Namespace is in none', () => {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'a' } } }
  const { object } = accepted('Namespace', namespace)
  assert.deepEqual(object.metadata, { name: 'shop', namespace: '', labels: { team: 'a' } })
  assert.deepEqual(problemsOf('Namespace', { ...namespace, metadata }), ['metadata.namespace Invalid'])
})

test('a wrong apiVersion or kind says what to write', () => {
  const result = validator.check('Route', route({ apiVersion: 'headgate.dev/v1', kind: 'route' }))
  assert.ok(!result.ok)
  assert.deepEqual(
    result.problems.map(({ message }) => /write \w+: [^;]+/.exec(message)?.[0]),
    ['write apiVersion: headgate.dev/v1alpha1', 'write kind: Route'],
  )
  assert.deepEqual(problemsOf('Route', route({ apiVersion: undefined, kind: null })), [
    'apiVersion Required',
    'kind Required',
  ])
  assert.deepEqual(problemsOf('Route', route({ apiVersion: 1 })), ['apiVersion Type'])
})

test('names that could be read as another key are refused', () => {
  for (const name of ['a/b', 'A', '', '-a', 'a-', '..', 'a_b', 'a b', 'a\u0000', 'ä', 'a'.repeat(254), 'a..b'])
    assert.deepEqual(
      problemsOf('Route', route({ metadata: { name, namespace: 'b' } })),
      ['metadata.name Invalid'],
      name,
    )
  for (const namespace of ['a/b', 'a.b', '', 'A', 'a'.repeat(64)])
    assert.deepEqual(problemsOf('Route', route({ metadata: { name: 'a', namespace } })), ['metadata.namespace Invalid'])
  assert.deepEqual(problemsOf('Route', route({ metadata: {} })), ['metadata.name Required'])
  assert.deepEqual(problemsOf('Route', route({ metadata: undefined })), ['metadata.name Required'])
})

test('labels and annotations are judged as an API server judges them', () => {
  const labels = { 'app.kubernetes.io/name': 'x', a: '', 'a b': 'x', b: '-', '/x': 'y', 'A.example/x': 'y' }
  assert.deepEqual(problemsOf('Route', route({ metadata: { ...metadata, labels } })), [
    'metadata.labels["a b"] Invalid',
    'metadata.labels.b Invalid',
    'metadata.labels["/x"] Invalid',
    'metadata.labels["A.example/x"] Invalid',
  ])
  const annotations = { 'a.example/Note': 'any text: {}', 'a b': '' }
  assert.deepEqual(problemsOf('Route', route({ metadata: { ...metadata, annotations } })), [
    'metadata.annotations["a b"] Invalid',
  ])
})

test('what an API server writes into metadata is taken or left', () => {
  const full = {
    ...metadata,
    uid: 'u',
    generation: 3,
    resourceVersion: '7',
    creationTimestamp: '2026-01-01T00:00:00Z',
    managedFields: [{}],
    finalizers: ['x'],
    ownerReferences: [{}],
  }
  const { object } = accepted('Route', route({ metadata: full, status: { anything: 1 } }))
  const { managedFields: _m, finalizers: _f, ownerReferences: _o, ...kept } = full
  assert.deepEqual(object.metadata, kept)
  assert.equal('status' in object, false)
  accepted('Route', route({ metadata: { ...metadata, creationTimestamp: null } }))
})

test('a Secret in plain text is folded into its data', () => {
  const { object } = accepted('Secret', secret({ data: { a: 'YQ==', b: 'Yg==' }, stringData: { b: 'ü' } }))
  assert.deepEqual(object.data, { a: 'YQ==', b: Buffer.from('ü').toString('base64') })
  assert.equal('stringData' in object, false)
  assert.equal(object.type, 'Opaque')
  assert.ok(Object.isFrozen(object.data))
})

test('no message shows what a Secret holds', () => {
  const canary = 'c4n4ry'
  for (const more of [
    { data: { a: `${canary}!` } },
    { data: { a: [canary] } },
    { stringData: { a: { b: canary } } },
    { data: canary },
  ]) {
    const result = validator.check('Secret', secret(more))
    assert.ok(!result.ok)
    assert.equal(JSON.stringify(result).includes(canary), false)
  }
})

test('Base64 may be broken into lines', () => {
  accepted('Secret', secret({ data: { a: 'YWFh\nYWFh\n' } }))
  assert.deepEqual(problemsOf('Secret', secret({ data: { a: 'YQ=', b: 'a b=', c: 'YQ==YQ==' } })), [
    'data.a Invalid',
    'data.b Invalid',
    'data.c Invalid',
  ])
})

test('a Service as an API server gives it is taken without a word', () => {
  const { object, warnings } = accepted('Service', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: {
      type: 'ClusterIP',
      clusterIP: '10.96.0.9',
      clusterIPs: ['10.96.0.9'],
      internalTrafficPolicy: 'Cluster',
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      selector: { app: 'a' },
      ports: [{ name: 'http', port: 80, targetPort: 'web', nodePort: 30_000 }],
    },
    status: { loadBalancer: { ingress: [{ ip: '198.51.100.7', ipMode: 'VIP', ports: [] }] }, conditions: [] },
  })
  assert.deepEqual(warnings, [])
  assert.deepEqual(object.status, { loadBalancer: { ingress: [{ ip: '198.51.100.7' }] } })
  assert.deepEqual(object.spec, {
    type: 'ClusterIP',
    clusterIP: '10.96.0.9',
    clusterIPs: ['10.96.0.9'],
    ipFamilies: ['IPv4'],
    selector: { app: 'a' },
    ports: [{ name: 'http', port: 80, targetPort: 'web', protocol: 'TCP', nodePort: 30_000 }],
    publishNotReadyAddresses: false,
  })
})

test('a field of a core kind that is not known is left out with a warning', () => {
  const { object, warnings } = accepted('Service', { apiVersion: 'v1', kind: 'Service', metadata, spec: { prots: [] } })
  assert.deepEqual(object.spec.ports, [])
  assert.deepEqual(
    warnings.map(({ path }) => formatPath(path)),
    ['spec.prots'],
  )
  assert.match(warnings[0]!.message, /did you mean "ports"\?$/)
})

test('an EndpointSlice of a wrong form is refused', () => {
  const slice = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata }
  assert.deepEqual(problemsOf('EndpointSlice', slice), ['addressType Required'])
  assert.deepEqual(
    problemsOf('EndpointSlice', {
      ...slice,
      addressType: 'IPv4',
      endpoints: [{}, { addresses: [] }, { addresses: [7] }],
    }),
    ['endpoints[0].addresses Required', 'endpoints[1].addresses Invalid', 'endpoints[2].addresses[0] Type'],
  )
  const conditions = { ready: true, serving: null, terminating: false }
  const { object } = accepted('EndpointSlice', {
    ...slice,
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'], conditions, targetRef: { kind: 'Pod', name: 'p' }, zone: 'a' }],
    ports: [{ name: '', port: 80 }],
  })
  assert.deepEqual(object.endpoints, [
    {
      addresses: ['10.0.0.1'],
      conditions: { ready: true, terminating: false },
      targetRef: { kind: 'Pod', name: 'p' },
      zone: 'a',
    },
  ])
  assert.deepEqual(object.ports, [{ name: '', port: 80, protocol: 'TCP' }])
})

test('what is no object is refused for every kind', () => {
  for (const kind of KIND_NAMES)
    for (const raw of [undefined, null, 1, 'a', [], true]) assert.deepEqual(problemsOf(kind, raw), [' Type'])
})

test('an empty settings file is all defaults', () => {
  const result = validator.checkSettings(null)
  assert.ok(result.ok)
  assert.deepEqual(result.object.listeners, [{ name: 'http', port: 8080 }])
  assert.deepEqual(result.object.ingressClass, { name: 'headgate', default: true })
  assert.deepEqual(result.object.limits, {
    head: '64Ki',
    headers: 100,
    uri: '16Ki',
    connections: 0,
    passes: 8,
    memory: 0,
    namespaceCost: 2_000_000,
  })
  assert.equal(result.object.admin.address, '127.0.0.1:9901')
})

test('a key without a state directory would seal nothing', () => {
  const alone = validator.checkSettings({ stateKeyFile: '/keys' })
  assert.match(alone.ok ? '' : alone.problems[0]!.message, /a key needs a stateDirectory/)
  assert.ok(validator.checkSettings({ stateKeyFile: '/keys', stateDirectory: '/state' }).ok)
})

test('grants of the settings name hosts, and hosts with ports, in one spelling', () => {
  const namespaces = { from: 'All' }
  const grants = (names: string[], hosts: string[]) =>
    validator.checkSettings({
      tenancy: 'Strict',
      hostnames: [{ namespaces, names }],
      hostnameHold: '2h',
      upstreams: { externalTargets: [{ namespaces, hosts }] },
    })
  const good = ['a.example:443', '*.b.example:80', '203.0.113.9:1', '[2001:db8::7]:65535', 'localhost:8080']
  assert.ok(grants(['*', '*.a.example', 'a.example'], good).ok)
  const bad = [
    'a.example',
    'A.example:1',
    '2001:db8::7:80',
    '*:443',
    'a.*.example:1',
    'https://a.example:443',
    'a.example:http',
    '10.0.0.0/8:80',
  ]
  const result = grants(['**', '*example', 'A.example', 'a.example.', 'a.example:80', ''], bad)
  assert.ok(!result.ok)
  assert.equal(result.problems.length, 6 + bad.length)
  for (const { message } of result.problems)
    assert.match(message, /a DNS name in lower case|a host and a port such as|may not be empty/)
})

test('settings are validated as objects are', () => {
  const result = validator.checkSettings({
    listners: [],
    listeners: [
      { name: 'http', port: 80 },
      { name: 'http', port: 81, address: 'localhost' },
    ],
    admin: { address: '9901' },
    signals: { address: '[::1]:9902' },
    clientAddress: { header: 'X-Forwarded-For', trustedCIDRs: ['10.0.0.0'] },
    accessLog: { fields: { agent: 'header:user-agent', other: 'env:HOME' } },
    policies: { defaults: { timeouts: { request: '30' } }, enforced: { compression: { algorithms: ['gzip'] } } },
    stateDirectory: '',
  })
  assert.ok(!result.ok)
  const found = result.problems.map(({ path, reason }: FieldProblem) => `${formatPath(path)} ${reason}`).sort()
  assert.deepEqual(found, [
    'accessLog.fields NotImplemented',
    'accessLog.fields.other Invalid',
    'admin.address Invalid',
    'clientAddress.trustedCIDRs[0] Invalid',
    'listeners[1] Duplicate',
    'listeners[1].address Invalid',
    'listners Unknown',
    'policies.defaults.timeouts.request Invalid',
    'policies.enforced.compression NotImplemented',
    'stateDirectory Invalid',
  ])
})

test('a port that there is not is refused where it stands', () => {
  const namespaces = { from: 'All' }
  const at = (port: string) =>
    validator.checkSettings({
      admin: { address: `127.0.0.1:${port}` },
      signals: { address: `:${port}` },
      peers: { address: `[::1]:${port}` },
      redis: { addresses: ['a:1', `b:${port}`] },
      upstreams: { externalTargets: [{ namespaces, hosts: [`a.example:${port}`] }] },
    })
  const all = [
    'admin.address',
    'peers.address',
    'redis.addresses[1]',
    'signals.address',
    'upstreams.externalTargets[0].hosts[0]',
  ]
  for (const port of ['65536', '65540', '65600', '66000', '70000', '99999']) {
    const result = at(port)
    const problems = result.ok ? [] : result.problems
    assert.deepEqual(problems.map(({ path }) => formatPath(path)).sort(), all, port)
    assert.ok(problems.every(({ message }) => message === 'the port is 65535 at most'))
  }
  for (const port of ['1', '6379', '9999', '10000', '60000', '65535']) assert.ok(at(port).ok, port)
  // To listen at it is to get one that is free.
  const zero = at('0')
  assert.deepEqual(zero.ok ? [] : zero.problems.map(({ path }) => formatPath(path)).sort(), [all[2], all[4]])
})

test('a mirror of the settings names the namespace of its Backend', () => {
  const of = (backendRef: object) => validator.checkSettings({ policies: { enforced: { mirror: { backendRef } } } })
  assert.ok(of({ name: 'shadow', namespace: 'ops' }).ok)
  for (const ref of [{ name: 'shadow' }, { service: { name: 'shadow', port: 80 } }]) {
    const result = of(ref)
    assert.deepEqual(result.ok ? [] : result.problems.map(({ path }) => formatPath(path)), [
      'policies.enforced.mirror.backendRef',
    ])
  }
})

test('the header with the client’s address is one in which proxies write it', () => {
  const of = (header: string) => validator.checkSettings({ clientAddress: { header, trustedCIDRs: ['10.0.0.0/8'] } })
  for (const header of ['X-Forwarded-For', 'Forwarded', 'True-Client-IP', 'x-real-ip', 'X-Original-Forwarded-For'])
    assert.ok(of(header).ok, header)
  // It is taken out of the requests of everybody who is not trusted.
  for (const header of ['Host', 'cookie', 'Content-Length', 'X-Forwarded-PROTO', 'X-Request-ID', 'authorization']) {
    const result = of(header)
    assert.ok(!result.ok, header)
    assert.deepEqual(
      result.problems.map(({ path }) => formatPath(path)),
      ['clientAddress.header'],
    )
  }
})

test('a document that is not what it should be is the caller’s mistake', () => {
  assert.throws(() => createValidator({ ...documents, route: documents.backend }), TypeError)
  assert.throws(() => createValidator({ ...documents, backend: {} }), TypeError)
})

test('a token of a session is in no header that frames a message, and a range of statuses goes upwards', () => {
  const problems = (fields: object) =>
    problemsOf('Backend', {
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Backend',
      metadata,
      spec: { endpoints: [{ address: '10.0.0.1', port: 80 }], ...fields },
    })
  const byHeader = (name: string) => problems({ sessionAffinity: { header: { name } } })
  for (const name of [
    'Content-Length',
    'transfer-encoding',
    'Connection',
    'host',
    'X-Forwarded-For',
    'set-cookie',
    'Date',
  ])
    assert.deepEqual(byHeader(name), ['spec.sessionAffinity.header.name Invalid'], name)
  for (const name of ['X-Session', 'x-host', 'dates']) assert.deepEqual(byHeader(name), [], name)
  const byCodes = (...codes: string[]) => problems({ healthCheck: { active: { codes } } })
  assert.deepEqual(byCodes('200', '204-204', '200-399'), [])
  assert.deepEqual(byCodes('200', '299-200'), ['spec.healthCheck.active.codes Invalid'])
})

test('keys of an issuer are those of a rule of the same Route, wherever they are stated', () => {
  const jwt = (issuer: string, issuerRule: string) => ({ jwt: { issuer, audiences: ['a'], keys: { issuerRule } } })
  const tokenIssuer = { issuer: 'https://a.example/t', signingKeySecretName: 'signers', clientsSecretName: 'c' }
  const routeOf = (auth: object, more: object = {}) => ({
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata,
    spec: {
      rules: [
        { name: 'token', tokenIssuer },
        { name: 'a', policies: { auth }, respond: {} },
      ],
      ...more,
    },
  })
  const at = 'spec.rules[1].policies.auth'
  const good = jwt(tokenIssuer.issuer, 'token')
  assert.deepEqual(problemsOf('Route', routeOf(good)), [])
  assert.deepEqual(problemsOf('Route', routeOf({ anyOf: [{ anonymous: {} }, good] })), [])
  assert.deepEqual(problemsOf('Route', routeOf(jwt(tokenIssuer.issuer, 'a'))), [`${at}.jwt.keys.issuerRule Invalid`])
  assert.deepEqual(problemsOf('Route', routeOf(jwt(tokenIssuer.issuer, 'other'))), [
    `${at}.jwt.keys.issuerRule Invalid`,
  ])
  assert.deepEqual(problemsOf('Route', routeOf({ anyOf: [jwt('https://b.example', 'token')] })), [
    `${at}.anyOf[0].jwt.issuer Invalid`,
  ])
  const enforced = { policies: { enforced: { auth: jwt(tokenIssuer.issuer, 'none') } } }
  assert.deepEqual(problemsOf('Route', routeOf(good, enforced)), [
    'spec.policies.enforced.auth.jwt.keys.issuerRule Invalid',
  ])
})

test('the address of a key set has no user, no password and no fragment', () => {
  const problems = (jwksURI: string) =>
    problemsOf('Route', {
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Route',
      metadata,
      spec: {
        rules: [
          { name: 'a', policies: { auth: { jwt: { issuer: 'a', audiences: ['a'], keys: { jwksURI } } } }, respond: {} },
        ],
      },
    })
  assert.deepEqual(problems('https://id.example/jwks?x=1'), [])
  for (const address of ['https://u:p@id.example/', 'https://id.example/#a', 'https://', 'http://a:0/', 'ftp://a/'])
    assert.deepEqual(problems(address), ['spec.rules[0].policies.auth.jwt.keys.jwksURI Invalid'], address)
})
