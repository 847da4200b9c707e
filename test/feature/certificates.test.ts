/** Certificates from where they are written down to the handshakes that get them. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { type Issued, TestAuthority } from '../lib/certificates.ts'
import { closedPort, echoBackend } from './backends.ts'
import { eventually, type Gateway, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const API = 'headgate.dev/v1alpha1'
const authority = new TestAuthority()

const secret = (name: string, { cert, key }: Pick<Issued, 'cert' | 'key'>, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: 'shop', ...more },
  type: 'kubernetes.io/tls',
  stringData: { 'tls.crt': cert, 'tls.key': key },
})
const ok = { name: 'all', respond: { statusCode: 200, body: 'ok' } }
const routeOf = (name: string, tls: object, more: object = {}) => ({
  apiVersion: API,
  kind: 'Route',
  metadata: { name, namespace: 'shop' },
  spec: { hostnames: [`${name}.test`], tls, rules: [ok], ...more },
})
const yaml = (...objects: object[]): string => objects.map((one) => `${JSON.stringify(one)}\n---\n`).join('')

/** Serial number of the certificate that a handshake gets, or the alert. */
async function served(port: number, servername: string, options: object = {}): Promise<string> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false, ...options })
  try {
    return await new Promise((resolve) => {
      socket.once('secureConnect', () => resolve(socket.getPeerX509Certificate()!.serialNumber))
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    })
  } finally {
    socket.destroy()
  }
}

const serialOf = ({ x509 }: Issued): string => x509.serialNumber

describe('certificates of a folder', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let https: number
  let http: number
  const [one, two, byFile, ingress, fallback] = [
    authority.server('yaml.test'),
    authority.server('yaml.test'),
    authority.server('file.test'),
    authority.server('ingress.test'),
    authority.server('default.test'),
  ]

  before(async () => {
    const backend = await echoBackend(scope)
    https = await closedPort()
    http = await closedPort()
    const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'echo', namespace: 'shop' } }
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'echo-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'echo' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['127.0.0.1'] }],
      ports: [{ name: 'http', port: backend.port, protocol: 'TCP' }],
    }
    const path = (value: string) => ({
      path: value,
      pathType: 'Prefix',
      backend: { service: { name: 'echo', port: { number: 80 } } },
    })
    const web = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        rules: [{ host: 'ingress.test', http: { paths: [path('/'), path('/.well-known/acme-challenge/t')] } }],
        tls: [{ hosts: ['ingress.test'], secretName: 'ingress' }],
      },
    }
    gateway = await startGateway(
      scope,
      {
        'default.yaml': yaml(secret('default', fallback)),
        'yaml.yaml': yaml(routeOf('yaml', { certificates: [{ secretName: 'yaml' }] })),
        'secret.yaml': yaml(secret('yaml', one)),
        'files/route.yaml': yaml(routeOf('file', { certificates: [{ secretName: 'shop-tls' }], http: 'Serve' })),
        'files/shop-tls/tls.crt': byFile.cert,
        'files/shop-tls/tls.key': byFile.key,
        'web.yaml': yaml({ ...service, spec: { ports: [{ name: 'http', port: 80 }] } }, slice, web),
      },
      {
        settings: {
          listeners: [
            { name: 'http', address: '127.0.0.1', port: http },
            { name: 'https', address: '127.0.0.1', port: https, tls: {} },
          ],
          tls: { defaultCertificate: { secretName: 'default', namespace: 'shop' } },
        },
      },
    )
  })
  after(() => gateway?.stop())

  const conditionOf = async (key: string, type: string) => {
    const response = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
    const { items } = response.json() as {
      items: { key: string; conditions: { type: string; status: string; reason: string; message: string }[] }[]
    }
    return items.find((item) => item.key === key)?.conditions.find((condition) => condition.type === type)
  }
  const becomes = (name: string, expected: string) =>
    eventually(async () => assert.equal(await served(https, name), expected))

  it('are those of the hostname: from a Secret, from two files, and the default one for the rest', async () => {
    await becomes('yaml.test', serialOf(one))
    assert.equal(await served(https, 'file.test'), serialOf(byFile))
    assert.equal(await served(https, 'nobody.test'), serialOf(fallback))
    assert.equal((await conditionOf('shop/yaml', 'CertificatesValid'))?.status, 'True')
  })

  it('rotate with their Secret, soon and without a new generation of tables', async () => {
    const generation = async () => {
      const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
      return /^headgate_generation (\d+)$/m.exec(text)?.[1]
    }
    const before = await generation()
    const took: number[] = []
    for (let i = 0; i < 8; i++) {
      const next = i % 2 === 0 ? two : one
      const from = performance.now()
      await gateway.write('secret.yaml', yaml(secret('yaml', next)))
      await becomes('yaml.test', serialOf(next))
      took.push(performance.now() - from)
    }
    took.sort((a, b) => a - b)
    console.log(`certificate → handshake: fastest ${took[0]!.toFixed(1)} ms, slowest ${took.at(-1)!.toFixed(1)} ms`)
    assert.ok(took[0]! < 500, `${took}`)
    assert.equal(await generation(), before)
  })

  it('stay while a newer pair is broken, which the condition says', async () => {
    await gateway.write('secret.yaml', yaml(secret('yaml', { cert: two.cert, key: one.key })))
    await eventually(async () => {
      const condition = await conditionOf('shop/yaml', 'ResolvedRefs')
      assert.equal(condition?.reason, 'CertificateInvalid')
      assert.match(condition.message, /tls\.key is not the key of the certificate.*the version before is used/)
    })
    assert.equal(await served(https, 'yaml.test'), serialOf(one))
    await gateway.write('files/shop-tls/tls.crt', two.cert)
    await eventually(async () =>
      assert.equal((await conditionOf('shop/file', 'ResolvedRefs'))?.reason, 'CertificateInvalid'),
    )
    assert.equal(await served(https, 'file.test'), serialOf(byFile))
    await gateway.write('files/shop-tls/tls.key', two.key)
    await becomes('file.test', serialOf(two))
    assert.equal((await conditionOf('shop/file', 'CertificatesValid'))?.reason, 'HostnameNotCovered')
  })

  it('give way to the default one when their Secret goes', async () => {
    await gateway.remove('secret.yaml')
    await becomes('yaml.test', serialOf(fallback))
    await eventually(async () =>
      assert.equal((await conditionOf('shop/yaml', 'ResolvedRefs'))?.reason, 'SecretNotFound'),
    )
    await gateway.write('secret.yaml', yaml(secret('yaml', one)))
    await becomes('yaml.test', serialOf(one))
  })

  it('of an Ingress may come after it, as an issuer makes them; its host is redirected, but for a challenge', async () => {
    assert.equal(await served(https, 'ingress.test'), serialOf(fallback))
    const ask = async (path: string) => await request(http, { host: 'ingress.test', path })
    const response = await ask('/a?b=c')
    assert.equal(response.status, 308)
    assert.match(response.header('location') ?? '', /^https:\/\/ingress\.test(:\d+)?\/a\?b=c$/)
    assert.equal((await ask('/.well-known/acme-challenge/t')).status, 200)
    await gateway.write('late.yaml', yaml(secret('ingress', ingress)))
    await becomes('ingress.test', serialOf(ingress))
  })

  it('have their end in a metric, and what is wrong with that of the settings in the list of problems', async () => {
    const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
    const ends = [...text.matchAll(/^headgate_certificate_expiry_timestamp_seconds\{secret="([^"]+)"\} (\S+)$/gm)]
    assert.ok(
      ends.some(([, name, end]) => name === 'shop/yaml' && Number(end) === one.x509.validToDate.getTime() / 1000),
    )
    await gateway.remove('default.yaml')
    await eventually(async () => {
      const { items } = (await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })).json() as {
        items: { object: string; reason: string }[]
      }
      assert.ok(items.some(({ object, reason }) => object === 'Settings' && reason === 'SecretUnusable'))
    })
    assert.match(await served(https, 'nobody.test'), /UNRECOGNIZED_NAME/)
    assert.equal(await served(https, 'yaml.test'), serialOf(one), 'others go on')
  })
})
