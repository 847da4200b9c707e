/**
 * The contract of an upstream: a pool over whatever its connector opens. The same cases for connections that carry one
 * request at a time and for those that carry many.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type TestUpstream, World } from './pool-world.ts'
import type { Scope } from './transport-rig.ts'

export interface UpstreamRig {
  /** Requests that a connection carries at a time. */
  readonly capacity: number
  /** An endpoint that answers each request with its body, refuses connections, or never accepts one. */
  upstream(scope: Scope, what: 'echoing' | 'refusing' | 'deaf'): Promise<TestUpstream>
}

export function upstreamSuite(name: string, rig: UpstreamRig): void {
  describe(`a pool of connections ${name}`, () => {
    everyPool(rig)
    if (rig.capacity === 1) oneRequestEach(rig)
    else manyRequestsEach(rig)
  })
}

function everyPool(rig: UpstreamRig): void {
  it('says ConnectFailure, once to each, and gives the place back before it says so', async (t) => {
    const world = new World(await rig.upstream(t, 'refusing'))
    world.maxConnections = 2
    const placesSeen: number[] = []
    const waiting = [world.ask(), world.ask()]
    for (const each of waiting) void each.settled.promise.then(() => placesSeen.push(world.left))
    await Promise.all(waiting.map((each) => each.settled.promise))
    assert.deepEqual(
      waiting.map((each) => each.error?.reason),
      ['ConnectFailure', 'ConnectFailure'],
    )
    // Where a connection is expected to carry both there is one.
    const dials = (world.connector.expectedCapacity ?? 1) > 1 ? 1 : 2
    assert.deepEqual([world.left, world.pool.open, world.counts.failed, world.timers.armed], [2, 0, dials, 0])
    assert.ok(placesSeen[0]! >= 1)
  })

  it('says Overloaded at once where the namespace has its share: what waits would hold a client as long', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    world.overdrawn = true
    const waiting = world.ask()
    assert.equal(waiting.error?.reason, 'Overloaded')
    assert.match(waiting.error?.detail ?? '', /namespace/)
    assert.equal(world.pending, 0)
  })

  it('says ConnectTimeout in its time', async (t) => {
    const world = new World(await rig.upstream(t, 'deaf'), { connectTimeout: 100 })
    world.maxConnections = 1
    const { clock } = world.upstream
    const began = clock.monotonic()
    const waiting = world.ask()
    await world.upstream.until(() => waiting.error !== null)
    assert.equal(waiting.error?.reason, 'ConnectTimeout')
    const took = clock.monotonic() - began
    assert.ok(took >= 99 && took < 1_000, `${took} ms`)
    assert.deepEqual([world.pool.open, world.left, world.counts.failed, world.timers.armed], [0, 1, 1, 0])
  })

  it('does not dial what the guard forbids, and holds no place for it', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    world.allowed = false
    const waiting = world.ask()
    assert.equal(waiting.error?.reason, 'AddressNotAllowed')
    assert.equal(world.pool.open, 0)
  })

  it('never hands out what is too old, however much it is used', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
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

  it('closes busy connections of an endpoint that left after their response', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const one = world.ask()
    await one.settled.promise
    world.pool.retire()
    assert.equal(await one.exchange('/1'), '/1')
    assert.deepEqual([world.pool.open, world.pool.idleCount], [0, 0])
  })

  it('puts what is connected for nobody to an endpoint that left away', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const one = world.ask()
    world.pool.cancel(one)
    world.pool.retire()
    await world.upstream.until(() => world.pool.open === 0)
    await world.upstream.until(() => world.upstream.open === 0)
  })

  it('makes room by closing one that lies idle', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    assert.equal(world.pool.dropIdle(), false)
    await world.ask().exchange()
    assert.equal(world.pool.dropIdle(), true)
    assert.equal(world.pool.open, 0)
  })
}

function oneRequestEach(rig: UpstreamRig): void {
  it('serves a waiter with what another gives back, and keeps what was being connected', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const one = world.ask()
    await one.settled.promise
    const two = world.ask()
    const answered = one.exchange('/1')
    // Not yet connected: the first connection comes free earlier or later than the second stands, and either is fine.
    await two.settled.promise
    assert.equal(await two.exchange('/2'), '/2')
    await answered
    await world.upstream.until(() => world.pool.idleCount === 2)
    world.pool.retire()
  })

  it('refuses a fresh one nothing that lies idle', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    await world.ask().exchange()
    const again = world.ask(true)
    assert.equal(again.stream, null)
    await again.settled.promise
    assert.deepEqual([again.reused, world.pool.open], [false, 2])
    world.pool.retire()
  })

  it('blames no waiter for a connection that another no longer needs', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const [one, two] = [world.ask(), world.ask()]
    // The client of the first is gone; its connection stays under way and is for the second as well.
    world.pool.cancel(one)
    await two.settled.promise
    assert.deepEqual([one.stream, one.error, two.error], [null, null, null])
    await world.upstream.until(() => world.pool.idleCount === 1)
    world.pool.retire()
  })

  it('lets requests wait for a place, in their order, up to a number and a time', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'), { connectTimeout: 200 })
    world.maxConnections = 1
    world.maxPending = 2
    const one = world.ask()
    await one.settled.promise
    const [two, three, four] = [world.ask(), world.ask(), world.ask()]
    assert.equal(four.error?.reason, 'Overloaded')
    assert.match(four.error?.detail ?? '', /maxConnections \(1\).*maxPending \(2\)/)
    await one.exchange()
    await two.settled.promise
    assert.deepEqual([two.reused, three.stream], [true, null])
    assert.equal(world.pending, 1)
    await world.upstream.until(() => three.error !== null)
    assert.equal(three.error?.reason, 'Overloaded')
    assert.match(three.error?.detail ?? '', /connectTimeout/)
    assert.deepEqual([world.pending, world.timers.armed], [0, 0])
    world.pool.retire()
  })

  it('takes a waiter out of either queue', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    world.maxConnections = 1
    world.maxPending = 1
    const [one, two] = [world.ask(), world.ask()]
    world.pool.cancel(two)
    world.pool.cancel(one)
    world.pool.cancel(one)
    assert.deepEqual([world.pending, world.timers.armed], [0, 1])
    await world.upstream.until(() => world.pool.idleCount === 1)
    assert.deepEqual([one.stream, two.stream], [null, null])
    world.pool.retire()
  })

  it('closes a connection after so many requests', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'), { maxRequestsPerConnection: 2 })
    const one = world.ask()
    await one.exchange()
    const two = world.ask()
    assert.equal(two.reused, true)
    await two.exchange()
    assert.deepEqual([world.pool.open, world.pool.idleCount], [0, 0])
    await world.upstream.until(() => world.upstream.open === 0)
  })
}

function manyRequestsEach(rig: UpstreamRig): void {
  it('carries as many requests on a connection as that takes, and more on another', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    await world.ask().exchange()
    const asked = Array.from({ length: rig.capacity + 1 }, () => world.ask())
    await Promise.all(asked.map((each) => each.settled.promise))
    assert.deepEqual([world.pool.open, world.pool.idleCount], [2, 0])
    assert.deepEqual([world.counts.opened, world.counts.reused], [2, rig.capacity])
    const texts = asked.map((_, i) => `/${i}`)
    assert.deepEqual(await Promise.all(asked.map((each, i) => each.exchange(texts[i]!))), texts)
    assert.equal(world.pool.idleCount, 2)
    world.pool.retire()
    assert.deepEqual([world.pool.open, world.timers.armed], [0, 0])
  })

  it('makes one connection for requests that come together, once it has seen what one carries', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    await world.ask().exchange()
    world.pool.dropIdle()
    const asked = Array.from({ length: rig.capacity }, () => world.ask())
    await Promise.all(asked.map((each) => each.exchange()))
    assert.deepEqual([world.counts.opened, world.pool.open], [2, 1])
    assert.ok(asked.every((each) => each.reused === false))
    world.pool.retire()
  })

  it('fails all requests that waited for a connection that cannot be made', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    await world.ask().exchange()
    world.pool.dropIdle()
    world.upstream.refuse()
    const asked = Array.from({ length: rig.capacity }, () => world.ask())
    await Promise.all(asked.map((each) => each.settled.promise))
    assert.ok(asked.every((each) => each.error?.reason === 'ConnectFailure'))
    assert.deepEqual([world.counts.failed, world.pool.open], [1, 0])
  })

  it('makes another connection where the one that came carries fewer requests than expected', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    await world.ask().exchange()
    world.pool.dropIdle()
    world.upstream.capacity = 1
    const asked = Array.from({ length: 3 }, () => world.ask())
    await Promise.all(asked.map((each) => each.settled.promise))
    assert.deepEqual([world.pool.open, world.counts.opened], [3, 4])
    assert.ok(asked.every((each) => each.error === null))
    await Promise.all(asked.map((each) => each.exchange()))
    world.pool.retire()
  })

  it('gives requests that wait for a place the room that others leave', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    world.maxConnections = 1
    const asked = Array.from({ length: rig.capacity + 1 }, () => world.ask())
    await Promise.all(asked.slice(0, -1).map((each) => each.settled.promise))
    const last = asked.at(-1)!
    assert.equal(last.stream, null)
    await asked[0]!.exchange()
    await last.settled.promise
    assert.equal(last.reused, true)
    await Promise.all(asked.slice(1).map((each) => each.exchange()))
    assert.deepEqual([world.pool.open, world.pending], [1, 0])
    world.pool.retire()
  })

  it('gives a connection that takes no more requests its last responses, and then closes it', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const one = world.ask()
    await one.settled.promise
    await world.upstream.leave()
    const two = world.ask()
    await two.settled.promise
    assert.deepEqual([world.pool.open, two.reused], [2, false])
    assert.equal(await one.exchange('/1'), '/1')
    assert.equal(world.pool.open, 1)
    assert.equal(await two.exchange('/2'), '/2')
    world.pool.retire()
  })

  it('closes a connection behind the last of so many requests', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'), { maxRequestsPerConnection: 3 })
    const first = world.ask()
    await first.settled.promise
    const others = [world.ask(), world.ask()]
    await first.exchange()
    const next = world.ask()
    await next.settled.promise
    assert.deepEqual([world.pool.open, next.reused], [2, false])
    await Promise.all(others.map((each) => each.exchange()))
    assert.equal(world.pool.open, 1)
    await next.exchange()
    world.pool.retire()
  })

  it('closes a busy connection of an endpoint that left behind its last request', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const one = world.ask()
    await one.settled.promise
    const two = world.ask()
    world.pool.retire()
    await one.exchange()
    assert.equal(world.pool.open, 1)
    await two.exchange()
    assert.equal(world.pool.open, 0)
  })

  it('loses no other request with one that is given up', async (t) => {
    const world = new World(await rig.upstream(t, 'echoing'))
    const one = world.ask()
    await one.settled.promise
    const two = world.ask()
    one.stream!.abort()
    assert.equal(await two.exchange('/2'), '/2')
    assert.equal(world.pool.idleCount, 1)
    world.pool.retire()
  })
}
