import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { HANG_TIMEOUT, HangDetector, MAX_STARTUP_TIMEOUT, STARTUP_TIMEOUT } from '../../src/supervisor/hang-detector.ts'
import { RestartBackOff } from '../../src/supervisor/restart-back-off.ts'

const INTERVAL = 100

/** A thread whose heartbeats and CPU wait the test sets; checked at every interval as the supervisor does. */
class WatchedThread {
  now = 1_000
  beats = 0
  cpuWait: number | undefined = 0
  /** Of each third look at what it waits for: who looks waits for a CPU, too. */
  lateness = 0
  looks = 0
  readonly detector = new HangDetector(
    INTERVAL,
    () => this.beats,
    () => {
      if (this.cpuWait === undefined) return undefined
      const late = this.looks++ % 3 === 0 ? this.lateness : 0
      return { at: this.now + late, waited: this.cpuWait + late }
    },
  )

  constructor() {
    this.detector.reset(this.now)
  }

  /** @returns after how long the thread counted as hung; -1 when it did not within the time */
  silentFor(time: number, waiting = 0): number {
    for (let passed = INTERVAL; passed <= time; passed += INTERVAL) {
      this.now += INTERVAL
      if (this.cpuWait !== undefined) this.cpuWait += waiting * INTERVAL
      if (this.detector.isHung(this.now)) return passed
    }
    return -1
  }

  beat(): void {
    this.beats++
    this.now += INTERVAL
    assert.equal(this.detector.isHung(this.now), false)
  }
}

describe('a thread without a heartbeat', () => {
  it('counts as hung well within a second', () => {
    const thread = new WatchedThread()
    thread.beat()
    const after = thread.silentFor(2_000)
    assert.ok(after > HANG_TIMEOUT && after <= HANG_TIMEOUT + INTERVAL, `${after}`)
  })

  it('does not count as hung while heartbeats arrive, however slowly', () => {
    const thread = new WatchedThread()
    for (let i = 0; i < 20; i++) {
      thread.beat()
      assert.equal(thread.silentFor(HANG_TIMEOUT - INTERVAL), -1)
    }
  })

  it('does not count as hung while it waits for a CPU, within a bound', () => {
    const thread = new WatchedThread()
    thread.beat()
    // It gets a tenth of a CPU: its silence counts at that rate.
    const after = thread.silentFor(60_000, 0.9)
    assert.ok(after > 4_000 && after < 10_000, `${after}`)
    const starved = new WatchedThread()
    starved.beat()
    const last = starved.silentFor(60_000, 1)
    assert.ok(last > 10_000 && last < 20_000, `${last}`)
  })

  it('does not count as hung while it waits for a CPU and so does who looks', () => {
    const thread = new WatchedThread()
    thread.lateness = 450
    thread.beat()
    assert.equal(thread.silentFor(10_000, 1), -1)
  })

  it('counts as hung by its silence alone where the system does not report the CPU wait', () => {
    const thread = new WatchedThread()
    thread.cpuWait = undefined
    thread.beat()
    assert.ok(thread.silentFor(2_000) > 0)
  })

  it('does not count as hung when the check itself was late', () => {
    const thread = new WatchedThread()
    thread.beat()
    thread.now += 5_000
    assert.equal(thread.detector.isHung(thread.now), false)
    assert.ok(thread.silentFor(2_000) > 0, 'later silence counts')
  })

  it('has the startup timeout before its first heartbeat', () => {
    assert.equal(new WatchedThread().silentFor(STARTUP_TIMEOUT), -1)
    assert.ok(new WatchedThread().silentFor(STARTUP_TIMEOUT + 500) > 0)
  })

  it('has the startup timeout again after each start', () => {
    const thread = new WatchedThread()
    thread.beat()
    thread.silentFor(500)
    thread.detector.reset(thread.now)
    assert.equal(thread.silentFor(2_000), -1)
  })

  // With 0.04 of a CPU the code alone takes longer: it began anew every 31 s and never served.
  it('has longer for each start in a row that was too slow, until one is well', () => {
    const thread = new WatchedThread()
    const hungAfter = (): number => {
      const after = thread.silentFor(60 * 60_000, 1)
      thread.detector.reset(thread.now)
      return Math.round(after / 1_000)
    }
    const seconds = Array.from({ length: 5 }, hungAfter)
    const longest = (2 * MAX_STARTUP_TIMEOUT) / 1_000
    const wanted = [30, 60, 120, longest, longest]
    for (const [i, after] of seconds.entries())
      assert.ok(after >= wanted[i]! && after < wanted[i]! * 1.1 + 3, `${seconds} s, wanted ${wanted}`)
    thread.beat()
    thread.detector.reset(thread.now)
    assert.ok(hungAfter() < 40)
  })
})

describe('the delay before a thread restarts', () => {
  it('is zero after a healthy lifetime', () => {
    const backOff = new RestartBackOff()
    for (let i = 0; i < 10; i++) assert.equal(backOff.nextDelay(60_000), 0)
  })

  it('is zero for two early exits, then grows up to five seconds', () => {
    const backOff = new RestartBackOff()
    const waits = Array.from({ length: 9 }, () => backOff.nextDelay(50))
    assert.deepEqual(waits, [0, 0, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    assert.equal(backOff.earlyExits, 9)
    assert.equal(backOff.nextDelay(60_000), 0)
    assert.equal(backOff.earlyExits, 0)
  })
})
