/** A Backend that speaks TLS, as a worker serves it: Secrets and options that change under load. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createSecureServer } from 'node:http2'
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { BackendSpec } from '../../src/api/backend.ts'
import { Connectors } from '../../src/connector/connectors.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import type { RawClient } from '../feature/raw-client.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { listening, until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'

const CA = 'Secret default/ca ca.crt headgate.dev/ca'
const CHAIN = 'Secret default/client tls.crt kubernetes.io/tls'
const KEY = 'Secret default/client tls.key kubernetes.io/tls'

interface Upstream {
  readonly server: Server
  readonly port: number
  readonly sockets: Set<TLSSocket>
  /** Connections whose handshake is complete, so far. */
  connections: number
}

/** Answers with what it sees of the connection. */
async function upstream(t: TestContext, options: ServerOptions): Promise<Upstream> {
  const server = createServer(options, (req, res) => {
    const socket = req.socket as TLSSocket
    res.end(`${String(socket.servername)} ${socket.getPeerCertificate().subject?.CN ?? 'nobody'}`)
  })
  const raw = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    raw.add(socket)
    socket.on('close', () => raw.delete(socket))
  })
  const made: Upstream = { server, port: 0, sockets: new Set(), connections: 0 }
  server.on('secureConnection', (socket: TLSSocket) => {
    made.connections++
    made.sockets.add(socket)
    socket.on('close', () => made.sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of raw) socket.destroy()
  })
  return Object.assign(made, { port: (server.address() as AddressInfo).port })
}

const https = (tls: Partial<NonNullable<BackendSpec['tls']>> = {}): Partial<BackendSpec> => ({
  protocol: 'HTTPS',
  tls: { caSecretName: 'ca', serverName: 'up.test', insecureSkipVerify: false, ...tls },
})

function gatewayTo(t: TestContext, port: number, backend = https()): Promise<InProcess> {
  return inProcess(t, { upstreams: [port], backend, connectors: new Connectors(systemTimers) })
}

function deliver(gateway: InProcess, contents: Readonly<Record<string, string | null>>): void {
  gateway.plane.messages.accept({
    type: 'contents',
    contents: Object.entries(contents).map(([id, text]) => ({ id, bytes: text === null ? null : Buffer.from(text) })),
  })
}

const problem = ({ text }: { readonly text: string }): unknown => (JSON.parse(text) as { reason: string }).reason

/** Clients that ask without a pause until they are stopped; @returns what they got that is no answer */
function load(clients: readonly RawClient[]): { stop(): Promise<string[]>; readonly served: number } {
  const failed: string[] = []
  let served = 0
  let running = true
  const runs = clients.map(async (client) => {
    while (running) {
      const { status, text } = await client.request()
      if (status === 200) served++
      else failed.push(text)
    }
  })
  return {
    async stop() {
      running = false
      await Promise.all(runs)
      for (const client of clients) client.end()
      return failed
    },
    get served() {
      return served
    },
  }
}

describe('a Backend that speaks HTTPS', () => {
  const old = new TestAuthority('Old')
  const young = new TestAuthority('Young')
  const clients = new TestAuthority('Clients')

  it('gets requests over connections that are verified, and answers 503 while its CA is missing', async (t) => {
    const up = await upstream(t, old.server('up.test'))
    const gateway = await gatewayTo(t, up.port)
    const client = await gateway.connect()
    const missing = await client.request()
    assert.deepEqual([missing.status, problem(missing)], [503, 'UpstreamTlsUnavailable'])
    assert.equal(up.connections, 0)
    deliver(gateway, { [CA]: old.ca })
    assert.equal((await client.request()).text, 'up.test nobody')
    await client.request()
    assert.equal(up.connections, 1)
    deliver(gateway, { [CA]: null })
    assert.equal((await client.request()).status, 503)
    await until(() => up.sockets.size === 0)
  })

  it('is 502 with the reason where the certificate does not verify, and never gets the request in clear', async (t) => {
    let clear = ''
    const plain = await listening(t, (socket) =>
      socket
        .on('data', (bytes: Buffer) => (clear += bytes.toString('latin1')))
        .on('data', () => socket.end('HTTP/1.1 400 x\r\n\r\n')),
    )
    for (const [port, reason] of [
      [(await upstream(t, young.server('up.test'))).port, 'UpstreamCertificateUntrusted'],
      [(await upstream(t, old.server('other.test'))).port, 'UpstreamCertificateMismatch'],
      [plain.port, 'UpstreamTlsFailure'],
    ] as const) {
      const gateway = await gatewayTo(t, port)
      deliver(gateway, { [CA]: old.ca })
      const client = await gateway.connect()
      const response = await client.request({ method: 'POST', body: 'secret' })
      assert.deepEqual([response.status, problem(response)], [502, reason])
      assert.match(String(gateway.log().at(-1)?.detail), /^127\.0\.0\.1:\d+: /)
    }
    assert.ok(clear.length > 0 && !/POST|secret|HTTP/.test(clear))
  })

  it('loses no request while its CA is rotated, and leaves the connections of before', async (t) => {
    const up = await upstream(t, old.server('up.test'))
    const gateway = await gatewayTo(t, up.port)
    deliver(gateway, { [CA]: old.ca })
    const work = load(await Promise.all(Array.from({ length: 8 }, () => gateway.connect())))
    const more = async (): Promise<void> => {
      const before = work.served
      await until(() => work.served > before + 100)
    }
    await more()
    const first = new Set(up.sockets)
    deliver(gateway, { [CA]: old.ca + young.ca })
    await more()
    await until(() => [...first].every((socket) => socket.destroyed))
    up.server.setSecureContext(young.server('up.test'))
    const second = new Set(up.sockets)
    deliver(gateway, { [CA]: young.ca })
    await more()
    await until(() => [...second].every((socket) => socket.destroyed))
    assert.deepEqual(await work.stop(), [])
    await gateway.nothingLeft()
  })

  it('shows its client certificate, and the next one on new connections', async (t) => {
    const up = await upstream(t, {
      ...old.server('up.test'),
      ca: clients.ca,
      requestCert: true,
      rejectUnauthorized: true,
    })
    const gateway = await gatewayTo(t, up.port, https({ clientCertificateSecretName: 'client' }))
    const client = await gateway.connect()
    const said: string[] = []
    for (const name of ['one', 'one', 'two']) {
      if (said.length !== 1) {
        const { cert, key } = clients.client(name)
        deliver(gateway, { [CA]: old.ca, [CHAIN]: cert, [KEY]: key })
      }
      said.push((await client.request()).text)
    }
    assert.deepEqual(said, ['up.test one', 'up.test one', 'up.test two'])
    deliver(gateway, { [KEY]: clients.client('other').key })
    const broken = await client.request()
    assert.deepEqual([broken.status, problem(broken)], [503, 'UpstreamTlsUnavailable'])
  })

  it('speaks HTTP/2 where the protocol says so, verified alike, and never to an endpoint that does not', async (t) => {
    const server = createSecureServer(old.server('up.test'), (req, res) => res.end(`HTTP/${req.httpVersion}`))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => void server.close())
    const { port } = server.address() as AddressInfo
    for (const protocol of ['H2', 'GRPCS'] as const) {
      const gateway = await gatewayTo(t, port, { ...https(), protocol })
      deliver(gateway, { [CA]: old.ca })
      const client = await gateway.connect()
      assert.equal((await client.request()).text, 'HTTP/2.0')
      deliver(gateway, { [CA]: young.ca })
      assert.equal(problem(await client.request()), 'UpstreamCertificateUntrusted')
      client.end()
    }
    const gateway = await gatewayTo(t, (await upstream(t, old.server('up.test'))).port, { ...https(), protocol: 'H2' })
    deliver(gateway, { [CA]: old.ca })
    assert.equal(problem(await (await gateway.connect()).request()), 'UpstreamTlsFailure')
  })

  it('says that the endpoint refuses it where a client certificate is missing', async (t) => {
    const up = await upstream(t, {
      ...old.server('up.test'),
      ca: clients.ca,
      requestCert: true,
      rejectUnauthorized: true,
    })
    const gateway = await gatewayTo(t, up.port)
    deliver(gateway, { [CA]: old.ca })
    const response = await (await gateway.connect()).request()
    assert.equal(response.status, 502)
    // A reset may overtake the alert.
    assert.match(String(problem(response)), /^(UpstreamTlsFailure|ResetBeforeResponse)$/)
  })

  it('loses no request when tls and protocol change, and no connection is used under other options', async (t) => {
    const names = ['up.test', 'other.test']
    const up = await upstream(t, old.server(...names))
    const clear = await listening(t, (socket) =>
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nclear')),
    )
    const gateway = await gatewayTo(t, up.port)
    deliver(gateway, { [CA]: old.ca })
    const work = load(await Promise.all(Array.from({ length: 4 }, () => gateway.connect())))
    const client = await gateway.connect()
    for (const [port, backend, expected] of [
      [up.port, https({ serverName: 'other.test' }), 'other.test nobody'],
      [up.port, https({ serverName: 'other.test', insecureSkipVerify: true }), 'other.test nobody'],
      [clear.port, {}, 'clear'],
      [up.port, https(), 'up.test nobody'],
    ] as const) {
      const before = new Set(up.sockets)
      await gateway.link({ upstreams: [port], backend })
      assert.equal((await client.request()).text, expected)
      await until(() => [...before].every((socket) => socket.destroyed))
    }
    assert.deepEqual(await work.stop(), [])
  })
})
