/** Copies of requests for another Backend: what they are, what they may cost, and that nobody feels them. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { BackendSpec } from '../../src/api/backend.ts'
import type { Policies } from '../../src/api/policies.ts'
import { MOST_MIRRORS } from '../../src/exchange/mirror.ts'
import { HELD_BODIES } from '../../src/transport/held-memory.ts'
import { prefix } from '../compile/world.ts'
import { closedPort, type EchoBackend, echoBackend, onHead, rawBackend } from '../feature/backends.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, type Scope, toUp } from '../worker/test-plane.ts'

const mirror = (more: object = {}, policies: object = {}): Policies =>
  ({ mirror: { backendRef: { name: 'shadow' }, ...more }, ...policies }) as Policies

interface Setup {
  readonly gateway: InProcess
  readonly up: EchoBackend
}

/** A gateway whose requests go to an echo, and their copies to `shadow`. */
async function withShadow(
  scope: Scope,
  port: number | null,
  policies: Policies = mirror(),
  { spec = {}, ...more }: InProcessOptions & { readonly spec?: Partial<BackendSpec> } = {},
): Promise<Setup> {
  const up = await echoBackend(scope, 'up')
  const gateway = await inProcess(scope, {
    upstreams: [up.port],
    rules: toUp(policies),
    backends: { 'default/shadow': { upstreams: port === null ? [] : [port], spec } },
    ...more,
  })
  return { gateway, up }
}

describe('a mirrored request', () => {
  it('is copied as it goes to its upstream, once, and its response goes nowhere', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    const policies = mirror(
      {},
      {
        rewrite: { hostname: 'api.internal', path: { type: 'ReplaceFullPath', replaceFullPath: '/v2' } },
        requestHeaders: { set: [{ name: 'x-env', value: 'prod' }] },
      },
    )
    const { gateway, up } = await withShadow(t, shadow.port, policies)
    using client = await gateway.connect()
    const headers = { 'x-answer-status': '500', 'x-twice': 'a', cookie: 'k=v', te: 'trailers' }
    const response = await client.request({ path: '/old?q=1', headers })
    assert.deepEqual([response.status, response.header('x-backend')], [500, 'up'])
    await until(() => shadow.received.length === 1)
    const [copy, original] = [shadow.received[0]!, up.received[0]!]
    assert.deepEqual([copy.method, copy.url], ['GET', '/v2?q=1'])
    assert.deepEqual(copy.headers, original.headers)
    assert.deepEqual([copy.headers.host, copy.headers['x-env']], ['api.internal', 'prod'])
    assert.match(copy.headers['cdn-loop']!, /^headgate-[0-9a-f]+;r=/)
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(gateway.copies, { sent: 1, dropped: 0 })
  })

  it('is copied with its body, of stated length or in chunks, and a retry is not copied again', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    const up = await echoBackend(t, 'up')
    const gateway = await inProcess(t, {
      upstreams: [await closedPort(), up.port],
      backend: { loadBalancing: { algorithm: 'RoundRobin', slowStart: '0s', zoneAware: false } },
      rules: toUp(mirror({}, { retry: { attempts: 1, backoff: '1ms' } })),
      backends: { 'default/shadow': { upstreams: [shadow.port] } },
    })
    using client = await gateway.connect()
    for (let i = 0; i < 4; i++) await client.request({ method: 'POST', path: `/${i}`, body: `order ${i}` })
    client.send('POST /4 HTTP/1.1\r\nhost: w.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n')
    client.send('2\r\nde\r\n0\r\n\r\n')
    await client.response()
    await until(() => shadow.received.length === 5)
    const bodies = ['order 0', 'order 1', 'order 2', 'order 3', 'abcde']
    const sorted = (echo: EchoBackend) => echo.received.toSorted((a, b) => (a.url < b.url ? -1 : 1))
    assert.deepEqual(
      sorted(shadow).map(({ url, body }) => [url, body]),
      bodies.map((body, i) => [`/${i}`, body]),
    )
    assert.equal(shadow.received.find(({ url }) => url === '/4')!.headers['content-length'], '5')
    client.end()
    await gateway.nothingLeft()
  })

  it('with a large body goes to its upstream whole, and is not copied', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    const { gateway, up } = await withShadow(t, shadow.port)
    const before = HELD_BODIES.bytes
    using client = await gateway.connect()
    const body = 'x'.repeat(200_000)
    await client.request({ method: 'POST', body })
    client.send(`POST / HTTP/1.1\r\nhost: w.test\r\ntransfer-encoding: chunked\r\n\r\n`)
    for (let i = 0; i < 10; i++) client.send(`4e20\r\n${'y'.repeat(20_000)}\r\n`)
    client.send('0\r\n\r\n')
    await client.response()
    assert.deepEqual(
      up.received.map(({ body: { length } }) => length),
      [200_000, 200_000],
    )
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual([gateway.copies, shadow.received.length], [{ sent: 0, dropped: 2 }, 0])
    assert.equal(HELD_BODIES.bytes, before)
  })

  it('is not copied when its client goes before the end of its body', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    const { gateway } = await withShadow(t, shadow.port)
    const before = HELD_BODIES.bytes
    using client = await gateway.connect()
    client.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 10\r\n\r\nhalf')
    await until(() => HELD_BODIES.bytes > before)
    client.reset()
    await gateway.nothingLeft()
    assert.deepEqual([gateway.copies, HELD_BODIES.bytes], [{ sent: 0, dropped: 0 }, before])
  })

  it('is copied by its share of the requests', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    const none = await withShadow(t, shadow.port, mirror({ percent: 0 }))
    using idle = await none.gateway.connect()
    await idle.request()
    const { gateway } = await withShadow(t, shadow.port, mirror({ percent: 50 }))
    using client = await gateway.connect()
    for (let i = 0; i < 200; i++) await client.request()
    client.end()
    await gateway.nothingLeft()
    const { sent } = gateway.copies
    // One in a hundred million times it is not.
    assert.ok(sent > 60 && sent < 140, `${sent} of 200`)
    assert.equal(none.gateway.copies.sent, 0)
  })

  it('has connections of its own, also where the copy goes to the same Backend', async (t) => {
    const { gateway, up } = await withShadow(t, null, mirror({ backendRef: { name: 'up' } }))
    using client = await gateway.connect()
    for (let i = 1; i <= 3; i++) {
      await client.request()
      await until(() => up.received.length === 2 * i)
      await until(() => gateway.holdings.endpointInFlight === 0)
    }
    assert.equal(up.connections, 2)
    client.end()
    await gateway.nothingLeft()
  })
})

describe('a shadow', () => {
  const hangs = (socket: Socket): void => onHead(socket, () => {})
  const endless = (socket: Socket): void =>
    onHead(socket, () => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
      const more = (): void => {
        while (socket.writable && socket.write(chunk));
      }
      socket.on('drain', more)
      more()
    })
  const garbage = (socket: Socket): void => onHead(socket, () => void socket.write('no HTTP\r\n\r\n'))
  const resets = (socket: Socket): void => onHead(socket, () => void socket.resetAndDestroy())

  for (const [what, behaviour] of Object.entries({ endless, garbage, resets }))
    it(`that ${what === 'garbage' ? 'answers garbage' : what === 'endless' ? 'never ends' : what} costs nobody anything`, async (t) => {
      const { port } = await rawBackend(t, behaviour)
      const { gateway } = await withShadow(t, port)
      using client = await gateway.connect()
      for (let i = 0; i < 3; i++) assert.equal((await client.request({ method: 'POST', body: 'x' })).status, 200)
      client.end()
      await gateway.nothingLeft()
      assert.equal(gateway.copies.sent, 3)
    })

  it('that is missing, refused, without endpoints or down costs nobody anything', async (t) => {
    const other = await echoBackend(t, 'other')
    const from = (name: string) => mirror({ backendRef: { name, namespace: 'elsewhere' } })
    for (const [policies, port, backends] of [
      [mirror({ backendRef: { name: 'nobody' } }), null, {}],
      [mirror(), null, {}],
      [mirror(), await closedPort(), {}],
      [from('private'), null, { 'elsewhere/private': { upstreams: [other.port] } }],
    ] as const) {
      const { gateway } = await withShadow(t, port, policies, Object.keys(backends).length === 0 ? {} : { backends })
      using client = await gateway.connect()
      assert.equal((await client.request()).status, 200)
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual(gateway.copies, { sent: 0, dropped: 1 })
    }
    assert.equal(other.received.length, 0)
  })

  it('of another namespace gets copies where it allows them', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    for (const allowedNamespaces of [{ from: 'All' }, { from: 'Names', names: ['default'] }] as const) {
      const { gateway } = await withShadow(
        t,
        null,
        mirror({ backendRef: { name: 'public', namespace: 'elsewhere' } }),
        {
          backends: { 'elsewhere/public': { upstreams: [shadow.port], spec: { allowedNamespaces } } },
        },
      )
      using client = await gateway.connect()
      await client.request()
      client.end()
      await gateway.nothingLeft()
      assert.equal(gateway.copies.sent, 1)
    }
  })

  it('that hangs has a bounded number of copies, and requests go on as if it were not there', async (t) => {
    const { port } = await rawBackend(t, hangs)
    const { gateway, up } = await withShadow(t, port)
    using client = await gateway.connect()
    for (let i = 0; i < MOST_MIRRORS; i++) assert.equal((await client.request()).status, 200)
    assert.equal(up.received.length, MOST_MIRRORS)
    // One namespace has as many as it leaves to others.
    await until(() => gateway.copies.sent + gateway.copies.dropped === MOST_MIRRORS)
    assert.deepEqual(gateway.copies, { sent: MOST_MIRRORS / 2, dropped: MOST_MIRRORS / 2 })
    assert.equal(gateway.holdings.exchanges, 0, 'a drain does not wait for copies')
  })

  it('of one namespace holds bodies within bounds, and leaves room to those of others', async (t) => {
    const shadow = await echoBackend(t, 'shadow')
    const up = await echoBackend(t, 'up')
    const backendRefs = [{ name: 'up', weight: 1, priority: 0 }]
    const other = { name: 'public', namespace: 'elsewhere' }
    const gateway = await inProcess(t, {
      upstreams: [up.port],
      rules: {
        all: { backendRefs, policies: mirror() },
        other: { matches: [prefix('/other')], backendRefs, policies: mirror({ backendRef: other }) },
      },
      backends: {
        'default/shadow': { upstreams: [shadow.port] },
        'elsewhere/public': { upstreams: [shadow.port], spec: { allowedNamespaces: { from: 'All' } } },
      },
      heldBodies: 1 << 30,
    })
    const before = HELD_BODIES.bytes
    const piece = 'x'.repeat(60_000)
    const clients = await Promise.all(Array.from({ length: 80 }, () => gateway.connect()))
    for (const client of clients)
      client.send(`POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 60001\r\n\r\n${piece}`)
    await until(() => gateway.copies.dropped > 0)
    using client = await gateway.connect()
    await client.request({ method: 'POST', path: '/other', body: piece })
    await until(() => gateway.copies.sent === 1)
    for (const one of clients) one.reset()
    client.end()
    await gateway.nothingLeft()
    assert.equal(HELD_BODIES.bytes, before)
  })

  it('has half of its connections and requests for copies, and no more', async (t) => {
    const { port } = await rawBackend(t, hangs)
    for (const limits of [
      { maxConnections: 4, maxPending: 10, maxConcurrentRequests: 0 },
      { maxConnections: 10, maxPending: 10, maxConcurrentRequests: 4 },
    ]) {
      const { gateway } = await withShadow(t, port, mirror(), { spec: { limits } })
      using client = await gateway.connect()
      for (let i = 0; i < 10; i++) await client.request()
      await until(() => gateway.copies.sent + gateway.copies.dropped === 10)
      assert.deepEqual(gateway.copies, { sent: 2, dropped: 8 })
    }
  })
})
