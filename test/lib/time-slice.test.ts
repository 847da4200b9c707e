import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type SliceClock, SlicedWork, SlicePauses, TIME_SLICE, TimeSlice } from '../../src/lib/time-slice.ts'

/** A loop whose turns are run by the test, and work that takes the time it says. */
function loop() {
  let now = 0
  let turns: (() => void)[] = []
  const clock: SliceClock = {
    monotonic: () => now,
    nextTurn: (run) => {
      turns.push(run)
      return () => {
        turns = turns.filter((one) => one !== run)
      }
    },
  }
  return {
    clock,
    work: (milliseconds: number) => {
      now += milliseconds
    },
    /** @returns how long the turn took */
    turn: (): number => {
      const began = now
      for (const run of turns.splice(0)) run()
      return now - began
    },
    get waiting() {
      return turns.length
    },
  }
}

describe('a time slice', () => {
  it('is two milliseconds, as house rule 6 says', () => {
    const { clock, work } = loop()
    const slice = new TimeSlice(clock)
    work(1.9)
    assert.equal(slice.over, false)
    work(0.1)
    assert.equal(slice.over, true)
    assert.equal(TIME_SLICE, 2)
  })

  it('has parts with the same start', () => {
    const { clock, work } = loop()
    const slice = new TimeSlice(clock)
    work(1)
    const part = slice.part(0.75)
    assert.equal(part.over, false)
    work(0.5)
    assert.deepEqual([part.over, slice.over], [true, false])
  })
})

describe('sliced work', () => {
  it('runs one slice per turn until it is done', () => {
    const { clock, work, turn } = loop()
    let left = 100
    const sliced = new SlicedWork(clock, (slice) => {
      do {
        work(0.3)
        left--
      } while (left > 0 && !slice.over)
      return left > 0
    })
    sliced.run()
    assert.equal(left, 93)
    const took: number[] = []
    while (sliced.scheduled) took.push(turn())
    assert.equal(left, 0)
    assert.ok(
      took.every((time) => time <= TIME_SLICE + 0.3),
      took.join(),
    )
  })

  it('schedules one slice for any number of calls, and none after `stop`', () => {
    const world = loop()
    let slices = 0
    const sliced = new SlicedWork(world.clock, () => ++slices < 2)
    sliced.schedule()
    sliced.schedule()
    sliced.run()
    assert.deepEqual([slices, world.waiting], [0, 1])
    world.turn()
    assert.deepEqual([slices, sliced.scheduled], [1, true])
    sliced.stop()
    sliced.schedule()
    world.turn()
    assert.deepEqual([slices, world.waiting], [1, 0])
  })
})

describe('pauses of an asynchronous function', () => {
  it('occur when a slice is over, and each begins a new slice', async () => {
    const { clock, work, turn } = loop()
    const pauses = new SlicePauses(clock)
    assert.equal(pauses.next(), undefined)
    work(3)
    const pause = pauses.next()
    assert.ok(pause instanceof Promise)
    turn()
    await pause
    assert.equal(pauses.next(), undefined)
  })
})
