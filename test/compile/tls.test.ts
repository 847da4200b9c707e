import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import type { RouteSpec, RouteTls } from '../../src/api/route.ts'
import type { SettingsObject } from '../../src/api/settings.ts'
import { CompileState } from '../../src/compile/compile-state.ts'
import type { PayloadSummary, ResourceSet, SecretSummary } from '../../src/compile/resource-set.ts'
import { findHost, tlsOf } from '../../src/routing/find-host.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import type { HostTls } from '../../src/snapshot/host-tls.ts'
import { Packer } from '../../src/snapshot/pack.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import { backend, compiled, conditionsOf, messageOf, type Rules, route, statusOf, type World, world } from './world.ts'

type Statement = Partial<Omit<RouteTls, 'certificates'>> & { readonly secrets?: readonly string[] }

const tls = ({ secrets, ...more }: Statement = {}): RouteTls => ({
  mode: 'Terminate',
  http: 'Redirect',
  minVersion: 'TLS1.2',
  ...(secrets && {
    certificates: secrets.map((secret) => {
      const [name, namespace] = secret.split('/').toReversed() as [string, string | undefined]
      return { secretName: name, ...(namespace && { namespace }) }
    }),
  }),
  ...more,
})

const stating = (key: string, hostname: string, created: number, statement?: Statement, rules?: Rules) =>
  route(key, { hostnames: [hostname], ...(statement && { tls: tls(statement) }), ...(rules && { rules }) }, { created })

const effective = (resources: ResourceSet, hostname: string): HostTls | undefined =>
  compiled(resources).snapshot.hosts.get(hostname)?.tls
const secretsOf = (resources: ResourceSet, hostname: string): readonly string[] | undefined =>
  effective(resources, hostname)?.certificates.map(({ secret }) => secret)

const mutual: Statement = {
  secrets: ['tls'],
  clientCertificate: { caSecretName: 'ca', crlSecretName: 'crl', mode: 'Require' },
}

suite('TLS of a hostname', () => {
  test('has every unit resolved, and names Secrets by their contents', () => {
    const statement: Statement = {
      ...mutual,
      secrets: ['rsa', 'certs/wild'],
      minVersion: 'TLS1.3',
      hsts: { maxAge: '365d', includeSubDomains: true, preload: true },
    }
    const { key, options, ...rest } = effective(
      world({ routes: [stating('a/r', 'x.example', 1, statement)] }),
      'x.example',
    )!
    assert.match(key, /^[0-9a-f]{32}$/)
    assert.deepEqual(rest, {
      namespace: 'a',
      mode: 'Terminate',
      certificates: [
        {
          secret: 'a/rsa',
          chain: 'Secret a/rsa tls.crt kubernetes.io/tls',
          key: 'Secret a/rsa tls.key kubernetes.io/tls',
          ocsp: 'Secret a/rsa tls.ocsp-staple kubernetes.io/tls',
        },
        {
          secret: 'certs/wild',
          chain: 'Secret certs/wild tls.crt kubernetes.io/tls a',
          key: 'Secret certs/wild tls.key kubernetes.io/tls a',
          ocsp: 'Secret certs/wild tls.ocsp-staple kubernetes.io/tls a',
        },
      ],
      http: 'Redirect',
      hsts: 'max-age=31536000; includeSubDomains; preload',
    })
    const { key: optionsKey, ...negotiated } = options
    assert.ok(optionsKey.length > 0)
    assert.deepEqual(negotiated, {
      minVersion: 'TLSv1.3',
      clientCertificate: {
        mode: 'Require',
        ca: 'Secret a/ca ca.crt headgate.dev/ca',
        crl: 'Secret a/crl ca.crl headgate.dev/crl',
      },
    })
  })

  test('is equal for equal statements, and its options are the same whatever the certificates', () => {
    const of = (statement: Statement) =>
      effective(world({ routes: [stating('a/r', 'x.example', 1, statement)] }), 'x.example')!
    assert.equal(of({ secrets: ['one'] }).key, of({ secrets: ['one'] }).key)
    assert.notEqual(of({ secrets: ['one'] }).key, of({ secrets: ['two'] }).key)
    assert.equal(of({ secrets: ['one'] }).options.key, of({ secrets: ['two'] }).options.key)
    assert.notEqual(of({}).options.key, of({ minVersion: 'TLS1.3' }).options.key)
    assert.notEqual(of({}).options.key, of(mutual).options.key)
  })

  test('comes from the oldest Route with tls of the namespace that owns the hostname', () => {
    const routes = [
      stating('a/first', 'x.example', 1),
      stating('a/second', 'x.example', 2, { secrets: ['second'] }),
      stating('a/third', 'x.example', 3, { secrets: ['third'] }),
      stating('b/older', 'x.example', 4, { secrets: ['stolen'] }),
    ]
    const resources = world({ routes })
    assert.deepEqual(secretsOf(resources, 'x.example'), ['a/second'])
    const result = compiled(resources)
    assert.equal(conditionsOf(result, 'a/first').PartiallyInvalid, 'False/AllValid')
    assert.equal(conditionsOf(result, 'a/third').PartiallyInvalid, 'True/Conflicted')
    assert.match(
      messageOf(result, 'a/third', 'PartiallyInvalid'),
      /tls of x\.example is that of Route a\/second, which is older than Route a\/third; remove tls here, or state the same there\./,
    )
    assert.equal(conditionsOf(result, 'b/older').Accepted, 'False/HostnameNotAllowed')
  })

  test('is stated by two Routes without a conflict where they state the same', () => {
    const routes = [
      stating('a/first', 'x.example', 1, { secrets: ['one'] }),
      stating('a/second', 'x.example', 2, { secrets: ['one'] }, { other: { matches: [{ method: 'PUT' }] } }),
    ]
    assert.equal(conditionsOf(compiled(world({ routes })), 'a/second').PartiallyInvalid, 'False/AllValid')
  })

  test('is not that of a delegate, which is told so', () => {
    const delegates = [{ namespaces: { from: 'Names' as const, names: ['b'] }, pathPrefixes: ['/'] }]
    const owner = route('a/owner', { hostnames: ['*.example'], delegates, tls: tls(mutual) }, { created: 2 })
    for (const hostname of ['*.example', 'x.example']) {
      const routes = [owner, stating('b/guest', hostname, 1_000, { secrets: ['weak'], http: 'Serve' }, { r: {} })]
      const resources = world({ routes })
      assert.deepEqual(secretsOf(resources, hostname), ['a/tls'], hostname)
      assert.equal(effective(resources, hostname)!.options.clientCertificate?.mode, 'Require')
      const result = compiled(resources)
      assert.equal(
        conditionsOf(result, 'b/guest').PartiallyInvalid,
        hostname === 'x.example' ? 'True/TLSNotAllowed' : 'True/Conflicted',
      )
      const message = messageOf(result, 'b/guest', 'PartiallyInvalid')
      assert.match(message, /tls of .*example is for namespace a to state, which owns it; remove tls here/)
    }
  })

  test('is inherited from the most specific wildcard that the same namespace owns', () => {
    const routes = [
      stating('a/wide', '*.example', 1, { secrets: ['wide'] }),
      stating('a/narrow', '*.shop.example', 2, { secrets: ['narrow'] }),
      stating('a/plain', '*.eu.shop.example', 3),
      stating('a/exact', 'x.eu.shop.example', 4),
      stating('a/own', 'y.eu.shop.example', 5, { secrets: ['own'] }),
      stating('a/other', 'x.other.example', 6),
    ]
    const resources = world({ routes })
    assert.deepEqual(secretsOf(resources, 'x.eu.shop.example'), ['a/narrow'])
    assert.deepEqual(secretsOf(resources, '*.eu.shop.example'), ['a/narrow'])
    assert.deepEqual(secretsOf(resources, 'y.eu.shop.example'), ['a/own'])
    assert.deepEqual(secretsOf(resources, 'x.other.example'), ['a/wide'])
    for (const { key } of routes)
      assert.equal(conditionsOf(compiled(resources), key).PartiallyInvalid, 'False/AllValid', key)
  })

  test('is not inherited from a wildcard of another namespace', () => {
    const routes = [stating('a/exact', 'x.example', 1), stating('b/wild', '*.example', 2, { secrets: ['theirs'] })]
    assert.equal(effective(world({ routes }), 'x.example'), undefined)
  })

  test('demands the client certificate of a wildcard under whatever is added below it without tls', () => {
    const delegates = [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/'] }]
    const owner = route('a/owner', { hostnames: ['*.example'], delegates, tls: tls(mutual) }, { created: 1 })
    const anybody = fc.record({
      namespace: fc.constantFrom('a', 'b', 'c'),
      hostname: fc.constantFrom('*.example', 'x.example', '*.x.example', 'y.x.example'),
      tls: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(anybody, { maxLength: 8 }), (added) => {
        const routes = added.map(({ namespace, hostname, tls: states }, i) =>
          stating(
            `${namespace}/r${i}`,
            hostname,
            2 + i,
            states && namespace !== 'a' ? { secrets: ['weak'] } : undefined,
          ),
        )
        const { snapshot } = compiled(world({ routes: [owner, ...routes] }))
        for (const [hostname, host] of snapshot.hosts)
          assert.equal(host.tls?.options.clientCertificate?.mode, 'Require', hostname)
      }),
    )
  })

  test('of hosts that nobody names is none', () => {
    const routes = [route('a/all', {})]
    assert.equal(effective(world({ routes }), '*'), undefined)
  })

  test('is that of a namespace with a grant alone, in Strict', () => {
    const routes = [
      stating('b/older', 'x.example', 1, { secrets: ['stolen'] }),
      stating('a/owner', 'x.example', 2, { secrets: ['mine'] }),
    ]
    const hostnames = [{ namespaces: { from: 'Names' as const, names: ['a'] }, names: ['*.example'] }]
    const resources = world({ settings: { tenancy: 'Strict', hostnames }, routes })
    assert.deepEqual(secretsOf(resources, 'x.example'), ['a/mine'])
    const without = world({ settings: { tenancy: 'Strict', hostnames: [] }, routes })
    assert.equal(effective(without, 'x.example'), undefined)
  })

  test('goes with the Route that states it, and with the settings that do not serve its class', () => {
    const first = stating('a/first', 'x.example', 1, { secrets: ['first'] })
    const second = stating('a/second', 'x.example', 2, { secrets: ['second'] })
    const memo = new CompileState()
    const now = (parts: World) =>
      compiled(world(parts), memo).snapshot.hosts.get('x.example')?.tls?.certificates[0]?.secret
    assert.equal(now({ routes: [first, second] }), 'a/first')
    const foreign = { ...first, object: { ...first.object, spec: { ...first.object.spec, ingressClassName: 'x' } } }
    assert.equal(now({ routes: [foreign, second] }), 'a/second')
    assert.equal(now({ routes: [first, second] }), 'a/first')
    assert.equal(now({ routes: [second] }), 'a/second')
    assert.equal(now({ routes: [] }), undefined)
  })

  test('is the same after any changes as when compiled at once', () => {
    const any = fc.record({
      key: fc.constantFrom('a/1', 'a/2', 'a/3', 'b/1', 'b/2'),
      hostname: fc.constantFrom('*.example', 'x.example', '*.x.example', 'y.x.example'),
      statement: fc.option(
        fc.constantFrom<Statement>({ secrets: ['one'] }, { secrets: ['two'] }, mutual, { mode: 'Passthrough' }),
        { nil: undefined },
      ),
      created: fc.integer({ min: 1, max: 3 }),
      delegated: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(fc.array(any, { maxLength: 5 }), { maxLength: 5 }), (generations) => {
        const memo = new CompileState()
        for (const routes of generations) {
          const objects = new Map(
            routes.map(({ key, hostname, statement, created, delegated }) => {
              const delegates = delegated ? [{ namespaces: { from: 'All' as const }, pathPrefixes: ['/'] }] : []
              const spec = { hostnames: [hostname], delegates, ...(statement && { tls: tls(statement) }) }
              return [key, route(key, { ...spec, rules: { r: { backendRefs: [REF] } } }, { created })] as const
            }),
          )
          const resources = world({
            routes: [...objects.values()],
            backends: [backend('a/up', {}), backend('b/up', {})],
          })
          const step = compiled(resources, memo)
          const fresh = compiled(resources)
          const plain = (of: typeof step) =>
            Array.from(of.snapshot.hosts, ([hostname, { tls: found, common, own }]) => ({
              hostname,
              tls: found,
              passed: [common, ...own].map(
                (layer) => layer && layer.passthrough !== undefined && layer.rules[layer.passthrough],
              ),
            })).sort((a, b) => (a.hostname < b.hostname ? -1 : 1))
          assert.deepEqual(plain(step), plain(fresh))
          const statuses = (of: typeof step) => [...of.statuses.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
          assert.deepEqual(statuses(step), statuses(fresh))
        }
      }),
      { numRuns: 200 },
    )
  })
})

const REF = { name: 'up', weight: 1, priority: 0 }

suite('connections that are passed through', () => {
  const passing = (listeners?: string[]) =>
    route('a/db', {
      hostnames: ['*.db.example'],
      ...(listeners && { listeners }),
      tls: tls({ mode: 'Passthrough', http: 'Closed' }),
      rules: { first: { backendRefs: [REF] }, second: { respond: { statusCode: 200 }, matches: [{ method: 'PUT' }] } },
    })
  const backends = [backend('a/up', { endpoints: [{ address: '192.0.2.1', port: 5432, weight: 1 }] })]

  test('go to the first rule of the Route that says so, also on hostnames below its wildcard', () => {
    const routes = [passing(), stating('a/one', 'one.db.example', 9)]
    const packed = new Packer(() => 0.5).pack(compiled(world({ routes, backends })).snapshot)
    const all: (HostTls | null)[] = []
    for (const { index, tls: one } of packed.hostTls) all[index] = one
    const tables = new RouteTables(packed.tables, undefined, undefined, all)
    const http = new FrontendHandle('http')
    for (const hostname of ['x.db.example', 'one.db.example']) {
      assert.equal(tlsOf(tables, http, hostname)?.mode, 'Passthrough')
      const rule = tables.passthroughRule(findHost(tables, tables.frontend(http), hostname)!)
      assert.equal(rule?.key, 'a/db/first')
      assert.equal(rule?.backends[0]?.backendIndex, 0)
    }
  })

  test('follow an edit of that rule on all of these hostnames', () => {
    const memo = new CompileState()
    const backendsOf = (weight: number) => {
      const edited = route('a/db', {
        hostnames: ['*.db.example'],
        tls: tls({ mode: 'Passthrough' }),
        rules: { first: { backendRefs: [{ ...REF, weight }] } },
      })
      const { snapshot } = compiled(world({ routes: [edited, stating('a/one', 'one.db.example', 9)], backends }), memo)
      const { common } = snapshot.hosts.get('one.db.example')!
      return common!.rules[common!.passthrough!]!.backends[0]!.weight
    }
    assert.deepEqual([1, 7, 3].map(backendsOf), [1, 7, 3])
  })

  test('go there on the listeners of that Route alone', () => {
    const { snapshot } = compiled(world({ routes: [passing(['https'])], backends }))
    const { common, own, partition } = snapshot.hosts.get('*.db.example')!
    assert.equal(common!.passthrough, undefined)
    assert.deepEqual(
      partition.groups.map(({ names }) => names),
      [['https']],
    )
    assert.equal(own[0]!.rules[own[0]!.passthrough!]!.rule, 'first')
  })

  test('are never shared by two Routes, of which the younger is told so', () => {
    const younger = route('a/z', {
      hostnames: ['*.db.example'],
      tls: tls({ mode: 'Passthrough', http: 'Closed' }),
      rules: { mine: { backendRefs: [REF], matches: [{ method: 'GET' }] } },
    })
    const result = compiled(world({ routes: [passing(), younger], backends }))
    assert.equal(conditionsOf(result, 'a/z').PartiallyInvalid, 'True/Conflicted')
    assert.match(messageOf(result, 'a/z', 'PartiallyInvalid'), /tls of \*\.db\.example is that of Route a\/db/)
    assert.equal(conditionsOf(result, 'a/db').CertificatesValid, undefined)
  })
})

const secret = (facts: SecretSummary, more: Partial<PayloadSummary> = {}): PayloadSummary => ({
  type: 'kubernetes.io/tls',
  keys: new Set(['tls.crt', 'tls.key']),
  refused: new Map(),
  secret: facts,
  ...more,
})

const named = (names: readonly string[], more: Partial<SecretSummary> = {}): SecretSummary => ({
  validity: 'Valid',
  notBefore: Date.UTC(2026, 0, 1),
  notAfter: Date.UTC(2027, 0, 1),
  certificate: { names, commonNameOnly: false, selfSigned: false, notBefore: 0, notAfter: 0 },
  ...more,
})

suite('the certificates of a Route', () => {
  const one = stating('a/r', 'x.example', 1, { secrets: ['tls'] })
  const conditions = (summary: PayloadSummary | undefined, routes = [one], key = 'a/r') => {
    const result = compiled(world({ routes, payloads: summary === undefined ? {} : { 'Secret a/tls': summary } }))
    const { ResolvedRefs, CertificatesValid, Ready } = conditionsOf(result, key)
    const message = (type: string) => messageOf(result, key, type)
    return { ResolvedRefs, CertificatesValid, Ready, message }
  }

  test('are well when they name the hostname and are in their time', () => {
    const { ResolvedRefs, CertificatesValid } = conditions(secret(named(['x.example'])))
    assert.deepEqual([ResolvedRefs, CertificatesValid], ['True/ResolvedRefs', 'True/CertificatesValid'])
  })

  test('are told of where they are missing, of another type, incomplete or broken', () => {
    for (const [summary, reason, message] of [
      [undefined, 'SecretNotFound', /there is no Secret a\/tls/],
      [secret(named([]), { type: 'Opaque' }), 'SecretTypeNotAllowed', /of type Opaque/],
      [secret({ fault: 'x' }, { keys: new Set(['tls.crt']) }), 'KeyNotFound', /has no key tls\.key; add it/],
      [secret({ fault: 'it is half' }), 'CertificateInvalid', /Secret a\/tls cannot be used: it is half\.$/],
      [
        secret(named(['x.example'], { fault: 'it is half' })),
        'CertificateInvalid',
        /it is half \(the version before is used until then\)/,
      ],
    ] as const) {
      const found = conditions(summary)
      assert.equal(found.ResolvedRefs, `False/${reason}`)
      assert.match(found.message('ResolvedRefs'), message)
    }
  })

  test('are told of where clients refuse them', () => {
    const bare = named([], { certificate: { ...named([]).certificate!, commonNameOnly: true } })
    for (const [summary, reason, message] of [
      [
        named(['x.example'], { validity: 'Expired' }),
        'CertificateExpired',
        /in Secret a\/tls ended on 2027-01-01T00:00:00Z; renew it/,
      ],
      [named(['x.example'], { validity: 'NotYetValid' }), 'CertificateNotYetValid', /begins on 2026-01-01T00:00:00Z/],
      [
        named(['y.example', 'z.example']),
        'HostnameNotCovered',
        /is for y\.example, z\.example, so clients refuse it for x\.example; have it issued for that name/,
      ],
      [named(['*.x.example']), 'HostnameNotCovered', /is for \*\.x\.example/],
      [bare, 'HostnameNotCovered', /has no subject alternative name, and clients do not read its common name/],
    ] as const) {
      const found = conditions(secret(summary))
      assert.equal(found.CertificatesValid, `False/${reason}`)
      assert.equal(found.Ready, `False/${reason}`)
      assert.match(found.message('CertificatesValid'), message)
    }
  })

  test('end soon without being unwell until then', () => {
    const found = conditions(secret(named(['x.example'], { validity: 'ExpiresSoon' })))
    assert.equal(found.CertificatesValid, 'True/ExpiresSoon')
    assert.match(found.message('CertificatesValid'), /ends on 2027-01-01T00:00:00Z; renew it/)
  })

  test('say how a chain was put in order', () => {
    const remark = 'one certificate is no part of it'
    const summary = named(['x.example'], { certificate: { ...named(['x.example']).certificate!, remark } })
    assert.match(
      conditions(secret(summary)).message('CertificatesValid'),
      /Secret a\/tls: one certificate is no part of it\./,
    )
  })

  test('of a wildcard are looked at for the hostnames that inherit them, too', () => {
    const routes = [stating('a/wild', '*.example', 1, { secrets: ['tls'] }), stating('a/deep', 'a.b.example', 2)]
    const found = (key: string) => conditions(secret(named(['*.example'])), routes, key)
    assert.equal(found('a/wild').CertificatesValid, 'True/CertificatesValid')
    assert.equal(found('a/deep').CertificatesValid, 'False/HostnameNotCovered')
  })

  test('are looked at again for all of these when the Secret changes', () => {
    const memo = new CompileState()
    const routes = [stating('a/wild', '*.example', 1, { secrets: ['tls'] }), stating('a/deep', 'a.b.example', 2)]
    const at = (summary: SecretSummary) =>
      conditionsOf(compiled(world({ routes, payloads: { 'Secret a/tls': secret(summary) } }), memo), 'a/deep')
        .CertificatesValid
    assert.equal(at(named(['*.example'])), 'False/HostnameNotCovered')
    assert.equal(at(named(['*.b.example'])), 'True/CertificatesValid')
    assert.equal(at(named(['*.b.example'], { validity: 'Expired' })), 'False/CertificateExpired')
  })

  test('are the default one where none is named', () => {
    const plain = stating('a/r', 'x.example', 1, {})
    const memo = new CompileState()
    const defaultCertificate = { secretName: 'default', namespace: 'certs' }
    const at = (parts: World) =>
      conditionsOf(compiled(world({ routes: [plain], ...parts }), memo), 'a/r').CertificatesValid
    assert.equal(at({}), 'False/NoCertificate')
    const settings = { tls: { defaultCertificate } }
    assert.equal(
      at({ settings, payloads: { 'Secret certs/default': secret(named(['*.other'])) } }),
      'False/HostnameNotCovered',
    )
    assert.equal(
      at({ settings, payloads: { 'Secret certs/default': secret(named(['x.example'])) } }),
      'True/CertificatesValid',
    )
    assert.equal(at({}), 'False/NoCertificate')
  })

  test('of another namespace need its leave, and nothing of them is told without it', () => {
    const foreign = stating('a/r', 'x.example', 1, { secrets: ['certs/wild'] })
    const at = (summary?: PayloadSummary) => {
      const payloads = summary === undefined ? {} : { 'Secret certs/wild': summary }
      const result = compiled(world({ routes: [foreign], payloads }))
      return [conditionsOf(result, 'a/r'), messageOf(result, 'a/r', 'ResolvedRefs')] as const
    }
    const [missing, missingMessage] = at()
    assert.equal(missing.ResolvedRefs, 'False/SecretNotAllowed')
    for (const summary of [
      secret(named(['y.example'])),
      secret(named(['y.example']), { type: 'Opaque' }),
      secret({ fault: 'it is broken' }, { sharedWith: new Set(['b']) }),
    ]) {
      const [refused, message] = at(summary)
      assert.equal(refused.ResolvedRefs, 'False/SecretNotAllowed')
      assert.equal(refused.CertificatesValid, 'True/CertificatesValid', 'not looked at')
      assert.equal(message, missingMessage, 'as if it were not there')
    }
    const [shared] = at(secret(named(['x.example']), { sharedWith: new Set(['b', 'a']) }))
    assert.equal(shared.ResolvedRefs, 'True/ResolvedRefs')
    assert.equal(shared.CertificatesValid, 'True/CertificatesValid')
  })

  test('for clients are told of where nobody could connect', () => {
    const demanding = stating('a/r', 'x.example', 1, mutual)
    const at = (ca: SecretSummary, crl: SecretSummary) => {
      const payloads = {
        'Secret a/tls': secret(named(['x.example'])),
        'Secret a/ca': secret(ca, { type: 'headgate.dev/ca', keys: new Set(['ca.crt']) }),
        'Secret a/crl': secret(crl, { type: 'headgate.dev/crl', keys: new Set(['ca.crl']) }),
      }
      return conditionsOf(compiled(world({ routes: [demanding], payloads })), 'a/r')
    }
    const ca = { validity: 'Valid', notAfter: 1, authorities: ['one', 'two'] } as const
    const crl = { validity: 'Valid', notAfter: 1, issuers: ['one', 'two'] } as const
    assert.equal(at(ca, crl).CertificatesValid, 'True/CertificatesValid')
    assert.equal(at({ ...ca, validity: 'Expired' }, crl).CertificatesValid, 'False/CertificateExpired')
    assert.equal(at(ca, { ...crl, validity: 'Expired' }).CertificatesValid, 'False/RevocationListExpired')
    assert.equal(at(ca, { ...crl, issuers: ['two'] }).CertificatesValid, 'False/RevocationListIncomplete')
    assert.equal(at({ fault: 'half' }, crl).ResolvedRefs, 'False/CertificateInvalid')
  })

  test('are of no use where no listener speaks TLS, which is told until one does', () => {
    const memo = new CompileState()
    const plain = [{ name: 'http', port: 8080 }]
    const at = (listeners: SettingsObject['listeners'], more: Partial<RouteSpec> = {}) => {
      const { object, ...rest } = one
      const routes = [{ ...rest, object: { ...object, spec: { ...object.spec, ...more } } }]
      const result = compiled(world({ routes, settings: { listeners } }), memo)
      return [conditionsOf(result, 'a/r').PartiallyInvalid, messageOf(result, 'a/r', 'PartiallyInvalid')]
    }
    const [condition, message] = at(plain)
    assert.equal(condition, 'True/NoListener')
    assert.match(message!, /states tls, and none of its listeners speaks TLS; add tls: \{\} to a listener/)
    const both = [...plain, { name: 'https', port: 8443, tls: {} }]
    assert.equal(at(both)[0], 'False/AllValid')
    assert.equal(at(both, { listeners: ['http'] })[0], 'True/NoListener')
    assert.equal(at(both, { listeners: ['https'] })[0], 'False/AllValid')
    assert.equal(at([...plain, { name: 'https', port: 8443 }])[0], 'True/NoListener')
  })

  test('are no condition of a Route without TLS', () => {
    const types = statusOf(compiled(world({ routes: [stating('a/r', 'x.example', 1)] })), 'a/r').conditions
    assert.ok(types.every(({ type }) => type !== 'CertificatesValid'))
  })
})
