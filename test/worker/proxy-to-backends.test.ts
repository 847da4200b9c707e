import assert from 'node:assert/strict'
import { createServer as createH2Server } from 'node:http2'
import type { Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { TLSSocket } from 'node:tls'
import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { TlsConnector } from '../../src/connector/tls-connector.ts'
import type { Connector } from '../../src/transport/connector.ts'
import { HTTP1, Secrets, tlsState } from '../connector/tls-endpoint.ts'
import type { RawClient } from '../feature/raw-client.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { type OracleHeader, readProxyHeader } from '../proxy-protocol/oracle.ts'
import { listening, realTimers, until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { settingsWith } from './test-plane.ts'

const authority = new TestAuthority()
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

interface Announced {
  readonly header: Exclude<OracleHeader, string>
  readonly socket: Socket
  /** Requests that came on it. */
  requests: number
}

/** An endpoint that reads a PROXY header, then perhaps a handshake, then requests. */
async function endpoint(t: TestContext, tls: boolean): Promise<{ readonly port: number; readonly all: Announced[] }> {
  const all: Announced[] = []
  const { port } = await listening(t, (socket) => {
    let bytes = Buffer.alloc(0)
    const onData = (more: Buffer): void => {
      bytes = Buffer.concat([bytes, more])
      const header = readProxyHeader(bytes)
      if (header === 'open') return
      socket.off('data', onData)
      if (header === 'refused') return void socket.destroy()
      const announced: Announced = { header, socket, requests: 0 }
      all.push(announced)
      const rest = bytes.subarray(header.length)
      socket.pause()
      if (rest.length > 0) socket.unshift(rest)
      const plain = tls ? new TLSSocket(socket, { isServer: true, ...authority.server('up.test') }) : socket
      plain.on('error', () => {})
      let text = ''
      plain.on('data', (part: Buffer) => {
        text += part.toString('latin1')
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          announced.requests++
          const hold = text.startsWith('GET /hold')
          text = text.slice(end + 4)
          if (!hold) plain.write(ANSWER)
        }
      })
      plain.resume()
    }
    socket.on('data', onData)
    socket.on('end', () => socket.end())
  })
  return { port, all }
}

async function gatewayTo(
  t: TestContext,
  version: 'V1' | 'V2',
  port: number,
  more: { readonly connector?: Connector; readonly maxConnections?: number } = {},
): Promise<InProcess> {
  const { connector, maxConnections = 1024 } = more
  return inProcess(t, {
    upstreams: [port],
    backend: {
      connection: { connectTimeout: '2s', idleTimeout: '60s', maxRequestsPerConnection: 0, proxyProtocol: version },
      limits: { maxConnections, maxPending: 16, maxConcurrentRequests: 0 },
    },
    ...(connector === undefined ? {} : { connector }),
  })
}

const ends = (client: RawClient, gateway: InProcess): unknown => [
  '127.0.0.1',
  client.socket.localPort,
  '127.0.0.1',
  gateway.port,
]

describe('a Backend that wants PROXY headers', () => {
  for (const version of ['V1', 'V2'] as const)
    for (const tls of [false, true])
      it(`is told of each client first, in ${version}, ${tls ? 'before the handshake' : 'in clear'}`, async (t) => {
        const { port, all } = await endpoint(t, tls)
        const secrets = new Secrets()
        const options = {
          backend: 'default/up',
          tls: { ...secrets.ca(authority.ca), serverName: 'up.test' },
          protocol: HTTP1,
        }
        const gateway = await gatewayTo(
          t,
          version,
          port,
          tls ? { connector: new TlsConnector(options, tlsState(secrets)) } : {},
        )
        const [one, two] = [await gateway.connect(), await gateway.connect()]
        for (const client of [one, two, one, two]) assert.equal((await client.request()).text, 'ok')
        assert.deepEqual(
          all.map(({ header, requests }) => [header.connection, requests]),
          [
            [ends(one, gateway), 2],
            [ends(two, gateway), 2],
          ],
        )
      })

  it('gets a connection for each of many clients, and none is used by another', async (t) => {
    const { port, all } = await endpoint(t, false)
    const gateway = await gatewayTo(t, 'V2', port)
    const clients = await Promise.all(Array.from({ length: 20 }, () => gateway.connect()))
    for (let round = 0; round < 3; round++) await Promise.all(clients.map((client) => client.request()))
    assert.equal(all.length, clients.length)
    const told = new Set(all.map(({ header }) => header.connection?.[1]))
    assert.deepEqual(told, new Set(clients.map(({ socket }) => socket.localPort)))
    assert.ok(all.every(({ requests }) => requests === 3))
  })

  it('gets a connection of HTTP/2 for each client, which all requests of that client share', async (t) => {
    const seen: string[] = []
    const h2 = createH2Server((req, res) => {
      const { header } = headers.get(req.stream.session!.socket.remotePort!)!
      seen.push(`${req.url} on ${String(header.connection?.[1])}`)
      setImmediate(() => res.end('ok'))
    })
    const headers = new Map<number, Pick<Announced, 'header'>>()
    const { port } = await listening(t, (socket) => {
      socket.once('data', (bytes: Buffer) => {
        const header = readProxyHeader(bytes)
        assert.ok(typeof header === 'object')
        headers.set(socket.remotePort!, { header })
        socket.pause()
        socket.unshift(bytes.subarray(header.length))
        h2.emit('connection', socket)
      })
    })
    const gateway = await gatewayTo(t, 'V2', port, { connector: new H2cConnector(realTimers()) })
    const clients = await Promise.all([gateway.connect(), gateway.connect(), gateway.connect()])
    for (let round = 0; round < 4; round++)
      await Promise.all(clients.map((client) => client.request({ path: `/${String(client.socket.localPort)}` })))
    assert.equal(seen.length, 12)
    for (const line of seen) assert.match(line, /^\/(\d+) on \1$/)
    assert.equal(headers.size, 3)
  })

  it('is told of the client that a trusted proxy names, by its address alone', async (t) => {
    const { port, all } = await endpoint(t, false)
    const gateway = await gatewayTo(t, 'V2', port)
    const listeners = [{ name: 'http', address: '127.0.0.1', port: 0 }]
    await gateway.use({
      ...settingsWith(listeners),
      clientAddress: { header: 'x-forwarded-for', trustedCIDRs: ['127.0.0.0/8'], trustedHops: 0 },
    })
    const client = await gateway.connect()
    for (const address of ['203.0.113.7', '203.0.113.8', '203.0.113.7', '2001:db8::1'])
      await client.request({ headers: { 'x-forwarded-for': address } })
    const { port: own } = gateway
    assert.deepEqual(
      all.map(({ header, requests }) => [header.connection, requests]),
      [
        [['203.0.113.7', 0, '127.0.0.1', own], 2],
        [['203.0.113.8', 0, '127.0.0.1', own], 1],
        [['2001:db8::1', 0, '127.0.0.1', own], 1],
      ],
    )
  })

  it('keeps no connection of clients that are gone for more than a moment: its places are for others', async (t) => {
    const { port, all } = await endpoint(t, false)
    const gateway = await gatewayTo(t, 'V2', port, { maxConnections: 2 })
    for (let i = 0; i < 6; i++) {
      const client = await gateway.connect()
      assert.equal((await client.request()).text, 'ok')
      client.end()
    }
    assert.ok(gateway.upstreamConnections <= 2)
    assert.equal(all.length, 6)
    gateway.plane.backends.sweep(gateway.plane.timers.touch() + 1_000)
    await until(() => gateway.upstreamConnections === 0)
    await gateway.nothingLeft()
  })

  it('hears of a client that goes away while its request waits there', async (t) => {
    const { port, all } = await endpoint(t, false)
    const gateway = await gatewayTo(t, 'V1', port)
    const client = await gateway.connect()
    client.send('GET /hold HTTP/1.1\r\nhost: a\r\n\r\n')
    await until(() => all[0]?.requests === 1)
    const closed = new Promise((resolve) => all[0]!.socket.once('close', resolve))
    client.reset()
    await closed
    await gateway.nothingLeft()
  })
})
