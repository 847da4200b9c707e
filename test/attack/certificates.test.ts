/** What a tenant tries to get at the certificates, the hostnames and the client certificates of another. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { connect } from 'node:tls'
import { closedPort } from '../feature/backends.ts'
import { eventually, type Gateway, startGateway, suiteScope } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { type Issued, TestAuthority } from '../lib/certificates.ts'

const API = 'headgate.dev/v1alpha1'
const authority = new TestAuthority('Victim')
const intruder = new TestAuthority('Intruder')

const secret = (key: string, type: string, stringData: Record<string, string>, annotations: object = {}) => {
  const [namespace, name] = key.split('/')
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace, annotations }, type, stringData }
}
const pair = (key: string, { cert, key: privateKey }: Issued, annotations: object = {}) =>
  secret(key, 'kubernetes.io/tls', { 'tls.crt': cert, 'tls.key': privateKey }, annotations)
const rule = (name: string, more: object = {}) => ({ name, respond: { statusCode: 200, body: name }, ...more })
const routeOf = (key: string, hostnames: string[], tls: object | undefined, more: object = {}) => {
  const [namespace, name] = key.split('/')
  const spec = { hostnames, ...(tls && { tls }), rules: [rule(name!)], ...more }
  return { apiVersion: API, kind: 'Route', metadata: { name, namespace }, spec }
}
const yaml = (...objects: object[]): string => objects.map((one) => `${JSON.stringify(one)}\n---\n`).join('')
const serialOf = ({ x509 }: Issued): string => x509.serialNumber

describe('the certificates of tenants', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let https: number
  let http: number
  const mine = authority.server('*.bank.test', 'bank.test')
  const shared = authority.server('*.shared.test')
  const fallback = authority.server('default.test')
  const client = authority.client('alice')
  const secrets = [mine, shared, fallback]

  before(async () => {
    https = await closedPort()
    http = await closedPort()
    // In a folder the name decides who came first: `a` before `z`.
    const bank = routeOf(
      'a-bank/wild',
      ['*.bank.test'],
      {
        certificates: [{ secretName: 'tls' }],
        minVersion: 'TLS1.3',
        clientCertificate: { caSecretName: 'clients' },
      },
      { delegates: [{ namespaces: { from: 'Names', names: ['z-guest'] }, pathPrefixes: ['/guest'] }] },
    )
    gateway = await startGateway(
      scope,
      {
        'bank.yaml': yaml(
          bank,
          pair('a-bank/tls', mine),
          secret('a-bank/clients', 'headgate.dev/ca', { 'ca.crt': authority.ca }),
          secret('a-bank/opaque', 'Opaque', { 'tls.crt': mine.cert, 'tls.key': mine.key, 'ca.crt': authority.ca }),
        ),
        'default.yaml': yaml(pair('ops/default', fallback)),
        'certs.yaml': yaml(pair('certs/wild', shared, { 'headgate.dev/shared-with': 'z-guest' })),
      },
      {
        settings: {
          listeners: [
            { name: 'http', address: '127.0.0.1', port: http },
            { name: 'https', address: '127.0.0.1', port: https, tls: {} },
          ],
          tls: { defaultCertificate: { secretName: 'default', namespace: 'ops' } },
        },
      },
    )
    await eventually(async () => assert.equal((await handshake('x.bank.test', ALICE)).serial, serialOf(mine)))
  })
  after(() => gateway?.stop())

  const ALICE = { cert: client.cert, key: client.key }

  /** Certificate and protocol, then the body of a request; or the alert that ends it. */
  async function handshake(servername: string, options: object = {}, path = '/') {
    const socket = connect({ host: '127.0.0.1', port: https, servername, rejectUnauthorized: false, ...options })
    try {
      return await new Promise<{ serial: string; protocol: string; text: string }>((resolve) => {
        const found = { serial: '', protocol: '', text: '' }
        socket.once('secureConnect', () => {
          found.serial = socket.getPeerX509Certificate()?.serialNumber ?? ''
          found.protocol = socket.getProtocol() ?? ''
          socket.write(`GET ${path} HTTP/1.1\r\nhost: ${servername}\r\nconnection: close\r\n\r\n`)
        })
        socket.on('data', (bytes) => {
          found.text += bytes.toString()
        })
        socket.once('error', (error: NodeJS.ErrnoException) => resolve({ ...found, text: error.code ?? error.message }))
        socket.once('end', () => resolve(found))
        socket.once('close', () => resolve(found))
      })
    } finally {
      socket.destroy()
    }
  }

  const conditionsOf = async (key: string): Promise<Record<string, string>> => {
    const response = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
    const { items } = response.json() as { items: { key: string; conditions: { type: string; reason: string }[] }[] }
    const found = items.find((one) => one.key === key)?.conditions ?? []
    return Object.fromEntries(found.map(({ type, reason }) => [type, reason]))
  }

  it('are not had by naming them from another namespace, or as another type', async () => {
    await gateway.write(
      'thief.yaml',
      yaml(
        routeOf('z-thief/foreign', ['foreign.test'], { certificates: [{ secretName: 'tls', namespace: 'a-bank' }] }),
        routeOf('z-thief/unshared', ['unshared.test'], { certificates: [{ secretName: 'wild', namespace: 'certs' }] }),
        routeOf('a-bank/opaque', ['opaque.test'], { certificates: [{ secretName: 'opaque' }] }),
        routeOf('z-guest/shared', ['x.shared.test'], { certificates: [{ secretName: 'wild', namespace: 'certs' }] }),
      ),
    )
    await eventually(async () => assert.equal((await handshake('x.shared.test')).serial, serialOf(shared)))
    for (const name of ['foreign.test', 'unshared.test', 'opaque.test'])
      assert.equal((await handshake(name)).serial, serialOf(fallback), name)
    assert.equal((await conditionsOf('z-thief/foreign')).ResolvedRefs, 'SecretNotAllowed')
    assert.equal((await conditionsOf('z-thief/unshared')).ResolvedRefs, 'SecretNotAllowed')
    assert.equal((await conditionsOf('a-bank/opaque')).ResolvedRefs, 'SecretTypeNotAllowed')
  })

  it('are lost with the next handshake when they are not shared any more', async () => {
    await gateway.write('certs.yaml', yaml(pair('certs/wild', shared)))
    await eventually(async () => assert.equal((await handshake('x.shared.test')).serial, serialOf(fallback)))
    await eventually(async () => assert.equal((await conditionsOf('z-guest/shared')).ResolvedRefs, 'SecretNotAllowed'))
    await gateway.write('certs.yaml', yaml(pair('certs/wild', shared, { 'headgate.dev/shared-with': 'z-guest' })))
    await eventually(async () => assert.equal((await handshake('x.shared.test')).serial, serialOf(shared)))
  })

  it('and the client certificate of a hostname stay what its owner says, whatever others add to it or below it', async () => {
    const weak = intruder.server('x.bank.test')
    await gateway.write(
      'weak.yaml',
      yaml(
        pair('z-guest/weak', weak),
        pair('z-thief/weak', weak),
        secret('z-guest/ca', 'headgate.dev/ca', { 'ca.crt': intruder.ca }),
        // A delegate, for a more specific hostname, by a path that it may use.
        routeOf(
          'z-guest/exact',
          ['x.bank.test'],
          { certificates: [{ secretName: 'weak' }], http: 'Serve', minVersion: 'TLS1.2' },
          { rules: [rule('guest', { matches: [{ path: { value: '/guest' } }], http: 'Serve' })] },
        ),
        routeOf(
          'z-guest/ca',
          ['y.bank.test'],
          { clientCertificate: { caSecretName: 'ca', mode: 'Optional' } },
          {
            rules: [rule('guest', { matches: [{ path: { value: '/guest' } }] })],
          },
        ),
        routeOf('z-thief/exact', ['x.bank.test', 'z.bank.test'], { certificates: [{ secretName: 'weak' }] }),
      ),
    )
    await eventually(async () => assert.equal((await conditionsOf('z-guest/exact')).PartiallyInvalid, 'TLSNotAllowed'))
    assert.equal((await conditionsOf('z-thief/exact')).Accepted, 'HostnameNotAllowed')
    for (const name of ['x.bank.test', 'y.bank.test', 'z.bank.test', 'deep.x.bank.test']) {
      const known = await handshake(name, ALICE, '/guest')
      assert.equal(known.serial, serialOf(mine), name)
      assert.match(known.text, /^HTTP\/1\.1 200/, name)
      const stranger = await handshake(name, { cert: intruder.client('x').cert, key: undefined }, '/guest')
      assert.doesNotMatch(stranger.text, /HTTP\/1\.1 200/, name)
      assert.doesNotMatch((await handshake(name, {}, '/guest')).text, /HTTP\/1\.1 200/, name)
      const old = await handshake(name, { ...ALICE, maxVersion: 'TLSv1.2' }, '/guest')
      assert.equal(old.serial, '', `${name}: no handshake below the owner's version`)
      const clear = await request(http, { host: name, path: '/guest' })
      assert.notEqual(clear.status, 200, `${name} in clear text`)
    }
    assert.match((await handshake('x.bank.test', ALICE, '/guest')).text, /guest$/, 'the rule of the delegate serves')
  })

  it('are never in a log, a status, the tables that the admin API shows, or a metric', async () => {
    await gateway.write(
      'broken.yaml',
      yaml(pair('a-bank/tls', { ...mine, key: mine.key.replace(/.{8}\n-----END/, '-----END') })),
    )
    await gateway.write(
      'odd.yaml',
      yaml(routeOf('a-bank/odd', ['odd.test'], { certificates: [{ secretName: 'tls' }] })),
    )
    await handshake('x.bank.test', ALICE)
    const seen = [gateway.processLog, gateway.accessLog.map((line) => JSON.stringify(line))].flat()
    for (const path of ['statuses', 'problems', 'routes', 'backends', 'config', 'settings'])
      seen.push((await request(gateway.adminPort, { path: `/api/v1/${path}?limit=500`, host: 'localhost' })).text)
    seen.push((await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })).text)
    const text = seen.join('\n')
    assert.ok(text.length > 5_000, 'something was looked at')
    for (const { key } of secrets) {
      const lines = key.split('\n').filter((line) => line.length > 30 && !line.startsWith('-'))
      assert.ok(lines.length > 0)
      for (const line of lines) {
        assert.ok(!text.includes(line.slice(0, 24)))
        assert.ok(!text.includes(Buffer.from(line).toString('base64').slice(4, 28)))
      }
    }
  })

  it('of others go on, however large or broken those of one are', async () => {
    const huge = 'A'.repeat(900_000)
    const many = Array.from({ length: 9 }, (_, i) => {
      const body =
        i % 3 === 0 ? `-----BEGIN CERTIFICATE-----\n${huge}\n-----END CERTIFICATE-----\n` : authority.ca.repeat(400)
      return secret(`z-thief/s${i}`, i % 2 === 0 ? 'kubernetes.io/tls' : 'headgate.dev/ca', {
        'tls.crt': body,
        'tls.key': mine.key,
        'ca.crt': body,
      })
    })
    const routes = Array.from({ length: 8 }, (_, i) => {
      const certificates = Array.from({ length: 8 }, (_, j) => ({ secretName: `s${(i * 8 + j) % 9}` }))
      return routeOf(`z-thief/many${i}`, [`many${i}.test`], { certificates })
    })
    for (const [i, one] of many.entries()) await gateway.write(`flood${i}.json`, JSON.stringify(one))
    await gateway.write('flood.yaml', yaml(...routes))
    await gateway.write('certs.yaml', yaml(pair('certs/wild', mine, { 'headgate.dev/shared-with': 'z-guest' })))
    await eventually(async () => assert.equal((await handshake('x.shared.test')).serial, serialOf(mine)))
    await eventually(
      async () => assert.equal((await conditionsOf('z-thief/many0')).ResolvedRefs, 'CertificateInvalid'),
      20_000,
    )
    assert.equal((await handshake('many0.test')).serial, serialOf(fallback))
  })
})
