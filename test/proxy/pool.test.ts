import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { directOrigin, Forwarding } from '../../src/exchange/forwarding.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import { Fields } from '../../src/message/fields.ts'
import { normalizeHost } from '../../src/pattern/host.ts'
import {
  EndpointPool,
  type PoolContext,
  type PoolOptions,
  type PoolWaiter,
  type Reservation,
} from '../../src/proxy/pool.ts'
import type { UpstreamConnection } from '../../src/proxy/upstream-h1.ts'
import type { UpstreamHandler } from '../../src/transport/upstream.ts'
import { deafPort, type Listening, listening, realTimers, until } from './sockets.ts'

const OPTIONS: PoolOptions = { connectTimeout: 2_000, idleTimeout: 60_000, maxRequestsPerConnection: 0 }

class World implements PoolContext {
  readonly timers = realTimers()
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

  ask(fresh = false): Waiting {
    const waiting = new Waiting(fresh)
    this.pool.acquire(waiting)
    return waiting
  }
}

class Waiting implements PoolWaiter {
  readonly fresh: boolean
  connection: UpstreamConnection | null = null
  reused: boolean | null = null
  error: GatewayError | null = null
  readonly settled: Promise<void>
  #settle!: () => void

  constructor(fresh: boolean) {
    this.fresh = fresh
    this.settled = new Promise((resolve) => {
      this.#settle = resolve
    })
  }
  onConnection(connection: UpstreamConnection, reused: boolean): void {
    assert.equal(this.connection ?? this.error, null, 'told twice')
    this.connection = connection
    this.reused = reused
    this.#settle()
  }
  onConnectError(error: GatewayError): void {
    assert.equal(this.connection ?? this.error, null, 'told twice')
    this.error = error
    this.#settle()
  }
  /** Sends a request on the connection and waits for the end of its response. */
  async exchange(target = '/'): Promise<string> {
    await this.settled
    let body = ''
    await new Promise<void>((resolve, reject) => {
      const handler: UpstreamHandler = {
        onInformational: () => {},
        onHead: () => {},
        onData: (bytes, start, end) => void (body += bytes.latin1Slice(start, end)),
        onEnd: () => resolve(),
        onError: reject,
        onDrain: () => {},
        onBatchEnd: () => {},
        onUpgrade: () => reject(new Error('upgraded')),
      }
      this.connection!.dispatch(request(target), handler)
    })
    return body
  }
}

function request(target: string): Parameters<UpstreamConnection['dispatch']>[0] {
  return {
    method: 'GET',
    target,
    host: 'h.test',
    fields: new Fields(),
    bodyLength: 0,
    forwarding: new Forwarding(['127.0.0.1'], directOrigin('http', 'h.test', normalizeHost('h.test')), false),
    id: 'id',
    passed: '',
    acceptsTrailers: false,
    upgrade: null,
  }
}

/** Answers each request with its target. */
async function server(t: TestContext, head = ''): Promise<Listening> {
  return listening(t, (socket) => {
    socket.on('end', () => socket.end())
    socket.on('data', (bytes: Buffer) => {
      const target = bytes.toString().split(' ')[1]!
      socket.write(`HTTP/1.1 200 OK\r\n${head}content-length: ${target.length}\r\n\r\n${target}`)
    })
  })
}

describe('the pool of an endpoint', () => {
  it('uses a connection again, the last one first', async (t) => {
    const { port, sockets } = await server(t)
    const world = new World(port)
    const [one, two] = [world.ask(), world.ask()]
    await Promise.all([one.settled, two.settled])
    assert.notEqual(one.connection, two.connection)
    assert.equal(await one.exchange('/1'), '/1')
    assert.equal(await two.exchange('/2'), '/2')
    const three = world.ask()
    assert.deepEqual([three.connection, three.reused], [two.connection, true])
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
    await one.settled
    const two = world.ask()
    const answered = one.exchange('/1')
    // Not yet connected: the first connection comes free earlier or later than the second stands, and either is fine.
    await two.settled
    assert.equal(await two.exchange('/2'), '/2')
    await answered
    await until(() => world.pool.idleCount === 2)
    world.pool.retire()
  })

  it('gives a second try after a dead connection a new one, never one that was given back', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    const one = world.ask()
    await one.settled
    const answered = one.exchange('/1')
    const again = world.ask(true)
    const other = world.ask()
    await Promise.all([answered, again.settled, other.settled])
    assert.equal(again.reused, false)
    assert.notEqual(again.connection, one.connection)
    world.pool.retire()
  })

  it('refuses a fresh one nothing that lies idle', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    await world.ask().exchange()
    const again = world.ask(true)
    assert.equal(again.connection, null)
    await again.settled
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
    for (const each of waiting) void each.settled.then(() => placesSeen.push(world.places))
    await Promise.all(waiting.map((each) => each.settled))
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
    await waiting.settled
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
    await two.settled
    assert.deepEqual([one.connection, one.error, two.error], [null, null, null])
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
    await one.settled
    const [two, three, four] = [world.ask(), world.ask(), world.ask()]
    assert.equal(four.error?.reason, 'Overloaded')
    await one.exchange()
    await two.settled
    assert.deepEqual([two.reused, three.connection], [true, null])
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
    assert.deepEqual([one.connection, two.connection], [null, null])
    world.pool.retire()
  })

  it('gives a waiter a connection that reads, also when the response before it ended in a pause', async (t) => {
    const { port } = await server(t)
    const world = new World(port)
    world.places = 1
    const one = world.ask()
    await one.settled
    const two = world.ask()
    const done = new Promise<void>((resolve, reject) => {
      one.connection!.dispatch(request('/1'), {
        onInformational: () => {},
        onHead: () => {},
        // As when the client's buffers are full with the last bytes.
        onData: () => one.connection!.pause(),
        onEnd: () => resolve(),
        onError: reject,
        onDrain: () => {},
        onBatchEnd: () => {},
        onUpgrade: () => {},
      })
    })
    await done
    assert.deepEqual([two.connection === one.connection, two.reused], [true, true])
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
    one.connection!.openedAt -= 30 * 60_000
    const two = world.ask()
    assert.equal(two.connection, null)
    await two.settled
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
    await one.settled
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
