/** Requests that filters make besides the client's own: through the same pools, shares, guard and deadlines. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../src/lib/error.ts'
import type { BodyControl, BodySource } from '../../src/message/body.ts'
import { Fields } from '../../src/message/fields.ts'
import type { FilterDefinition } from '../../src/policy/registry.ts'
import type { OutgoingClient, OutgoingRequest, OutgoingResponse } from '../../src/policy/services.ts'
import { closedPort, onHead, rawBackend } from '../feature/backends.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, type Scope, toUp } from '../worker/test-plane.ts'

const BACKEND = 'default/up'

/** A gateway, and the client that its filters are handed. */
async function withClient(
  scope: Scope,
  options: InProcessOptions,
): Promise<{ gateway: InProcess; client: OutgoingClient }> {
  const { promise, resolve } = Promise.withResolvers<OutgoingClient>()
  const definition: FilterDefinition = {
    name: 'caller',
    phase: 'plugin',
    create(_, { client }) {
      resolve(client)
      return undefined
    },
  }
  const gateway = await inProcess(scope, { rules: toUp(), ...options, definitions: [definition] })
  return { gateway, client: await promise }
}

function call(more: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return { backend: BACKEND, method: 'GET', path: '/x?y', fields: new Fields(), timeout: 2_000, ...more }
}

function text(body: BodySource): Promise<string> {
  return new Promise((resolve, reject) => {
    let all = ''
    body.start({
      write(chunk) {
        all += Buffer.from(chunk).toString()
        return true
      },
      end: () => resolve(all),
      fail: reject,
    })
  })
}

const reason = (expected: string) => (error: unknown) => error instanceof GatewayError && error.reason === expected

describe('a request of the gateway itself', () => {
  it('is sent with its own framing, counted for loops, and its response is a stream', async (t) => {
    const heads: string[] = []
    const bodies: string[] = []
    const upstream = await rawBackend(t, (socket) => {
      onHead(socket, (head, rest) => {
        heads.push(head)
        bodies.push(rest.toString())
        socket.write('HTTP/1.1 207 X\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n')
      })
    })
    const { gateway, client } = await withClient(t, { upstreams: [upstream.port] })
    const fields = Fields.from({
      'content-length': '999',
      'transfer-encoding': 'chunked',
      connection: 'close',
      host: 'h.test',
      'x-request-id': 'mine',
      'x-own': '1',
    })
    const response = await client.request(call({ method: 'POST', fields, body: Buffer.from('hello') }))
    assert.deepEqual([response.status, response.fields.get('x-a'), await text(response.body)], [207, 'b', 'abcde'])
    const [head = ''] = heads
    assert.match(head, /^POST \/x\?y HTTP\/1\.1\r\n/)
    assert.match(head, /\r\ncontent-length: 5\r\n/)
    assert.doesNotMatch(head, /transfer-encoding|connection: close|999/)
    assert.match(head, /\r\nhost: h\.test\r\n/)
    assert.match(head, /\r\nx-own: 1\r\n/)
    assert.match(head, /\r\nx-request-id: mine\r\n/)
    assert.match(head, /\r\ncdn-loop: headgate-[0-9a-f]+\r\n/)
    await gateway.nothingLeft()
    // The same pool: the connection is used again, by a request without a body.
    const again = await client.request(call())
    assert.equal(await text(again.body), 'abcde')
    assert.doesNotMatch(heads[1]!, /content-length|transfer-encoding/)
    assert.equal(gateway.upstreamConnections, 1)
    await gateway.nothingLeft()
  })

  it('is held by back-pressure, at most one read ahead', async (t) => {
    const large = 4 * 1024 * 1024
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => {
        socket.write(`HTTP/1.1 200 X\r\ncontent-length: ${large}\r\n\r\n`)
        socket.write(Buffer.alloc(large))
      }),
    )
    const { gateway, client } = await withClient(t, { upstreams: [upstream.port] })
    const { body } = await client.request(call())
    assert.equal(body.length, large)
    let got = 0
    let control: BodyControl | undefined
    let woken = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    control = body.start({
      write(chunk) {
        got += chunk.length
        woken.resolve()
        return false
      },
      end: () => over.resolve(),
      fail: (error) => over.reject(error),
    })
    while (got < large) {
      await woken.promise
      const before = got
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(got, before, 'nothing comes until the reader asks')
      woken = Promise.withResolvers()
      control.resume()
    }
    await over.promise
    await gateway.nothingLeft()
  })

  it('fails with a reason: no such Backend, no endpoint, no connection, no response, given up', async (t) => {
    const silent = await rawBackend(t, (socket) => onHead(socket, () => {}))
    const { gateway, client } = await withClient(t, { upstreams: [silent.port] })
    await assert.rejects(client.request(call({ backend: 'default/other' })), reason('BackendNotFound'))
    await assert.rejects(client.request(call({ timeout: 40 })), reason('ResponseHeadTimeout'))
    const abort = new AbortController()
    const pending = client.request(call({ signal: abort.signal }))
    abort.abort()
    await assert.rejects(pending, reason('ClientGone'))
    await assert.rejects(client.request(call({ signal: abort.signal })), reason('ClientGone'))
    await gateway.nothingLeft()
    const empty = await withClient(t, { upstreams: [] })
    await assert.rejects(empty.client.request(call()), reason('NoEndpoint'))
    const dead = await withClient(t, { upstreams: [await closedPort()] })
    await assert.rejects(dead.client.request(call()), reason('ConnectFailure'))
    await dead.gateway.nothingLeft()
  })

  it('passes the dial guard', async (t) => {
    const upstream = await rawBackend(t, (socket) => onHead(socket, () => {}))
    const { client } = await withClient(t, { upstreams: [upstream.port], ownPorts: [upstream.port] })
    await assert.rejects(client.request(call()), reason('AddressNotAllowed'))
  })

  it('takes its place among the requests of the Backend and of its namespace', async (t) => {
    const silent = await rawBackend(t, (socket) => onHead(socket, () => {}))
    const limits = { maxConnections: 10, maxPending: 10, maxConcurrentRequests: 1 }
    const { gateway, client } = await withClient(t, { upstreams: [silent.port], backend: { limits } })
    const abort = new AbortController()
    const first = client.request(call({ signal: abort.signal }))
    assert.deepEqual(
      [gateway.holdings.exchanges, gateway.holdings.backendInFlight, gateway.holdings.endpointInFlight],
      [1, 1, 1],
    )
    await assert.rejects(client.request(call()), reason('Overloaded'))
    abort.abort()
    await assert.rejects(first)
    await gateway.nothingLeft()
  })

  it('fails the body when the upstream aborts, stalls, or the body has no reader', async (t) => {
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, (head) => {
        socket.write('HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\n12345')
        if (head.startsWith('GET /cut')) setImmediate(() => socket.resetAndDestroy())
      }),
    )
    const { gateway, client } = await withClient(t, { upstreams: [upstream.port] })
    const cut = await client.request(call({ path: '/cut' }))
    await assert.rejects(text(cut.body), reason('UpstreamTruncated'))
    const slow = await client.request(call({ path: '/slow', timeout: 40 }))
    await assert.rejects(text(slow.body), reason('IdleTimeout'))
    const unread = await client.request(call({ path: '/unread', timeout: 40 }))
    await gateway.nothingLeft()
    await assert.rejects(text(unread.body), reason('IdleTimeout'))
    const dropped = await client.request(call({ path: '/dropped' }))
    dropped.body.start({ write: () => false, end() {}, fail() {} }).abort()
    await gateway.nothingLeft()
    assert.equal(gateway.upstreamConnections, 0)
  })

  it('carries the passes of the exchange it is made for, and ends with it', async (t) => {
    const heads: string[] = []
    const upstream = await rawBackend(t, (socket) => onHead(socket, (head) => void heads.push(head)))
    const ask: FilterDefinition = {
      name: 'ask',
      phase: 'auth',
      create: (_, { client }) => ({
        name: 'ask',
        async onRequest(x) {
          await client.request(call({ cause: x, fields: Fields.from({ 'cdn-loop': 'forged' }) }))
          return undefined
        },
      }),
    }
    const gateway = await inProcess(t, { upstreams: [upstream.port], rules: toUp(), definitions: [ask] })
    using client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\ncdn-loop: first, second;r=1\r\n\r\n')
    while (heads.length === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.match(heads[0]!, /\r\ncdn-loop: first, second;r=1\r\n/)
    assert.match(heads[0]!, /\r\ncdn-loop: headgate-/)
    assert.doesNotMatch(heads[0]!, /forged/)
    client.reset()
    await gateway.nothingLeft()
    assert.equal(gateway.upstreamConnections, 0)
  })

  it('can be the body of a response: streamed to a slow client, given up with it', async (t) => {
    const large = 8 * 1024 * 1024
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => {
        socket.write(`HTTP/1.1 200 X\r\ncontent-length: ${large}\r\n\r\n`)
        socket.write(Buffer.alloc(large, 'a'))
      }),
    )
    const relay: FilterDefinition = {
      name: 'relay',
      phase: 'plugin',
      create: (_, { client }) => ({
        name: 'relay',
        async onRequest(x) {
          const { status, body }: OutgoingResponse = await client.request(call({ cause: x }))
          return { type: 'respond', response: { status, fields: new Fields(), body } }
        },
      }),
    }
    const gateway = await inProcess(t, { upstreams: [upstream.port], rules: toUp(), definitions: [relay] })
    using client = await gateway.connect()
    const response = await client.request({ host: 'w.test' })
    assert.deepEqual([response.status, response.body.length], [200, large])
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    while (gateway.holdings.exchanges !== 2) await new Promise((resolve) => setImmediate(resolve))
    client.reset()
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
  })
})
