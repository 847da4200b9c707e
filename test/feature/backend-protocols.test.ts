/** `protocol` of a Backend and `appProtocol` of a Service port, from manifests to the wire. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { before, describe, it } from 'node:test'
import { TestAuthority } from '../lib/certificates.ts'
import { type EchoBackend, echoBackend } from './backends.ts'
import { type Gateway, route, type Scope, startGateway, suiteScope } from './harness.ts'

/** Answers with what it got: version, scheme, authority, body, trailers. */
async function h2Backend(scope: Scope, server: Http2Server): Promise<number> {
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
  })
  server.on('stream', (stream, requestHeaders) => {
    let body = ''
    let trailers: IncomingHttpHeaders = {}
    stream.on('error', () => {})
    stream.on('trailers', (fields) => (trailers = fields))
    stream.on('data', (part: Buffer) => (body += part.toString()))
    stream.on('end', () => {
      const seen = { ...requestHeaders, body, trailer: trailers['x-sum'] }
      ;(stream as typeof stream & { respond(headers: object, options: object): void }).respond(
        { ':status': 200, 'content-type': 'application/json' },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-status': 'done' }))
      stream.end(JSON.stringify(seen))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  return (server.address() as AddressInfo).port
}

const backend = (name: string, port: number, spec: string): string => `---
apiVersion: headgate.dev/v1alpha1
kind: Backend
metadata: { name: ${name}, namespace: default }
spec: { endpoints: [{ address: 127.0.0.1, port: ${port} }], ${spec} }
`

const service = (name: string, port: number, appProtocol: string): string => `---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: default }
spec: { ports: [{ name: main, port: 80, appProtocol: ${appProtocol} }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-1, namespace: default, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: main, port: ${port} }]
endpoints: [{ addresses: [127.0.0.1] }]
`

describe('the protocol of a Backend', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  let clear: number
  let client: ClientHttp2Session
  before(async () => {
    const authority = new TestAuthority()
    const { cert, key } = authority.issue({ names: { dns: ['api.internal'] } })
    clear = await h2Backend(scope, createServer())
    const secure = await h2Backend(scope, createSecureServer({ cert, key }))
    echo = await echoBackend(scope)
    const tls = 'tls: { caSecretName: ca, serverName: api.internal }'
    const indented = authority.ca.trim().replaceAll('\n', '\n    ')
    const ca = `---\napiVersion: v1\nkind: Secret\nmetadata: { name: ca, namespace: default }\ntype: headgate.dev/ca\nstringData:\n  ca.crt: |\n    ${indented}\n`
    const to = (name: string) => ({ name, hostnames: [`${name}.test`] })
    const names = ['h2c', 'h2', 'grpc', 'grpcs', 'wrong']
    const routes = names.map((name) => route(name, to(name).hostnames, [{ name, backendRefs: [{ name }] }])).join('')
    const direct = ['app-h2c', 'app-ws']
      .map((name) => route(name, [`${name}.test`], [{ name, backendRefs: [{ service: { name, port: 80 } }] }]))
      .join('')
    gateway = await startGateway(scope, {
      'backends.yaml': [
        backend('h2c', clear, 'protocol: H2C'),
        backend('grpc', clear, 'protocol: GRPC'),
        backend('h2', secure, `protocol: H2, ${tls}`),
        backend('grpcs', secure, `protocol: GRPCS, ${tls}`),
        backend('wrong', echo.port, 'protocol: H2C'),
        service('app-h2c', clear, 'kubernetes.io/h2c'),
        service('app-ws', echo.port, 'kubernetes.io/ws'),
        ca,
      ].join(''),
      'routes.yaml': routes + direct,
    })
    client = connect(`http://127.0.0.1:${gateway.port}`)
    client.on('error', () => {})
    scope.after(() => client.destroy())
  })

  const seenBy = async (host: string): Promise<Record<string, unknown>> => {
    const response = await gateway.request({ host, path: '/a?b', method: 'POST', body: 'hello' })
    assert.equal(response.status, 200, `${response.body}`)
    return JSON.parse(`${response.body}`) as Record<string, unknown>
  }

  for (const [host, scheme] of [
    ['h2c.test', 'http'],
    ['grpc.test', 'http'],
    ['h2.test', 'https'],
    ['grpcs.test', 'https'],
    ['app-h2c.test', 'http'],
  ] as const)
    it(`is HTTP/2 for ${host}, whatever the client speaks`, async () => {
      const seen = await seenBy(host)
      assert.deepEqual(
        [seen[':method'], seen[':scheme'], seen[':authority'], seen[':path'], seen.body, seen.host, seen.connection],
        ['POST', scheme, host, '/a?b', 'hello', undefined, undefined],
      )
      const stream = client.request(
        { ':method': 'POST', ':path': '/c', ':authority': host, te: 'trailers', cookie: ['a=1', 'b=2'] },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '5' }))
      stream.end('12345')
      let body = ''
      let trailers: IncomingHttpHeaders = {}
      stream.on('data', (part: Buffer) => (body += part.toString()))
      stream.on('trailers', (fields) => (trailers = fields))
      await once(stream, 'end')
      const through = JSON.parse(body) as Record<string, unknown>
      assert.deepEqual(
        [through[':authority'], through.body, through.trailer, through.te, through.cookie, trailers['x-status']],
        [host, '12345', '5', 'trailers', 'a=1; b=2', 'done'],
      )
    })

  it('is HTTP/1.1 where the port of a Service is for WebSockets', async () => {
    assert.equal((await gateway.request({ host: 'app-ws.test' })).status, 200)
  })

  it('that the endpoint does not speak is 502 ConnectFailure, and no request is sent', async () => {
    const before = echo.received.length
    const response = await gateway.request({ host: 'wrong.test' })
    assert.deepEqual([response.status, JSON.parse(`${response.body}`).reason], [502, 'ConnectFailure'])
    const line = await gateway.logged(({ host }) => host === 'wrong.test')
    assert.match(`${line.detail}`, /no HTTP\/2/)
    assert.equal(echo.received.length, before)
  })

  it('changes under load without a lost request', async () => {
    let stop = false
    const statuses: number[] = []
    const load = Array.from({ length: 4 }, async () => {
      using connection = await gateway.connect()
      while (!stop) statuses.push((await connection.request({ host: 'h2c.test' })).status)
    })
    // Another server takes over, as another Backend: the endpoints of one act before its protocol does.
    for (const [step, spec] of ['protocol: HTTP', 'protocol: H2C', 'protocol: HTTP', 'protocol: H2C'].entries()) {
      const port = spec === 'protocol: HTTP' ? echo.port : clear
      const name = `now-${step}`
      await gateway.write(`override-${step}.yaml`, backend(name, port, spec))
      await gateway.write('routes-now.yaml', route('now', ['now.test'], [{ name: 'now', backendRefs: [{ name }] }]))
      for (let i = 0; ; i++) {
        const { status, body } = await gateway.request({ host: 'now.test', method: 'POST', body: 'x' })
        const isH2 = `${body}`.includes(':authority')
        if (status === 200 && isH2 === (port === clear)) break
        assert.ok(status === 200 || status === 404, `${status} ${body}`)
        assert.ok(i < 500, 'it did not change')
      }
    }
    stop = true
    await Promise.all(load)
    assert.ok(statuses.every((status) => status === 200))
  })
})
