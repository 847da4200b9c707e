import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { TlsConnector } from '../../src/connector/tls-connector.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { HTTP1, rawEndpoint, Secrets, type TlsEndpoint, tlsEndpoint, tlsState } from '../connector/tls-endpoint.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { deafPort, until } from '../socket/sockets.ts'
import { type TestUpstream, World } from '../suite/pool-world.ts'
import { type UpstreamRig, upstreamSuite } from '../suite/upstream.ts'

const authority = new TestAuthority()
const issued = authority.server('up.test')

function connectorFor(ca = authority.ca): TlsConnector {
  const secrets = new Secrets()
  const tls = { ...secrets.ca(ca), serverName: 'up.test' }
  return new TlsConnector({ backend: 'default/up', tls, protocol: HTTP1 }, tlsState(secrets))
}

class TlsUpstream implements TestUpstream {
  readonly #endpoint: TlsEndpoint
  readonly connector = connectorFor()
  readonly clock = systemTimers
  readonly capacity = 1
  readonly until = until

  constructor(endpoint: TlsEndpoint) {
    this.#endpoint = endpoint
  }

  get port(): number {
    return this.#endpoint.port
  }

  get open(): number {
    return this.#endpoint.sockets.size
  }

  refuse(): void {
    this.#endpoint.server.close()
  }

  leave(): void {
    for (const socket of this.#endpoint.sockets) socket.end()
  }
}

/** Answers each request with the one chunk of its body, once it is complete. */
function echo(socket: TLSSocket): void {
  let text = ''
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    const body = /\r\n\r\n[0-9a-f]+\r\n(.*)\r\n0\r\n\r\n$/s.exec(text)?.[1]
    if (body === undefined) return
    text = ''
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  })
}

const overTls: UpstreamRig = {
  capacity: 1,
  async upstream(scope, what) {
    const endpoint = await tlsEndpoint(scope, issued, echo)
    const upstream = new TlsUpstream(what === 'deaf' ? { ...endpoint, port: await deafPort(scope) } : endpoint)
    if (what === 'refusing') upstream.refuse()
    return upstream
  },
}

upstreamSuite('over TLS', overTls)

describe('a pool over TLS', () => {
  it('says ConnectTimeout, and where, when an endpoint stalls within the handshake', async (t) => {
    const port = await rawEndpoint(t, () => {})
    const upstream = { ...stub(port), connector: connectorFor() }
    const world = new World(upstream, { connectTimeout: 100 })
    const waiting = world.ask()
    await waiting.settled.promise
    assert.equal(waiting.error?.reason, 'ConnectTimeout')
    assert.match(waiting.error?.detail ?? '', /TLS handshake$/)
    assert.deepEqual([world.pool.open, world.timers.armed], [0, 0])
  })

  it('gives the place back where the certificate does not verify, and sends nothing of the request', async (t) => {
    let received = 0
    const { port } = await tlsEndpoint(t, issued, (socket) =>
      socket.on('data', (bytes: Buffer) => (received += bytes.length)),
    )
    const world = new World({ ...stub(port), connector: connectorFor(new TestAuthority().ca) })
    world.maxConnections = 1
    for (let i = 0; i < 3; i++) {
      const waiting = world.ask()
      await waiting.settled.promise
      assert.equal(waiting.error?.reason, 'UpstreamCertificateUntrusted')
      assert.deepEqual([world.left, world.pool.open], [1, 0])
    }
    assert.equal(received, 0)
  })

  for (const [what, end, expected] of [
    ['by close_notify', (socket: TLSSocket) => void socket.end(), 'ended'],
    ['without close_notify', (socket: TLSSocket) => void socket.destroy(), 'UpstreamTruncated'],
  ] as const)
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
      it(`takes the end of a response without a length ${what} as ${expected}, over ${version}`, async (t) => {
        const { port } = await tlsEndpoint(t, { ...issued, maxVersion: version }, (socket) => {
          socket.once('data', () =>
            socket.write('HTTP/1.1 200 OK\r\n\r\nsome of the body', () => setImmediate(() => end(socket))),
          )
        })
        const world = new World({ ...stub(port), connector: connectorFor() })
        const asked = world.ask()
        await asked.settled.promise
        asked.stream!.end(null)
        const outcome = await asked.over.promise.then(
          () => 'ended',
          () => asked.error!.reason,
        )
        assert.deepEqual([outcome, asked.body], [expected, 'some of the body'])
        assert.equal(world.pool.open, 0)
      })
})

function stub(port: number): Omit<TestUpstream, 'connector'> {
  return { clock: systemTimers, port, open: 0, capacity: 1, until, refuse: () => {}, leave: () => {} }
}
