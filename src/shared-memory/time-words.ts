/**
 * Monotonic milliseconds in words of 32 bits, which come round after 49.7 days, and so does the time that has passed
 * since. That is enough to see that a second or a minute has passed, also where nobody looked for weeks: somebody who
 * looks first right after 49.7 days waits for as long again. For what lasts longer a double is needed.
 */
const CYCLE = 2 ** 32
/** By so much the clock of a thread may be behind what another one has written: it reads it once a turn. */
const LATE = 60_000

/** @returns never 0, which may stand for none */
export function timeWord(now: number): number {
  return now | 0 || 1
}

/** Whole milliseconds that have passed; 0 where another thread has just written it. */
export function timeSince(word: number, now: number): number {
  const passed = (now - word) >>> 0
  return passed < CYCLE - LATE ? passed : 0
}
