import type { TimerClock } from '../lib/clock.ts'

/** `performance.now()` begins with its thread, and times in shared memory are compared by all threads. */
const OFFSET = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** The clocks and timers of the system. A timer does not keep the process alive; work for the next turn does. */
export const systemTimers: TimerClock = {
  wall: () => Date.now(),
  monotonic: () => performance.now() + OFFSET,
  after(delay, run) {
    const timer = setTimeout(run, Math.max(0, delay)).unref()
    return () => clearTimeout(timer)
  },
  every(interval, run) {
    const timer = setInterval(run, interval).unref()
    return () => clearInterval(timer)
  },
  nextTurn(run) {
    const turn = setImmediate(run)
    return () => clearImmediate(turn)
  },
}
