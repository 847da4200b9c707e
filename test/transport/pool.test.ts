import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { directOrigin, Forwarding } from '../../src/exchange/forwarding.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import { normalizeHost } from '../../src/pattern/host.ts'
import { tcpConnector } from '../../src/proxy/tcp-connector.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { EndpointPool, type PoolContext, type PoolOptions, type Reservation } from '../../src/transport/pool.ts'
import { Timers } from '../../src/transport/timers.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../../src/transport/upstream.ts'
import { deafPort, type Listening, listening, until } from '../proxy/sockets.ts'

const OPTIONS: PoolOptions = { connectTimeout: 2_000, idleTimeout: 60_000, maxRequestsPerConnection: 0 }

class World implements PoolContext {
  /** Milliseconds that have passed besides those of the test. */
  skew = 0
  readonly timers = new Timers({ ...systemTimers, monotonic: () => systemTimers.monotonic() + this.skew })
  readonly connector = tcpConnector
  readonly limits = { head: 10_000, headers: 100, uri: 0 }
  readonly pool: EndpointPool
  places = Number.POSITIVE_INFINITY
  pending = Number.POSITIVE_INFINITY
  allowed = true
  overdrawn = false
  readonly counts = { opened: 0, reused: 0, failed: 0, closed: 0, pending: 0 }

  constructor(port: number, options: Partial<PoolOptions> = {}, address = '127.0.0.1') {
    const endpoint = { address, port, authority: `${address}:${port}` } as Endpoint
    this.pool = new EndpointPool(endpoint, { ...OPTIONS, ...options }, this)
  }

  mayDial(): boolean {
    return this.allowed
  }
  reserve(): Reservation {
    if (this.overdrawn) return 'overdrawn'
    if (this.places === 0) return 'full'
    this.places--
    return 'taken'
  }
  unreserve(): void {
    this.places++
  }
  reservePending(): boolean {
    if (this.pending === 0) return false
    this.pending--
    return true
  }
  unreservePending(): void {
    this.pending++
  }
  queued(): void {
    this.counts.pending++
  }
  connectionOpened(reused: boolean): void {
    if (reused) this.counts.reused++
    else this.counts.opened++
  }
  connectionFailed(): void {
    this.counts.failed++
  }
  connectionClosed(): void {
    this.counts.closed++
  }

  /** Dispatches a request whose body is still open. */
  ask(fresh = false): Asked {
    const asked = new Asked()
    this.pool.dispatch(request(), asked, fresh)
    return asked
  }
}

class Asked implements UpstreamHandler {
  stream: UpstreamStream | null = null
  reused: boolean | null = null
  error: GatewayError | null = null
  body = ''
  onChunk: () => void = () => {}
  /** It has a stream, or will never have one. */
  readonly settled = Promise.withResolvers<void>()
  readonly over = Promise.withResolvers<void>()

  constructor() {
    this.over.promise.catch(() => {})
  }
  onStream(stream: UpstreamStream, reused: boolean): void {
    assert.equal(this.stream ?? this.error, null, 'told twice')
    this.stream = stream
    this.reused = reused
    this.settled.resolve()
  }
  onError(error: GatewayError): void {
    assert.equal(this.error, null, 'told twice')
    this.error = error
    this.settled.resolve()
    this.over.reject(error)
  }
  onInformational(): void {}
  onHead(): void {}
  onData(bytes: Buffer, start: number, end: number): void {
    this.body += bytes.latin1Slice(start, end)
    this.onChunk()
  }
  onEnd(): void {
    this.over.resolve()
  }
  onDrain(): void {}
  onBatchEnd(): void {}
  onUpgrade(): void {
    this.over.reject(new Error('upgraded'))
  }
  /** Sends the rest of the request, and waits for the end of its response. */
  async exchange(text = '/'): Promise<string> {
    await this.settled.promise
    this.stream!.write(Buffer.from(text))
    this.stream!.end(null)
    await this.over.promise
    return this.body
  }
}

function request(): UpstreamRequest {
  return {
    method: 'POST',
    target: '/',
    host: 'h.test',
    fields: new Fields(),
    bodyLength: -1,
    forwarding: new Forwarding(['127.0.0.1'], directOrigin('http', 'h.test', normalizeHost('h.test')), false).block,
    id: 'id',
    passed: new FieldBlock([]),
    acceptsTrailers: false,
    upgrade: null,
  }
}

/** Answers each request with the one chunk of its body, once it is complete. */
async function server(t: TestContext, head = ''): Promise<Listening> {
  return listening(t, (socket) => {
    socket.on('end', () => socket.end())
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString()
      const body = /\r\n\r\n[0-9a-f]+\r\n(.*)\r\n0\r\n\r\n$/s.exec(text)?.[1]
      if (body === undefined) return
      text = ''
      socket.write(`HTTP/1.1 200 OK\r\n${head}content-length: ${body.length}\r\n\r\n${body}`)
    })
  })
}

describe('the pool of an endpoint', () => {
  it('uses a connection again, the last one first', async (t) => {
    const { port, sockets } = await server(t)
    const world = new World(port)
    const [one, two] = [world.ask(), world.ask()]
    await Promise.all([one.settled.promise, two.settled.promise])
    assert.notEqual(one.stream, two.stream)
    assert.equal(await one.exchange('/1'), '/1')
    assert.equal(await two.exchange('/2'), '/2')
    const three = world.ask()
    assert.deepEqual([three.stream, three.reused], [two.stream, true])
    assert.equal(await three.exchange('/3'), '/3')
    assert.deepEqual([sockets.size, world.pool.open, world.pool.idleCount], [2, 2, 2])
    assert.deepEqual([world.counts.opened, world.counts.reused], [2, 1])
    world.pool.retire()
    await until(() => sockets.size === 0)
    assert.deepEqual([world.pool.open, world.counts.closed, world.timers.armed], [0, 2, 0])
  })

  it('serves a waiter with what another gives back, and keeps what was being connected', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    const one = world.ask()
    await one.settled.promise
    const two = world.ask()
    const answered = one.exchange('/1')
    // Not yet connected: the first connection comes free earlier or later than the second stands, and either is fine.
    await two.settled.promise
    assert.equal(await two.exchange('/2'), '/2')
    await answered
    await until(() => world.pool.idleCount === 2)
    world.pool.retire()
  })

  it('gives a second try after a dead connection a new one, never one that was given back', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    const one = world.ask()
    await one.settled.promise
    const answered = one.exchange('/1')
    const again = world.ask(true)
    const other = world.ask()
    await Promise.all([answered, again.settled.promise, other.settled.promise])
    assert.equal(again.reused, false)
    assert.notEqual(again.stream, one.stream)
    world.pool.retire()
  })

  it('refuses a fresh one nothing that lies idle', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    await world.ask().exchange()
    const again = world.ask(true)
    assert.equal(again.stream, null)
    await again.settled.promise
    assert.deepEqual([again.reused, world.pool.open], [false, 2])
    world.pool.retire()
  })

  it('says ConnectFailure, once to each, and gives the place back before it says so', async (t) => {
    const { port, server: listener } = await server(t)
    listener.close()
    const world = new World(port)
    world.places = 2
    const placesSeen: number[] = []
    const waiting = [world.ask(), world.ask()]
    for (const each of waiting) void each.settled.promise.then(() => placesSeen.push(world.places))
    await Promise.all(waiting.map((each) => each.settled.promise))
    assert.deepEqual(
      waiting.map((each) => each.error?.reason),
      ['ConnectFailure', 'ConnectFailure'],
    )
    assert.match(waiting[0]!.error!.detail, /ECONNREFUSED/)
    assert.deepEqual([world.places, world.pool.open, world.counts.failed, world.timers.armed], [2, 0, 2, 0])
    assert.ok(placesSeen[0]! >= 1)
  })

  it('says Overloaded at once where the namespace has its share: what waits would hold a client as long', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    world.overdrawn = true
    const waiting = world.ask()
    assert.equal(waiting.error?.reason, 'Overloaded')
    assert.match(waiting.error?.detail ?? '', /namespace/)
    assert.equal(world.counts.pending, 0)
  })

  it('says ConnectTimeout in its time', async (t) => {
    const world = new World(await deafPort(t), { connectTimeout: 100 })
    world.places = 1
    const began = performance.now()
    const waiting = world.ask()
    await waiting.settled.promise
    assert.equal(waiting.error?.reason, 'ConnectTimeout')
    const took = performance.now() - began
    assert.ok(took >= 99 && took < 1_000, `${took} ms`)
    assert.deepEqual([world.pool.open, world.places, world.counts.failed, world.timers.armed], [0, 1, 1, 0])
  })

  it('blames no waiter for a connection that another no longer needs', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    const [one, two] = [world.ask(), world.ask()]
    // The client of the first is gone; its connection stays under way and is for the second as well.
    world.pool.cancel(one)
    await two.settled.promise
    assert.deepEqual([one.stream, one.error, two.error], [null, null, null])
    await until(() => world.pool.idleCount === 1)
    world.pool.retire()
  })

  it('does not dial what the guard forbids, and holds no place for it', async () => {
    const world = new World(9)
    world.allowed = false
    const waiting = world.ask()
    assert.equal(waiting.error?.reason, 'AddressNotAllowed')
    assert.equal(world.pool.open, 0)
  })

  it('lets requests wait for a place, in their order, up to a number and a time', async (t) => {
    const { port } = await server(t)
    const world = new World(port, { connectTimeout: 200 })
    world.places = 1
    world.pending = 2
    const one = world.ask()
    await one.settled.promise
    const [two, three, four] = [world.ask(), world.ask(), world.ask()]
    assert.equal(four.error?.reason, 'Overloaded')
    await one.exchange()
    await two.settled.promise
    assert.deepEqual([two.reused, three.stream], [true, null])
    assert.equal(world.pool.feed(world.timers.touch()), true)
    assert.equal(world.pool.feed(world.timers.touch() + 200), false)
    assert.equal(three.error?.reason, 'Overloaded')
    assert.equal(world.pending, 2)
    world.pool.retire()
  })

  it('takes a waiter out of either queue', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    world.places = 1
    world.pending = 1
    const [one, two] = [world.ask(), world.ask()]
    world.pool.cancel(two)
    world.pool.cancel(one)
    world.pool.cancel(one)
    assert.equal(world.pending, 1)
    await until(() => world.pool.idleCount === 1)
    assert.deepEqual([one.stream, two.stream], [null, null])
    world.pool.retire()
  })

  it('gives a waiter a connection that reads, also when the response before it ended in a pause', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    world.places = 1
    const one = world.ask()
    await one.settled.promise
    const two = world.ask()
    // As when the client's buffers are full with the last bytes.
    one.onChunk = () => one.stream!.pause()
    await one.exchange('/1')
    assert.deepEqual([two.stream === one.stream, two.reused], [true, true])
    assert.equal(await two.exchange('/2'), '/2')
    world.pool.retire()
  })

  it('closes a connection after so many requests', async (t) => {
    const { port, sockets } = await server(t)
    const world = new World(port, { maxRequestsPerConnection: 2 })
    const one = world.ask()
    await one.exchange()
    const two = world.ask()
    assert.equal(two.reused, true)
    await two.exchange()
    assert.deepEqual([world.pool.open, world.pool.idleCount], [0, 0])
    await until(() => sockets.size === 0)
  })

  it('closes what lay idle too long, by its own limit or by the word of the upstream', async (t) => {
    const { port } = await server(t)
    const polite = await server(t, 'keep-alive: timeout=5\r\n')
    for (const [world, after] of [
      [new World(port, { idleTimeout: 1_000 }), 1_000],
      [new World(polite.port), 4_000],
      [new World(polite.port, { idleTimeout: 0 }), 4_000],
    ] as const) {
      await world.ask().exchange()
      const now = world.timers.touch()
      world.pool.sweep(now + after - 100)
      assert.equal(world.pool.idleCount, 1)
      world.pool.sweep(now + after + 1)
      assert.deepEqual([world.pool.idleCount, world.pool.open], [0, 0])
    }
  })

  it('never hands out what is too old, however much it is used', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    const one = world.ask()
    await one.exchange()
    world.skew += 30 * 60_000
    world.timers.touch()
    const two = world.ask()
    assert.equal(two.stream, null)
    await two.settled.promise
    assert.equal(two.reused, false)
    world.pool.retire()
  })

  for (const [what, spoil] of [
    ['that the upstream has closed', (socket: Socket) => void socket.end()],
    ['that the upstream has reset', (socket: Socket) => void socket.resetAndDestroy()],
    ['on which bytes came that nobody asked for', (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\n')],
  ] as const)
    it(`drops an idle connection ${what}`, async (t) => {
      const { port, sockets } = await server(t)
      const world = new World(port)
      await world.ask().exchange()
      for (const socket of sockets) spoil(socket)
      await until(() => world.pool.open === 0)
      assert.deepEqual([world.pool.idleCount, world.counts.closed], [0, 1])
    })

  it('keeps no connection whose response was followed by more than was promised', async (t) => {
    const { port } = await listening(t, (socket) =>
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n')),
    )
    const world = new World(port)
    assert.equal(await world.ask().exchange(), 'ok')
    assert.equal(world.pool.open, 0)
  })

  it('closes busy connections of an endpoint that left after their response', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    const one = world.ask()
    await one.settled.promise
    world.pool.retire()
    assert.equal(await one.exchange('/1'), '/1')
    assert.deepEqual([world.pool.open, world.pool.idleCount], [0, 0])
  })

  it('puts what is connected for nobody to an endpoint that left away', async (t) => {
    const { port, sockets } = await server(t)
    const world = new World(port)
    const one = world.ask()
    world.pool.cancel(one)
    world.pool.retire()
    await until(() => world.pool.open === 0)
    await until(() => sockets.size === 0)
  })

  it('makes room by closing one that lies idle', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    assert.equal(world.pool.dropIdle(), false)
    await world.ask().exchange()
    assert.equal(world.pool.dropIdle(), true)
    assert.equal(world.pool.open, 0)
  })
})
