/** How long a worker's event loop keeps what is due waiting, for the metrics. */
import type { Milliseconds } from '../lib/clock.ts'
import type { WorkerMetrics } from './metrics.ts'

/** So often the loop is asked: a delay shorter than this is seen only now and then. */
const INTERVAL: Milliseconds = 50
/** A delay is shown for one to two of these, so that no scrape misses it. */
const WINDOW: Milliseconds = 15_000

/**
 * Measures until the returned timer is cleared.
 *
 * @param now monotonic
 * @param every `setInterval` of the thread: timers are handed in below the edges
 */
export function watchLoopDelay<T>(
  metrics: WorkerMetrics,
  now: () => Milliseconds,
  every: (tick: () => void, interval: Milliseconds) => T,
): T {
  let last = now()
  let windowEnds = last + WINDOW
  let longest = 0
  let longestBefore = 0
  return every(() => {
    const at = now()
    const delay = at - last - INTERVAL
    last = at
    if (at >= windowEnds) {
      longestBefore = longest
      longest = 0
      windowEnds = at + WINDOW
    }
    if (delay > longest) longest = delay
    metrics.loopDelay(Math.max(longest, longestBefore))
  }, INTERVAL)
}
