/** Measures the delay of a worker's event loop, for the metrics. */
import type { Milliseconds } from '../lib/clock.ts'
import type { WorkerMetrics } from './metrics.ts'

/** Sampling interval: shorter delays are detected only by chance. */
const INTERVAL: Milliseconds = 50
/** A delay is reported for one to two windows, so that no scrape misses it. */
const WINDOW: Milliseconds = 15_000

/**
 * Measures until the returned timer is cleared.
 *
 * @param now monotonic
 * @param every `setInterval` of the thread, injected because this layer is pure
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
