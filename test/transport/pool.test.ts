import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { tcpConnector } from '../../src/connector/tcp-connector.ts'
import { LAST_STREAM_ID, Setting } from '../../src/http/frames.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { echo, type FramePeer, frameServer } from '../http2/frame-server.ts'
import { MemoryConnector } from '../lib/memory/upstream.ts'
import { settle, VirtualTime } from '../lib/virtual-time.ts'
import { deafPort, type Listening, listening, realTimers, until } from '../socket/sockets.ts'
import { type TestUpstream, World } from '../suite/pool-world.ts'
import type { Scope, UpstreamScript } from '../suite/transport-rig.ts'
import { type UpstreamRig, upstreamSuite } from '../suite/upstream.ts'

class SocketUpstream implements TestUpstream {
  readonly #listening: Listening
  readonly connector = tcpConnector
  readonly clock = systemTimers
  readonly capacity = 1
  readonly until = until

  constructor(listener: Listening) {
    this.#listening = listener
  }

  get port(): number {
    return this.#listening.port
  }

  get sockets(): ReadonlySet<Socket> {
    return this.#listening.sockets
  }

  get open(): number {
    return this.sockets.size
  }

  refuse(): void {
    this.#listening.server.close()
  }

  leave(): void {
    for (const socket of this.sockets) socket.end()
  }
}

/** Answers each request with the one chunk of its body, once it is complete. */
async function server(scope: Scope, head = ''): Promise<SocketUpstream> {
  const listener = await listening(scope, (socket) => {
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
  return new SocketUpstream(listener)
}

const onSockets: UpstreamRig = {
  capacity: 1,
  async upstream(scope, what) {
    if (what === 'deaf') {
      const sockets = new Set<Socket>()
      return new SocketUpstream({ ...(await listening(scope, () => {})), sockets, port: await deafPort(scope) })
    }
    const upstream = await server(scope)
    if (what === 'refusing') upstream.refuse()
    return upstream
  },
}

const STREAMS = 5
const TIMERS = realTimers()

class FrameUpstream implements TestUpstream {
  readonly #listening: Listening & { readonly peers?: readonly FramePeer[] }
  readonly connector = new H2cConnector(TIMERS)
  readonly clock = systemTimers
  capacity = STREAMS
  readonly until = until

  constructor(listener: Listening & { readonly peers?: readonly FramePeer[] }) {
    this.#listening = listener
  }

  /** Answers each request with its body, once it is complete. */
  static async echoing(scope: Scope): Promise<FrameUpstream> {
    const upstream: FrameUpstream = new FrameUpstream(
      await frameServer(scope, (peer) => peer.greet(Setting.MAX_CONCURRENT_STREAMS, upstream.capacity), echo),
    )
    return upstream
  }

  get port(): number {
    return this.#listening.port
  }

  get open(): number {
    return this.#listening.sockets.size
  }

  refuse(): void {
    this.#listening.server.close()
  }

  async leave(): Promise<void> {
    for (const peer of this.#listening.peers!) {
      peer.goaway(LAST_STREAM_ID)
      await peer.heard()
    }
  }
}

const overH2: UpstreamRig = {
  capacity: STREAMS,
  async upstream(scope, what) {
    if (what === 'deaf') {
      const sockets = new Set<Socket>()
      return new FrameUpstream({ ...(await listening(scope, () => {})), sockets, port: await deafPort(scope) })
    }
    const upstream = await FrameUpstream.echoing(scope)
    if (what === 'refusing') upstream.refuse()
    return upstream
  },
}

class MemoryEndpoint implements TestUpstream {
  readonly #time = new VirtualTime()
  readonly connector: MemoryConnector
  readonly clock = this.#time.keeper()
  readonly port = 1

  constructor(script: UpstreamScript, capacity: number) {
    this.connector = new MemoryConnector(new Map([[this.port, script]]), capacity)
  }

  get capacity(): number {
    return this.connector.capacity
  }

  set capacity(capacity: number) {
    this.connector.capacity = capacity
  }

  get open(): number {
    return this.connector.open.size
  }

  refuse(): void {
    this.connector.scripts.set(this.port, 'refusing')
  }

  leave(): void {
    for (const session of this.connector.open) session.leaving = true
  }

  async until(holds: () => boolean): Promise<void> {
    for (let step = 0; step < 1_000; step++) {
      await settle()
      if (holds()) return
      await this.#time.pass(10)
    }
    throw new Error('it did not happen')
  }
}

const inMemory = (capacity: number): UpstreamRig => ({
  capacity,
  async upstream(_, what) {
    const echo: UpstreamScript = (request) => void request.body().then((body) => request.respond(200, body))
    return new MemoryEndpoint(what === 'echoing' ? echo : what, capacity)
  },
})

upstreamSuite('over HTTP/1.1', onSockets)
upstreamSuite('over HTTP/2', overH2)
upstreamSuite('in memory, one request each', inMemory(1))
upstreamSuite('in memory, five requests each', inMemory(5))

for (const [name, upstream] of [
  ['HTTP/1.1', (scope: Scope) => server(scope)],
  ['HTTP/2', (scope: Scope) => FrameUpstream.echoing(scope)],
] as const)
  it(`a pool remembers that the upstream has ended an idle connection, and not that it did so itself: ${name}`, async (t) => {
    const world = new World(await upstream(t))
    for (const ends of ['pool', 'upstream'] as const) {
      const one = world.ask()
      await one.settled.promise
      await one.exchange('/1')
      assert.deepEqual([world.pool.idleCount, world.pool.lostAt], [1, Number.NEGATIVE_INFINITY])
      if (ends === 'pool') world.pool.dropIdle()
      else await world.upstream.leave()
      await world.upstream.until(() => world.pool.open === 0)
    }
    assert.ok(world.pool.lostAt > Number.NEGATIVE_INFINITY)
    world.pool.retire()
  })

describe('a pool over HTTP/1.1', () => {
  it('uses a connection again, the last one first', async (t) => {
    const world = new World(await server(t))
    const [one, two] = [world.ask(), world.ask()]
    await Promise.all([one.settled.promise, two.settled.promise])
    assert.notEqual(one.stream, two.stream)
    assert.equal(await one.exchange('/1'), '/1')
    assert.equal(await two.exchange('/2'), '/2')
    const three = world.ask()
    assert.deepEqual([three.stream, three.reused], [two.stream, true])
    assert.equal(await three.exchange('/3'), '/3')
    assert.deepEqual([world.upstream.open, world.pool.open, world.pool.idleCount], [2, 2, 2])
    assert.deepEqual([world.counts.opened, world.counts.reused], [2, 1])
    world.pool.retire()
    await world.upstream.until(() => world.upstream.open === 0)
    assert.deepEqual([world.pool.open, world.counts.closed, world.timers.armed], [0, 2, 0])
  })

  it('gives a second try after a dead connection a new one, never one that was given back', async (t) => {
    const world = new World(await server(t))
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

  it('gives a waiter a connection that reads, also when the response before it ended in a pause', async (t) => {
    const world = new World(await server(t))
    world.maxConnections = 1
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

  it('closes what lay idle too long, by its own limit or by the word of the upstream', async (t) => {
    const quiet = await server(t)
    const polite = await server(t, 'keep-alive: timeout=5\r\n')
    for (const [world, after] of [
      [new World(quiet, { idleTimeout: 1_000 }), 1_000],
      [new World(polite), 4_000],
      [new World(polite, { idleTimeout: 0 }), 4_000],
    ] as const) {
      await world.ask().exchange()
      const now = world.timers.touch()
      world.pool.sweep(now + after - 100)
      assert.equal(world.pool.idleCount, 1)
      world.pool.sweep(now + after + 1)
      assert.deepEqual([world.pool.idleCount, world.pool.open], [0, 0])
    }
  })

  for (const [what, spoil] of [
    ['that the upstream has closed', (socket: Socket) => void socket.end()],
    ['that the upstream has reset', (socket: Socket) => void socket.resetAndDestroy()],
    ['on which bytes came that nobody asked for', (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\n')],
  ] as const)
    it(`drops an idle connection ${what}`, async (t) => {
      const upstream = await server(t)
      const world = new World(upstream)
      await world.ask().exchange()
      for (const socket of upstream.sockets) spoil(socket)
      await until(() => world.pool.open === 0)
      assert.deepEqual([world.pool.idleCount, world.counts.closed], [0, 1])
    })

  it('keeps no connection whose response was followed by more than was promised', async (t) => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n'
    const serve = (socket: Socket): void => void socket.on('data', () => socket.write(answer))
    const world = new World(new SocketUpstream(await listening(t, serve)))
    assert.equal(await world.ask().exchange(), 'ok')
    assert.equal(world.pool.open, 0)
  })
})
