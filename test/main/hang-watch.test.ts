import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BackOff } from '../../src/supervisor/back-off.ts'
import { HANG_AFTER, HangWatch, START_WITHIN } from '../../src/supervisor/hang-watch.ts'

const INTERVAL = 100

/** A watched thread whose beats and waiting the test decides; asked at every interval as the supervisor does. */
class Watched {
  now = 1_000
  beats = 0
  waited: number | undefined = 0
  readonly watch = new HangWatch(
    INTERVAL,
    () => this.beats,
    () => this.waited,
  )

  constructor() {
    this.watch.begin(this.now)
  }

  /** @returns after how long it was found to hang, -1 when it was not within the time */
  silentFor(time: number, waiting = 0): number {
    for (let passed = INTERVAL; passed <= time; passed += INTERVAL) {
      this.now += INTERVAL
      if (this.waited !== undefined) this.waited += waiting * INTERVAL
      if (this.watch.hung(this.now)) return passed
    }
    return -1
  }

  beat(): void {
    this.beats++
    this.now += INTERVAL
    assert.equal(this.watch.hung(this.now), false)
  }
}

describe('a thread that gives no sign of life', () => {
  it('is found to hang well within a second', () => {
    const thread = new Watched()
    thread.beat()
    const after = thread.silentFor(2_000)
    assert.ok(after > HANG_AFTER && after <= HANG_AFTER + INTERVAL, `${after}`)
  })

  it('is left alone as long as it beats, however slowly', () => {
    const thread = new Watched()
    for (let i = 0; i < 20; i++) {
      thread.beat()
      assert.equal(thread.silentFor(HANG_AFTER - INTERVAL), -1)
    }
  })

  it('is left alone while it waits for a processor, but not for ever', () => {
    const thread = new Watched()
    thread.beat()
    // It is given a tenth of one: silence counts at that rate.
    const after = thread.silentFor(60_000, 0.9)
    assert.ok(after > 4_000 && after < 10_000, `${after}`)
    const starved = new Watched()
    starved.beat()
    const last = starved.silentFor(60_000, 1)
    assert.ok(last > 10_000 && last < 20_000, `${last}`)
  })

  it('is judged by silence alone where the system does not tell who waits', () => {
    const thread = new Watched()
    thread.waited = undefined
    thread.beat()
    assert.ok(thread.silentFor(2_000) > 0)
  })

  it('is not blamed for a supervisor that was late itself', () => {
    const thread = new Watched()
    thread.beat()
    thread.now += 5_000
    assert.equal(thread.watch.hung(thread.now), false)
    assert.ok(thread.silentFor(2_000) > 0, 'but the watch goes on')
  })

  it('may take its time to start', () => {
    assert.equal(new Watched().silentFor(START_WITHIN), -1)
    assert.ok(new Watched().silentFor(START_WITHIN + 500) > 0)
  })

  it('is watched anew after each start', () => {
    const thread = new Watched()
    thread.beat()
    thread.silentFor(500)
    thread.watch.begin(thread.now)
    assert.equal(thread.silentFor(2_000), -1)
  })
})

describe('how soon a thread is started again', () => {
  it('is at once when it has lived', () => {
    const backOff = new BackOff()
    for (let i = 0; i < 10; i++) assert.equal(backOff.next(60_000), 0)
  })

  it('is at once twice, then later and later when it keeps dying at its start, up to five seconds', () => {
    const backOff = new BackOff()
    const waits = Array.from({ length: 9 }, () => backOff.next(50))
    assert.deepEqual(waits, [0, 0, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    assert.equal(backOff.early, 9)
    assert.equal(backOff.next(60_000), 0)
    assert.equal(backOff.early, 0)
  })
})
