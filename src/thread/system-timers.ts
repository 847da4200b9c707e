import type { TimerClock } from '../lib/clock.ts'

/** The clocks and timers of the system. A timer does not keep the process alive; work for the next turn does. */
export const systemTimers: TimerClock = {
  wall: () => Date.now(),
  monotonic: () => performance.now(),
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
