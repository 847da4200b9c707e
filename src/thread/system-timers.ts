import type { TimerClock } from '../lib/clock.ts'

/** A thread may have to wait for a CPU between two looks at a clock: of so many the quickest counts. */
const LOOKS = 32
/** `performance.now()` begins with its thread, and times in shared memory are compared by all threads. */
const OFFSET = offsetOfThread()

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

function offsetOfThread(): number {
  let offset = 0
  let least = Number.POSITIVE_INFINITY
  for (let look = 0; look < LOOKS; look++) {
    const before = performance.now()
    const shared = Number(process.hrtime.bigint()) / 1e6
    const after = performance.now()
    if (after - before >= least) continue
    least = after - before
    offset = shared - (before + after) / 2
  }
  return offset
}
