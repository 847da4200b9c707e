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
import { eventually, type Gateway, route, type Scope, startGateway, suiteScope } from './harness.ts'

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

  /** Two states of the manifests under which one server or the other serves `now.test` and `beside.test`. */
  const changes: Readonly<Record<string, () => readonly [State, State]>> = {
    'of one Backend': () => [
      { yaml: toBackend('now', 'one') + backend('one', echo.port, 'protocol: HTTP'), now: 'HTTP/1.1' },
      { yaml: toBackend('now', 'one') + backend('one', clear, 'protocol: H2C'), now: 'HTTP/2' },
    ],
    'of two Backends, exchanged': () => [
      { yaml: pair(echo.port, 'HTTP', clear, 'GRPC'), now: 'HTTP/1.1', beside: 'HTTP/2' },
      { yaml: pair(clear, 'GRPC', echo.port, 'HTTP'), now: 'HTTP/2', beside: 'HTTP/1.1' },
    ],
    'with the name of the Backend': () => [
      { yaml: toBackend('now', 'named-1') + backend('named-1', echo.port, 'protocol: HTTP'), now: 'HTTP/1.1' },
      { yaml: toBackend('now', 'named-2') + backend('named-2', clear, 'protocol: H2C'), now: 'HTTP/2' },
    ],
    'of a Service and its EndpointSlice': () => [
      { yaml: toService('now', 'pods') + service('pods', echo.port, 'http'), now: 'HTTP/1.1' },
      { yaml: toService('now', 'pods') + service('pods', clear, 'kubernetes.io/h2c'), now: 'HTTP/2' },
    ],
    'of an EndpointSlice and its Service': () => [
      { yaml: toService('now', 'pods') + reversed(service('pods', echo.port, 'http')), now: 'HTTP/1.1' },
      { yaml: toService('now', 'pods') + reversed(service('pods', clear, 'kubernetes.io/h2c')), now: 'HTTP/2' },
    ],
    'of a Backend that takes another Service': () => [
      { yaml: toBackend('now', 'of') + twoServices() + ofService('of', 'pods-1', 'HTTP'), now: 'HTTP/1.1' },
      { yaml: toBackend('now', 'of') + twoServices() + ofService('of', 'pods-2', 'H2C'), now: 'HTTP/2' },
    ],
  }
  const toBackend = (name: string, to: string) => route(name, [`${name}.test`], [{ name, backendRefs: [{ name: to }] }])
  const toService = (name: string, to: string) =>
    route(name, [`${name}.test`], [{ name, backendRefs: [{ service: { name: to, port: 80 } }] }])
  const pair = (a: number, one: string, b: number, other: string) =>
    [
      toBackend('now', 'left'),
      toBackend('beside', 'right'),
      backend('left', a, `protocol: ${one}`),
      backend('right', b, `protocol: ${other}`),
    ].join('')
  const reversed = (yaml: string) => `---${yaml.split('---').toReversed().join('---')}`.replace(/---$/, '')
  const twoServices = () => service('pods-1', echo.port, 'http') + service('pods-2', clear, 'http')
  const ofService = (name: string, to: string, protocol: string) => `---
apiVersion: headgate.dev/v1alpha1
kind: Backend
metadata: { name: ${name}, namespace: default }
spec: { service: { name: ${to}, port: 80 }, protocol: ${protocol} }
`

  for (const [what, states] of Object.entries(changes))
    it(`changes in one write with the endpoints ${what}, under load without a lost request`, async () => {
      const [first, second] = states()
      await gateway.write('changing.yaml', first.yaml)
      await reached(gateway, first)
      using load = new Load(gateway, second.beside === undefined ? ['now.test'] : ['now.test', 'beside.test'])
      for (let round = 0; round < ROUNDS; round++) {
        for (const state of [second, first]) {
          await gateway.write('changing.yaml', state.yaml)
          await reached(gateway, state)
        }
        // Nobody waits for the first of two.
        await gateway.write('changing.yaml', second.yaml)
        await gateway.write('changing.yaml', first.yaml)
        await reached(gateway, first)
      }
      const answers = await load.end()
      assert.deepEqual([...answers.keys()], [200], [...answers].join('\n'))
    })
})

interface State {
  readonly yaml: string
  readonly now: string
  readonly beside?: string
}

const ROUNDS = Number(process.env.ROUNDS ?? 3)

/** Waits until the servers of a state serve. */
async function reached(gateway: Gateway, state: State): Promise<void> {
  for (const host of ['now', 'beside'] as const)
    if (state[host] !== undefined)
      await eventually(async () => {
        const { status, body } = await gateway.request({ host: `${host}.test`, method: 'POST', body: 'x' })
        assert.equal(status === 200 && (`${body}`.includes(':authority') ? 'HTTP/2' : 'HTTP/1.1'), state[host])
      })
}

/** Requests on several connections until its end. */
class Load {
  #over = false
  /** How many responses of each status, with the body of one. */
  readonly #answers = new Map<number, [number, string]>()
  readonly #work: Promise<unknown>

  constructor(gateway: Gateway, hosts: readonly string[]) {
    this.#work = Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        using connection = await gateway.connect()
        while (!this.#over) {
          const { status, body } = await connection.request({ host: hosts[i % hosts.length]! })
          this.#answers.set(status, [(this.#answers.get(status)?.[0] ?? 0) + 1, `${body}`.slice(0, 300)])
        }
      }),
    )
  }

  async end(): Promise<ReadonlyMap<number, readonly [number, string]>> {
    this.#over = true
    await this.#work
    return this.#answers
  }

  [Symbol.dispose](): void {
    this.#over = true
    this.#work.catch(() => {})
  }
}
