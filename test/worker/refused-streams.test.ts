/** Requests that an endpoint over HTTP/2 has provably not processed are sent again, and no other. */
import assert from 'node:assert/strict'
import { Agent, request as httpRequest } from 'node:http'
import { describe, it } from 'node:test'
import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { ErrorCode, Setting } from '../../src/http/frames.ts'
import { data, headers, reset } from '../http/raw-frames.ts'
import { type FramePeer, type FrameServer, frameServer, type SeenRequest } from '../http2/frame-server.ts'
import { realTimers, type Scope, until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { toUp } from './test-plane.ts'

/** No retry is paid for by the policy. */
const RULES = toUp({ retry: { attempts: 0 } })

async function gatewayTo(scope: Scope, ...servers: FrameServer[]): Promise<InProcess> {
  const connector = new H2cConnector(realTimers())
  return inProcess(scope, { upstreams: servers.map(({ port }) => port), rules: RULES, connector })
}

async function post(gateway: InProcess, agent: Agent, body: string, length = body.length): Promise<[number, string]> {
  const { promise, resolve, reject } = Promise.withResolvers<[number, string]>()
  const headers = { host: 'h.test', 'content-length': length }
  const req = httpRequest(
    { host: '127.0.0.1', port: gateway.port, agent, method: 'POST', path: '/', headers },
    (res) => {
      let text = ''
      res.on('data', (part: Buffer) => (text += part.toString()))
      res.on('end', () => resolve([res.statusCode!, text]))
    },
  )
  req.on('error', reject)
  req.end(body)
  return promise
}

function reasonOf(body: string): string {
  return (JSON.parse(body) as { reason: string }).reason
}

describe('a request that was refused over HTTP/2', () => {
  it('is lost by no GOAWAY, and processed once, however many there are', async (t) => {
    const processed: string[] = []
    const answered = new Set<SeenRequest>()
    /** Answers, and says GOAWAY behind every seventh request: those that come after it are not processed. */
    const serve = (peer: FramePeer): void => {
      for (const request of peer.requests) {
        if (!request.ended || answered.has(request) || peer.requests.indexOf(request) >= 7) continue
        answered.add(request)
        processed.push(request.body)
        peer.respond(request.stream, `got ${request.body}`)
        if (answered.size % 7 === 0) peer.goaway(request.stream)
      }
    }
    const begin = (peer: FramePeer): void => peer.greet(Setting.MAX_CONCURRENT_STREAMS, 7)
    // The answers of one connection end with its seventh request, in the order of their streams.
    const ordered = (peer: FramePeer): void => {
      const seventh = peer.requests[6]
      if (seventh === undefined || peer.requests.slice(0, 7).every((request) => request.ended)) serve(peer)
    }
    const server = await frameServer(t, begin, ordered)
    const gateway = await gatewayTo(t, server)
    const agent = new Agent({ keepAlive: true, maxSockets: 21 })
    t.after(() => agent.destroy())
    const bodies = Array.from({ length: 210 }, (_, i) => `body ${i} ${'x'.repeat(i * 10)}`)
    const results = await Promise.all(bodies.map((body) => post(gateway, agent, body)))
    for (const [i, result] of results.entries()) assert.deepEqual(result, [200, `got ${bodies[i]}`])
    assert.deepEqual(processed.toSorted(), bodies.toSorted(), 'each once')
    assert.ok(server.peers.length >= 30, `${server.peers.length} connections`)
    agent.destroy()
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
  })

  it('goes to another endpoint at once', async (t) => {
    const refusing = await frameServer(
      t,
      (peer) => peer.greet(),
      (peer) => {
        for (const request of peer.requests)
          if (request.reset === null) {
            request.reset = 0
            peer.send(reset(request.stream, ErrorCode.REFUSED_STREAM))
          }
      },
    )
    const taking = await frameServer(
      t,
      (peer) => peer.greet(),
      (peer) => {
        for (const request of peer.requests)
          if (request.ended && request.reset === null) {
            request.reset = 0
            peer.respond(request.stream, request.body)
          }
      },
    )
    const gateway = await gatewayTo(t, refusing, taking)
    const agent = new Agent({ keepAlive: true })
    t.after(() => agent.destroy())
    for (let i = 0; i < 20; i++) assert.deepEqual(await post(gateway, agent, `${i}`), [200, `${i}`])
    assert.ok(refusing.peers.length > 0)
  })

  it('is refused in the end by an endpoint that refuses all: three times, and no more', async (t) => {
    const refusing = await frameServer(
      t,
      (peer) => peer.greet(),
      (peer) => {
        for (const request of peer.requests)
          if (request.ended && request.reset === null) {
            request.reset = 0
            peer.send(reset(request.stream, ErrorCode.REFUSED_STREAM))
          }
      },
    )
    const gateway = await gatewayTo(t, refusing)
    const agent = new Agent()
    const [status, body] = await post(gateway, agent, 'x')
    assert.deepEqual([status, reasonOf(body)], [503, 'StreamRefused'])
    const all = refusing.peers.flatMap((peer) => peer.requests)
    assert.deepEqual(
      all.map((request) => request.body),
      ['x', 'x', 'x'],
    )
    const [line] = gateway.log()
    assert.deepEqual([line!.reason, line!.attempts], ['StreamRefused', 3])
  })

  it('is not sent again once more of its body was sent than is kept, nor once a response has begun', async (t) => {
    const server = await frameServer(
      t,
      (peer) => peer.greet(Setting.INITIAL_WINDOW_SIZE, 1_000_000),
      (peer) => {
        for (const request of peer.requests) {
          const large = request.body.length >= 200_000
          if (request.reset !== null || !(large || request.ended)) continue
          request.reset = 0
          if (!large) peer.send(headers(request.stream, [[':status', '103']], { end: false }))
          peer.send(reset(request.stream, ErrorCode.REFUSED_STREAM))
        }
      },
    )
    const gateway = await gatewayTo(t, server)
    const agent = new Agent()
    for (const body of ['x'.repeat(200_000), 'small']) {
      const [status, text] = await post(gateway, agent, body)
      assert.deepEqual([status, reasonOf(text)], [503, 'StreamRefused'])
    }
    assert.equal(server.peers.flatMap((peer) => peer.requests).length, 2)
  })

  it('is not sent again where it may have been processed', async (t) => {
    const server = await frameServer(
      t,
      (peer) => peer.greet(),
      (peer) => {
        for (const request of peer.requests)
          if (request.ended && request.reset === null) {
            request.reset = 0
            // GOAWAY counts it among those that were, or may have been.
            peer.goaway(request.stream)
            peer.send(reset(request.stream, ErrorCode.CANCEL))
          }
      },
    )
    const gateway = await gatewayTo(t, server)
    const [status, body] = await post(gateway, new Agent(), 'x')
    assert.deepEqual([status, reasonOf(body)], [502, 'ResetBeforeResponse'])
    assert.equal(server.peers.flatMap((peer) => peer.requests).length, 1)
    await until(() => server.peers[0]!.closed)
  })

  it('is not sent again where a response had begun, whatever the reset says', async (t) => {
    const server = await frameServer(
      t,
      (peer) => peer.greet(),
      (peer) => {
        for (const request of peer.requests)
          if (request.ended && request.reset === null) {
            request.reset = 0
            peer.send(headers(request.stream, [[':status', '200']], { end: false }), data(request.stream, 'part'))
            peer.send(reset(request.stream, ErrorCode.REFUSED_STREAM))
          }
      },
    )
    const gateway = await gatewayTo(t, server)
    // Nothing of it has left when the reset comes in the same read.
    const [status, body] = await post(gateway, new Agent(), 'x')
    assert.deepEqual([status, reasonOf(body)], [502, 'UpstreamTruncated'])
    assert.equal(server.peers.flatMap((peer) => peer.requests).length, 1)
  })
})
