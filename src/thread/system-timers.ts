import type { TimerClock } from '../lib/clock.ts'

/** `performance.now()` begins with its thread, and times in shared memory are compared by all threads. */
const OFFSET = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/** The longest delay of a timer of Node, which takes a longer one for a millisecond: 24.8 days. */
const LONGEST = 2 ** 31 - 1

/** The clocks and timers of the system. A timer does not keep the process alive; work for the next turn does. */
export const systemTimers: TimerClock = {
  wall: () => Date.now(),
  monotonic: () => performance.now() + OFFSET,
  after(delay, run) {
    let timer: NodeJS.Timeout
    const wait = (left: number): void => {
      const next = left > LONGEST ? () => wait(left - LONGEST) : run
      timer = setTimeout(next, Math.max(0, Math.min(left, LONGEST))).unref()
    }
    wait(delay)
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
