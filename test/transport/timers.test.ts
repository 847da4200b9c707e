import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import fc from 'fast-check'
import { TICK, type Timed, Timers } from '../../src/transport/timers.ts'

function mockedInterval(interval: number, run: () => void): () => void {
  const timer = setInterval(run, interval)
  return () => clearInterval(timer)
}

/** Advances the clock and the runtime's interval together, as a loop does that is never late. */
class World {
  now = 0
  readonly timers: Timers

  constructor(start = 0) {
    this.now = start
    this.timers = new Timers({ monotonic: () => this.now, every: mockedInterval })
  }

  pass(milliseconds: number): void {
    for (let left = milliseconds; left > 0; left--) {
      this.now++
      mock.timers.tick(1)
    }
  }

  /** The loop was busy: the clock has gone on, the interval comes once. */
  stall(milliseconds: number): void {
    this.now += milliseconds
    mock.timers.tick(TICK)
  }
}

class Deadline implements Timed {
  due = 0
  slot = -1
  earlier: Timed | null = null
  later: Timed | null = null
  readonly fired: number[] = []
  readonly #then: ((now: number) => void) | undefined

  constructor(then?: (now: number) => void) {
    this.#then = then
  }

  expired(now: number): void {
    this.fired.push(now)
    this.#then?.(now)
  }
}

describe('the timer wheel', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }))
  afterEach(() => mock.timers.reset())

  it('fires no earlier than asked and at most two ticks late, whatever was armed before', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 10_000_000 }),
        fc.array(fc.record({ wait: fc.nat({ max: 500 }), span: fc.integer({ min: 1, max: 50_000 }) }), {
          maxLength: 12,
        }),
        (start, steps) => {
          const world = new World(start)
          const all: [Deadline, number][] = []
          for (const { wait, span } of steps) {
            world.pass(wait)
            const deadline = new Deadline()
            world.timers.arm(deadline, world.now + span)
            all.push([deadline, world.now + span])
          }
          world.pass(50_000 + 3 * TICK)
          for (const [deadline, due] of all) {
            assert.equal(deadline.fired.length, 1)
            assert.ok(
              deadline.fired[0]! >= due && deadline.fired[0]! <= due + 2 * TICK,
              `${deadline.fired[0]} for ${due}`,
            )
          }
          assert.equal(world.timers.armed, 0)
        },
      ),
      { numRuns: 12 },
    )
  })

  it('is as exact after hours in which nothing was armed', () => {
    for (const idle of [1_000, 19_990, 20_480, 3_600_000, 3_600_123]) {
      const world = new World(5)
      const first = new Deadline()
      world.timers.arm(first, world.now + 100)
      world.pass(200)
      assert.equal(first.fired.length, 1)
      world.now += idle
      const second = new Deadline()
      const due = world.now + 300
      world.timers.arm(second, due)
      world.pass(300 + 2 * TICK)
      assert.equal(second.fired.length, 1, `after ${idle} ms`)
      assert.ok(second.fired[0]! >= due && second.fired[0]! <= due + 2 * TICK)
    }
  })

  it('follows a deadline that was only moved later, without being armed again', () => {
    const world = new World()
    const deadline = new Deadline()
    world.timers.arm(deadline, 100)
    for (let i = 0; i < 10; i++) {
      world.pass(60)
      deadline.due = world.now + 100
    }
    assert.deepEqual(deadline.fired, [])
    world.pass(100 + 2 * TICK)
    assert.equal(deadline.fired.length, 1)
    assert.ok(deadline.fired[0]! >= 700)
  })

  it('comes earlier when armed anew with an earlier deadline', () => {
    const world = new World()
    const deadline = new Deadline()
    world.timers.arm(deadline, 30_000)
    world.timers.arm(deadline, 50)
    world.pass(50 + 2 * TICK)
    assert.equal(deadline.fired.length, 1)
    world.pass(31_000)
    assert.equal(deadline.fired.length, 1)
  })

  it('forgets what is disarmed, also by arming it with 0', () => {
    const world = new World()
    const deadlines = [new Deadline(), new Deadline(), new Deadline()]
    for (const each of deadlines) world.timers.arm(each, 40)
    world.timers.disarm(deadlines[1]!)
    world.timers.disarm(deadlines[1]!)
    world.timers.arm(deadlines[2]!, 0)
    assert.equal(world.timers.armed, 1)
    world.pass(200)
    assert.deepEqual(
      deadlines.map((each) => each.fired.length),
      [1, 0, 0],
    )
  })

  it('lets a callback disarm others of the same moment, and itself be armed again', () => {
    const world = new World()
    const victims = [new Deadline(), new Deadline(), new Deadline()]
    let again = 0
    const killer: Deadline = new Deadline((now) => {
      for (const each of victims) world.timers.disarm(each)
      if (again++ === 0) world.timers.arm(killer, now + 100)
    })
    world.timers.arm(victims[0]!, 40)
    world.timers.arm(victims[1]!, 40)
    world.timers.arm(killer, 40)
    // The list of a slot is walked from the last one armed.
    world.pass(200)
    assert.equal(killer.fired.length, 2)
    assert.deepEqual(
      victims.map((each) => each.fired.length),
      [0, 0, 0],
    )
    assert.equal(world.timers.armed, 0)
  })

  it('lets a callback arm another for a moment that has passed: it comes with the next tick', () => {
    const world = new World()
    const other = new Deadline()
    const first = new Deadline((now) => world.timers.arm(other, now - 1_000))
    world.timers.arm(first, 40)
    world.pass(40 + 3 * TICK)
    assert.equal(other.fired.length, 1)
  })

  it('catches up after a stall longer than a whole turn of the wheel', () => {
    const world = new World()
    const near = new Deadline()
    const far = new Deadline()
    const farther = new Deadline()
    world.timers.arm(near, 100)
    world.timers.arm(far, 60_000)
    world.timers.arm(farther, 200_000)
    world.stall(70_000)
    assert.deepEqual([near.fired.length, far.fired.length, farther.fired.length], [1, 1, 0])
    world.pass(130_000 + 2 * TICK)
    assert.equal(farther.fired.length, 1)
  })

  it('carries 100,000 deadlines, each fired once and in its time', () => {
    const world = new World(123)
    const all: [Deadline, number][] = []
    for (let i = 0; i < 100_000; i++) {
      const deadline = new Deadline()
      const due = 123 + 1 + ((i * 7919) % 30_000)
      world.timers.arm(deadline, due)
      all.push([deadline, due])
    }
    assert.equal(world.timers.armed, 100_000)
    world.pass(30_000 + 3 * TICK)
    let wrong = 0
    for (const [{ fired }, due] of all) if (fired.length !== 1 || fired[0]! < due || fired[0]! > due + 2 * TICK) wrong++
    assert.equal(wrong, 0)
    assert.equal(world.timers.armed, 0)
  })

  it('costs nothing while nothing is armed', () => {
    const world = new World()
    let asked = 0
    const monotonic = (): number => {
      asked++
      return world.now
    }
    const timers = new Timers({ monotonic, every: mockedInterval })
    const deadline = new Deadline()
    timers.arm(deadline, 40)
    world.pass(100)
    assert.equal(deadline.fired.length, 1)
    const before = asked
    world.pass(1_000)
    assert.equal(asked, before)
  })
})
