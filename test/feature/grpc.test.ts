/** gRPC from manifests to the wire: over TLS on both sides, by method, with a log line and a metric. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { before, describe, it } from 'node:test'
import { ChannelCredentials, ServerCredentials, status } from '@grpc/grpc-js'
import { EchoClient, echoServer } from '../grpc/echo-service.ts'
import { framed, readWebResponse } from '../grpc/web-client.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { closedPort } from './backends.ts'
import { backend, type Gateway, route, secret, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const byMethod = (name: string, method: string, backendName: string): object => ({
  name,
  matches: [{ path: { type: 'Exact', value: `/test.Echo/${method}` } }],
  backendRefs: [{ name: backendName }],
})

describe('gRPC through the gateway', () => {
  const scope = suiteScope()
  const authority = new TestAuthority()
  let gateway: Gateway
  let clear: number
  let secure: number
  before(async () => {
    const inside = authority.issue({ names: { dns: ['orders.internal'] } })
    const pair = [{ private_key: Buffer.from(inside.key), cert_chain: Buffer.from(inside.cert) }]
    const plain = await echoServer(scope)
    const safe = await echoServer(scope, {}, { credentials: ServerCredentials.createSsl(null, pair) })
    const outside = authority.issue({ names: { dns: ['grpc.test'] } })
    ;[clear, secure] = await Promise.all([closedPort(), closedPort()])
    gateway = await startGateway(
      scope,
      {
        'secrets.yaml': [
          secret('ca', 'headgate.dev/ca', { 'ca.crt': authority.ca }),
          secret('cert', 'kubernetes.io/tls', { 'tls.crt': outside.cert, 'tls.key': outside.key }),
        ].join(''),
        'backends.yaml': [
          backend('plain', [plain.port], { protocol: 'GRPC' }),
          backend('safe', [safe.port], {
            protocol: 'GRPCS',
            tls: { caSecretName: 'ca', serverName: 'orders.internal' },
          }),
        ].join(''),
        'route.yaml': route(
          'grpc',
          ['grpc.test'],
          [byMethod('unary', 'Unary', 'safe'), byMethod('chat', 'Chat', 'plain')],
          { tls: { certificates: [{ secretName: 'cert' }], http: 'Serve' } },
        ),
      },
      {
        settings: {
          listeners: [
            { name: 'http', address: '127.0.0.1', port: clear },
            { name: 'https', address: '127.0.0.1', port: secure, tls: {} },
          ],
        },
      },
    )
  })

  const clientAt = (port: number): EchoClient => {
    const options = { 'grpc.ssl_target_name_override': 'grpc.test', 'grpc.default_authority': 'grpc.test' }
    const credentials =
      port === secure ? ChannelCredentials.createSsl(Buffer.from(authority.ca)) : ChannelCredentials.createInsecure()
    const client = new EchoClient(port, options, credentials)
    scope.after(() => client.close())
    return client
  }

  it('takes calls in clear and over TLS, and sends them in clear and over TLS, by method', async () => {
    for (const port of [clear, secure]) {
      const client = clientAt(port)
      const { code, message } = await client.unary('hello').outcome
      assert.deepEqual([code, message?.toString()], [status.OK, 'hello'])
      const chat = client.chat()
      chat.write(Buffer.from('first'))
      assert.deepEqual(await once(chat, 'data'), [Buffer.from('first')])
      const over = new Promise((resolve) => chat.on('status', resolve))
      chat.resume()
      chat.end()
      await over
      const [error] = (await once(client.download(1, 1), 'error')) as [{ code: number }]
      assert.equal(error.code, status.UNIMPLEMENTED)
    }
    await gateway.logged(({ listener, grpcStatus }) => listener === 'https' && grpcStatus === 12)
    const line = await gateway.logged(({ listener, rule }) => listener === 'https' && rule === 'unary')
    assert.deepEqual([line.status, line.grpcStatus, line.protocol, line.backend], [200, 0, 'HTTP/2', 'default/safe'])
  })

  it('translates gRPC-Web, and counts calls by status', async () => {
    const headers = { 'content-type': 'application/grpc-web+proto' }
    const ask = (method: string) =>
      request(clear, { method: 'POST', path: `/test.Echo/${method}`, host: 'grpc.test', headers, body: framed('ask') })
    const { messages, trailers } = readWebResponse((await ask('Unary')).body)
    assert.deepEqual([messages, trailers!['grpc-status']], [[Buffer.from('ask')], '0'])
    assert.equal(readWebResponse((await ask('Nothing')).body).trailers!['grpc-status'], '12')
    const metrics = (await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })).text
    const count = (name: string): number =>
      Number(
        new RegExp(`^headgate_grpc_requests_total\\{grpc_status="${name}"\\} (\\d+)$`, 'm').exec(metrics)?.[1] ?? 0,
      )
    assert.ok(count('OK') >= 5 && count('UNIMPLEMENTED') >= 3, metrics)
  })
})
