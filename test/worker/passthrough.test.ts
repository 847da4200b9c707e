/** TLS that is not ended here: whole connections by the name in their ClientHello, on sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import type { Rules } from '../compile/world.ts'
import { closedPort, rawBackend } from '../feature/backends.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { until } from '../socket/sockets.ts'
import { clientHello, common, records, serverName } from '../tls/hello-writer.ts'
import { type Scope, toUp } from './test-plane.ts'
import { type TlsRig, type TlsRigOptions, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const NAME = 'pass.example'
const HELLO = records(clientHello([serverName(NAME), ...common()]))

/** A server that ends TLS itself, and answers with what it is sent, behind its own name. */
async function secureBackend(t: Scope, name = 'own'): Promise<number> {
  const issued = authority.server(NAME)
  const sockets = new Set<TLSSocket>()
  const server = createServer({ cert: issued.cert, key: issued.key }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => socket.write(`${name}: ${bytes.toString()}`))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as { port: number }).port
}

/** @param options `passed`: the rules of the Route instead of one that leads to the Backend */
function passing(t: Scope, options: TlsRigOptions & { readonly passed?: Rules } = {}): Promise<TlsRig> {
  const policies = options.rules?.all?.policies ?? { retry: { attempts: 1, backoff: '1ms' } }
  return tlsRig(t, {
    ...options,
    rules: { all: { respond: { statusCode: 200, body: 'decrypted' } } },
    routes: {
      'default/pass': {
        hostnames: [NAME, '*.pass.example'],
        tls: { mode: 'Passthrough', http: 'Redirect', minVersion: 'TLS1.2' },
        rules: options.passed ?? toUp(policies),
      },
    },
  })
}

async function said(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text)
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  return bytes.toString()
}

/** The fatal alert that came instead of a handshake. */
async function alertOf(rig: TlsRig, hello: Buffer): Promise<number> {
  const client = connectTcp(rig.tlsPort, '127.0.0.2')
  client.write(hello)
  const parts: Buffer[] = []
  for await (const bytes of client) parts.push(bytes as Buffer)
  const answer = Buffer.concat(parts)
  assert.deepEqual([answer.length, answer[0], answer[5]], [7, 21, 2])
  return answer[6]!
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

describe('TLS passthrough', () => {
  it('goes on to the next priority where no connection can be made', async (t) => {
    const rig = await passing(t, {
      upstreams: [await secureBackend(t)],
      backends: { 'default/away': { upstreams: [await closedPort()] } },
      passed: {
        all: {
          backendRefs: [
            { name: 'away', weight: 1, priority: 0 },
            { name: 'up', weight: 1, priority: 1 },
          ],
          splitAffinity: { by: ['header:x-user'], cookie: { name: 'part' } },
          policies: { retry: { attempts: 1, backoff: '1ms' } },
        },
      },
    })
    const socket = await rig.handshake({ servername: NAME, ca: authority.ca, rejectUnauthorized: true })
    assert.equal(await said(socket, 'hello'), 'own: hello')
    socket.end()
    await closed(socket)
  })

  it('joins the client with a backend that has the certificate, and logs the connection', async (t) => {
    const rig = await passing(t, { upstreams: [await secureBackend(t)], defaultSecret: 'default' })
    rig.secret('default', authority.server('default.example'))
    const socket = await rig.handshake({ servername: NAME, ca: authority.ca, rejectUnauthorized: true })
    assert.equal(socket.getPeerCertificate().subject.CN, NAME)
    assert.equal(await said(socket, 'hello'), 'own: hello')
    socket.end()
    await closed(socket)
    await rig.nothingLeft()
    const [line] = rig.log()
    assert.deepEqual(
      [line!.protocol, line!.host, line!.route, line!.rule, line!.backend, line!.status, line!.reason, line!.attempts],
      ['TLS', NAME, 'default/pass', 'all', 'default/up', 0, undefined, 1],
    )
    assert.match(String(line!.endpoint), /^127\.0\.0\.1:\d+$/)
    assert.ok(Number(line!.bytesIn) > 500 && Number(line!.bytesOut) > 500 && Number(line!.duration) >= 0)
    assert.deepEqual(rig.handshakes, [])
  })

  it('stands beside hosts whose TLS ends here, on one port', async (t) => {
    const rig = await passing(t, { upstreams: [await secureBackend(t)], defaultSecret: 'default' })
    rig.secret('default', authority.server('default.example'))
    for (const [servername, expected] of [
      ['other.example', 'default.example'],
      [NAME, NAME],
      ['Deep.SUB.pass.example.', NAME],
      ['pass.example.evil.example', 'default.example'],
    ] as const) {
      const socket = await rig.handshake({ servername })
      assert.equal(socket.getPeerCertificate().subject.CN, expected, servername)
      socket.destroy()
    }
    await rig.nothingLeft()
  })

  it('takes a ClientHello in single bytes, and hands on every byte once', async (t) => {
    let received = Buffer.alloc(0)
    const { port } = await rawBackend(t, (socket) =>
      socket.on('end', () => socket.end()).on('data', (bytes: Buffer) => (received = Buffer.concat([received, bytes]))),
    )
    const rig = await passing(t, { upstreams: [port] })
    const client = connectTcp({ port: rig.tlsPort, host: '127.0.0.2', noDelay: true })
    for (const byte of HELLO) {
      client.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    client.write('what follows')
    const all = Buffer.concat([HELLO, Buffer.from('what follows')])
    while (received.length < all.length) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.ok(received.equals(all))
    client.destroy()
    await rig.nothingLeft()
  })

  it('says where its client is by a PROXY header, where the Backend wants one', async (t) => {
    let received = Buffer.alloc(0)
    const { port } = await rawBackend(t, (socket) =>
      socket.on('data', (bytes: Buffer) => (received = Buffer.concat([received, bytes]))),
    )
    const connection = {
      connectTimeout: '2s',
      idleTimeout: '60s',
      maxRequestsPerConnection: 0,
      proxyProtocol: 'V1',
    } as const
    const rig = await passing(t, { upstreams: [port], backend: { connection } })
    for (const localAddress of ['127.0.0.5', '127.0.0.6']) {
      received = Buffer.alloc(0)
      const client = connectTcp({ port: rig.tlsPort, host: '127.0.0.2', localAddress })
      client.write(HELLO)
      await until(() => received.includes(HELLO))
      const header = `PROXY TCP4 ${localAddress} 127.0.0.2 ${client.localPort} ${rig.tlsPort}\r\n`
      assert.ok(received.equals(Buffer.concat([Buffer.from(header), HELLO])), received.toString('latin1'))
      client.destroy()
    }
  })

  it('goes to another endpoint where one refuses connections, before a byte is sent', async (t) => {
    const refusing = createTcpServer().listen(0, '127.0.0.1')
    await once(refusing, 'listening')
    const dead = (refusing.address() as { port: number }).port
    refusing.close()
    const rig = await passing(t, { upstreams: [dead, await secureBackend(t)] })
    for (let i = 0; i < 6; i++) {
      const socket = await rig.handshake({ servername: NAME })
      assert.equal(await said(socket, 'x'), 'own: x')
      socket.destroy()
    }
    await rig.nothingLeft()
    assert.ok(rig.log().some(({ attempts }) => attempts === 2))
  })

  it('is refused by an alert where there is no endpoint, no rule, or no connection', async (t) => {
    const none = await passing(t)
    assert.equal(await alertOf(none, HELLO), 80)
    await none.nothingLeft()
    assert.deepEqual(
      none.log().map(({ reason, status, host }) => [reason, status, host]),
      [['NoEndpoint', 503, NAME]],
    )
    const refusing = createTcpServer().listen(0, '127.0.0.1')
    await once(refusing, 'listening')
    const dead = (refusing.address() as { port: number }).port
    refusing.close()
    const failing = await passing(t, { upstreams: [dead] })
    assert.equal(await alertOf(failing, HELLO), 80)
    await failing.nothingLeft()
    assert.equal(failing.log()[0]!.reason, 'ConnectFailure')
    const nobody = await tlsRig(t)
    nobody.host('nobody.example', [], { mode: 'Passthrough' })
    assert.equal(await alertOf(nobody, records(clientHello([serverName('nobody.example'), ...common()]))), 112)
    assert.equal(nobody.log()[0]!.reason, 'RouteNotFound')
  })

  it('counts among the connections of its Backend, and is refused beyond them', async (t) => {
    const rig = await passing(t, {
      upstreams: [await secureBackend(t)],
      backend: { limits: { maxConnections: 1, maxPending: 0, maxConcurrentRequests: 0 } },
    })
    const first = await rig.handshake({ servername: NAME })
    const { backendInFlight, endpointInFlight, exchanges, connections } = rig.holdings
    assert.deepEqual([backendInFlight, endpointInFlight, exchanges, connections], [1, 1, 1, 1])
    assert.equal(await alertOf(rig, HELLO), 80)
    first.destroy()
    await rig.nothingLeft()
    assert.equal(rig.log()[0]!.reason, 'Overloaded')
    const again = await rig.handshake({ servername: NAME })
    again.destroy()
  })

  it('ends on the other side when either vanishes, after what it had sent', async (t) => {
    const seen: Socket[] = []
    const { port } = await rawBackend(t, (socket) => void seen.push(socket.resume()))
    const rig = await passing(t, { upstreams: [port] })
    const client = connectTcp(rig.tlsPort, '127.0.0.2')
    client.write(HELLO)
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const gone = once(seen[0]!, 'close')
    client.resetAndDestroy()
    seen[0]!.on('end', () => seen[0]!.end())
    await gone
    const other = connectTcp(rig.tlsPort, '127.0.0.2')
    other.write(HELLO)
    while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    let answer = ''
    other.on('data', (bytes: Buffer) => (answer += bytes.toString()))
    seen[1]!.end('x'.repeat(500_000))
    await closed(other)
    assert.equal(answer.length, 500_000)
    await rig.nothingLeft()
  })

  it('ends when no byte has moved for the idle time of tunnels', async (t) => {
    const rig = await passing(t, {
      upstreams: [await secureBackend(t)],
      rules: toUp({ timeouts: { tunnelIdle: '200ms' } }),
    })
    const socket = await rig.handshake({ servername: NAME })
    socket.on('error', () => {})
    socket.resume()
    await closed(socket)
    await rig.nothingLeft()
    assert.equal(rig.log()[0]!.reason, 'IdleTimeout')
  })

  it('is waited for in a drain, and cut at its end on both sides', async (t) => {
    const rig = await passing(t, { upstreams: [await secureBackend(t)] })
    const socket = await rig.handshake({ servername: NAME })
    socket.on('error', () => {})
    const drained = rig.listeners.drain(300, () => rig.plane.context.active)
    assert.equal(await said(socket, 'still'), 'own: still')
    await Promise.all([drained, closed(socket.resume())])
    await rig.nothingLeft()
    assert.equal(rig.log()[0]!.reason, 'ShuttingDown')
  })
})
