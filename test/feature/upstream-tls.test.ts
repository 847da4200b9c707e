import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { before, describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { type Issued, TestAuthority } from '../lib/certificates.ts'
import { readProxyHeader } from '../proxy-protocol/oracle.ts'
import { rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, manifest, route, secret, startGateway, suiteScope } from './harness.ts'
import { type RawResponse, request } from './raw-client.ts'

const authority = new TestAuthority('First')
const next = new TestAuthority('Next')

const ca = (name: string, pem: string): string => secret(name, 'headgate.dev/ca', { 'ca.crt': pem })
const pair = (name: string, { cert, key }: Issued): string =>
  secret(name, 'kubernetes.io/tls', { 'tls.crt': cert, 'tls.key': key })
const https = (tls: object): Readonly<Record<string, unknown>> => ({ protocol: 'HTTPS', tls })
const to = (name: string): string =>
  route(name, [`${name.replace('/', '-')}.test`], [{ name: 'all', backendRefs: [{ name: name.split('/')[1] }] }])

describe('TLS towards Backends, from manifests to traffic', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let server: Server
  const ask = (host: string): Promise<RawResponse> => gateway.request({ host })
  const reason = ({ text }: RawResponse): unknown => (JSON.parse(text) as { reason: string }).reason

  before(async () => {
    const clients = { ca: authority.ca, requestCert: true, rejectUnauthorized: false }
    server = createServer({ ...authority.server('up.test'), ...clients }, (req, res) => {
      const socket = req.socket as TLSSocket
      res.end(`${req.headers.host} ${String(socket.servername)} ${socket.getPeerCertificate().subject?.CN ?? 'nobody'}`)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    scope.after(() => {
      server.close()
      server.closeAllConnections()
    })
    const { port } = server.address() as AddressInfo
    const announced = await rawBackend(scope, (socket) => {
      socket.once('data', (bytes: Buffer) => {
        const header = readProxyHeader(bytes)
        const body = typeof header === 'object' ? String(header.connection) : header
        socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
      })
    })
    const named = { serverName: 'up.test' }
    gateway = await startGateway(scope, {
      'ca.yaml': ca('a/ca', authority.ca),
      'secrets.yaml':
        pair('a/client', authority.client('gateway')) + secret('a/opaque', 'Opaque', { 'ca.crt': authority.ca }),
      'all.yaml':
        backend('a/good', [port], https({ caSecretName: 'ca', clientCertificateSecretName: 'client', ...named })) +
        backend('a/late', [port], https({ caSecretName: 'late', ...named })) +
        backend('a/opaque', [port], https({ caSecretName: 'opaque', ...named })) +
        backend('a/tricky', [port], https({ caSecretName: 'client', ...named })) +
        backend('a/public', [port], https(named)) +
        backend('a/address', [port], https({ caSecretName: 'ca' })) +
        backend('a/skips', [port], https({ insecureSkipVerify: true })) +
        backend('b/foreign', [port], https({ caSecretName: 'ca', ...named })) +
        backend('a/announced', [announced.port], { connection: { proxyProtocol: 'V2' } }) +
        manifest('Backend', 'a/byname', {
          endpoints: [{ address: 'localhost', port }],
          hostHeader: 'UseServerName',
          ...https({ insecureSkipVerify: true }),
        }) +
        [
          'a/good',
          'a/late',
          'a/opaque',
          'a/tricky',
          'a/public',
          'a/address',
          'a/skips',
          'b/foreign',
          'a/announced',
          'a/byname',
        ]
          .map(to)
          .join(''),
    })
  })

  it('verifies endpoints, shows the client certificate, and sends the Host of the client', async () => {
    assert.equal((await ask('a-good.test')).text, 'a-good.test up.test gateway')
  })

  it('says why a certificate is not accepted, in the response and in the access log', async () => {
    for (const [host, expected] of [
      ['a-public.test', 'UpstreamCertificateUntrusted'],
      ['a-address.test', 'UpstreamCertificateMismatch'],
    ] as const) {
      const response = await ask(host)
      assert.deepEqual([response.status, reason(response)], [502, expected])
      const line = await gateway.logged((one) => one.host === host)
      assert.match(String(line.detail), /^127\.0\.0\.1:\d+: /)
    }
  })

  it('accepts any certificate where that is stated', async () => {
    assert.match((await ask('a-skips.test')).text, /^a-skips\.test false nobody$/)
  })

  it('sends the DNS name of the endpoint as Host and as SNI', async () => {
    const { port } = server.address() as AddressInfo
    await eventually(async () => assert.equal((await ask('a-byname.test')).text, `localhost:${port} localhost nobody`))
  })

  it('names the client to a Backend that wants PROXY headers', async () => {
    const client = await gateway.connect()
    const { text } = await client.request({ host: 'a-announced.test' })
    assert.equal(text, `127.0.0.1,${client.socket.localPort},127.0.0.1,${gateway.port}`)
  })

  it('refuses requests, and says so, where a Secret is missing, of another type or of another namespace', async () => {
    const { text } = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
    for (const [host, message] of [
      ['a-late.test', 'there is no Secret a/late'],
      ['a-opaque.test', 'Secret a/opaque is of type Opaque'],
      ['a-tricky.test', 'Secret a/client is of type kubernetes.io/tls'],
      ['b-foreign.test', 'there is no Secret b/ca'],
    ] as const) {
      const response = await ask(host)
      assert.deepEqual([response.status, reason(response)], [503, 'UpstreamTlsUnavailable'], host)
      assert.ok(text.includes(message), `${message}: ${text}`)
    }
  })

  it('serves as soon as the Secret is there, and by the newest one', async () => {
    await gateway.write('late.yaml', ca('a/late', authority.ca))
    await eventually(async () => assert.equal((await ask('a-late.test')).text, 'a-late.test up.test nobody'))
    server.setSecureContext({ ...next.server('up.test'), ca: authority.ca })
    await gateway.write('late.yaml', ca('a/late', next.ca))
    await eventually(async () => assert.equal((await ask('a-late.test')).text, 'a-late.test up.test nobody'))
    await gateway.remove('late.yaml')
    await eventually(async () => assert.equal((await ask('a-late.test')).status, 503))
  })
})
