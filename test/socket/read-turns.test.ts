/** Clients that send thousands of requests at once: others, timers and the heartbeat of the thread have their turn. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { H1Connection } from '../../src/http1/downstream-h1.ts'
import { H2Connection } from '../../src/http2/downstream-h2.ts'
import { ReadTurns, TURN, type WaitingReader } from '../../src/socket/read-turns.ts'
import { Timers } from '../../src/transport/timers.ts'
import { FakeSocket, PEER, type World, world } from '../fuzz/h2-frames.ts'
import { headers, PREFACE, settings } from '../http/raw-frames.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

const REQUESTS = 1_000

/** Each request takes a millisecond and is answered within its call. */
function busyWorld(): World {
  const made = world()
  const { requests } = made.context
  const begin = requests.begin.bind(requests)
  requests.begin = (downstream, request) => {
    made.time.now++
    return begin(downstream, request)
  }
  return made
}

describe('the turns of readers', () => {
  it('are over after a time, and each reader that waits has its own before any has two', async () => {
    const time = new VirtualTime()
    const turns = new ReadTurns(time.keeper())
    const read: string[] = []
    const reader = (name: string, steps: number): WaitingReader => ({
      readOn() {
        read.push(name)
        time.now += 0.8 * TURN
        if (--steps > 0 && turns.over) turns.wait(this)
        else if (steps > 0) this.readOn()
      },
    })
    assert.equal(turns.over, false)
    time.now += TURN
    assert.equal(turns.over, true)
    for (const name of ['a', 'b', 'c']) turns.wait(reader(name, 3))
    while (time.pending > 0) await time.pass(1)
    assert.deepEqual(read.slice(0, 6), ['a', 'a', 'b', 'b', 'c', 'c'])
    assert.equal(read.length, 9)
    assert.equal(time.pending, 0)
  })
})

describe('a client that sends a thousand requests at once', () => {
  it('has them answered over HTTP/2 in many turns, and others that come meanwhile go between', async () => {
    const made = busyWorld()
    const open = (): H2Connection => {
      const connection = new H2Connection(() => new FakeSocket() as unknown as Socket, PEER, made.context)
      connection.receive(Buffer.concat([PREFACE, settings()]))
      return connection
    }
    const ask = (stream: number): Buffer =>
      headers(stream, [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', 'f.test'],
        [':path', '/now'],
      ])
    const greedy = open()
    const modest = open()
    greedy.receive(Buffer.concat(Array.from({ length: REQUESTS }, (_, i) => ask(2 * i + 1))))
    assert.ok(made.handlers.length < REQUESTS / 10, `${made.handlers.length} requests in one turn`)
    const before = made.handlers.length
    modest.receive(ask(1))
    assert.equal(made.handlers.length, before + 1)
    for (let turn = 0; turn < REQUESTS && made.handlers.length <= REQUESTS; turn++) await made.time.pass(1)
    assert.equal(made.handlers.length, REQUESTS + 1)
    assert.ok(made.handlers.every(({ answered }) => answered))
    greedy.destroy()
    modest.destroy()
    assert.equal(made.opened, 0)
  })

  it('has them answered over HTTP/1.1 one in a turn, bodies that nobody wants included', async () => {
    for (const [request, count] of [
      ['GET /now HTTP/1.1\r\nhost: f.test\r\n\r\n', REQUESTS],
      ['POST /now HTTP/1.1\r\nhost: f.test\r\ncontent-length: 2\r\n\r\nab', REQUESTS],
    ] as const) {
      const made = busyWorld()
      const socket = new FakeSocket()
      const connection = new H1Connection(() => socket as unknown as Socket, PEER, made.context)
      connection.receive(Buffer.from(request.repeat(count)))
      assert.equal(made.handlers.length, 1)
      for (let turn = 0; turn < 2 * count && made.handlers.length < count; turn++) {
        const before: number = made.handlers.length
        await new Promise(setImmediate)
        assert.ok(made.handlers.length <= before + 2)
      }
      assert.equal(made.handlers.length, count)
      connection.destroy()
      assert.equal(made.opened, 0)
    }
  })
})

describe('a turn that goes on for long', () => {
  it('gives signs of life while something is read, and none while nothing is', () => {
    let now = 0
    let signs = 0
    const timers = new Timers({ monotonic: () => now, every: () => () => {} }, () => void signs++)
    for (; now < 1_000; now += 10) timers.touch()
    assert.ok(signs >= 8 && signs <= 10, `${signs} signs`)
    now = 100_000
    assert.ok(signs <= 10)
  })
})
