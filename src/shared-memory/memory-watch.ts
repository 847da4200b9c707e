/**
 * Records each thread's heap statistics in the process block, and collects garbage while a thread is idle.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { HeapStatistics, ProcessBlock } from './process-block.ts'

/** Sampling interval; a sample takes some microseconds. */
const SAMPLE_INTERVAL: Milliseconds = 1_000
/**
 * A thread that allocates less than this per sample, for this many samples, is idle apart from its timers. A sample
 * with more takes back one: rendering the metrics allocates more than a megabyte, and Prometheus asks every few
 * seconds.
 */
const IDLE_BYTES = 1024 * 1024
const IDLE_SAMPLES = 5
/** Growth since the last collection that makes another one worthwhile: it blocks the thread for some milliseconds. */
const GARBAGE_THRESHOLD = 8 * 1024 * 1024
/**
 * The same for a worker. While no exchange runs, a collection discards objects that optimized code depends on, and the
 * code with them (76 functions of a worker, measured), so that the next requests run slowly until it is compiled again.
 * Less garbage stays; heaps grow by at most 30 %.
 */
export const WORKER_GARBAGE_THRESHOLD = 24 * 1024 * 1024
/** The collection of a larger heap might exceed the hang timeout: it takes some milliseconds per 10 MiB. */
const MAX_HEAP_BYTES = 192 * 1024 * 1024

export interface MemoryWatchOptions {
  readonly statistics: () => HeapStatistics
  /** Whether no request or change waits for this thread. */
  readonly idle: () => boolean
  /** Runs a full collection; undefined where the engine does not expose it. */
  readonly collect: (() => void) | undefined
  /** Growth in bytes since the last collection that triggers one; 8 MiB by default. */
  readonly threshold?: number
}

/**
 * An idle thread does not allocate, and V8 collects only on allocation: without this watch, the garbage of a burst of
 * changes would stay until the next one.
 *
 * @param every `setInterval` of the thread
 */
export function watchMemory<T>(
  block: ProcessBlock,
  thread: number,
  options: MemoryWatchOptions,
  every: (tick: () => void, interval: number) => T,
): T {
  const { statistics, idle, collect, threshold = GARBAGE_THRESHOLD } = options
  let previous = 0
  let lowest = Number.POSITIVE_INFINITY
  let idleSamples = 0
  const sample = (): void => {
    const heap = statistics()
    const used = heap.used_heap_size
    block.setMemory(thread, heap)
    // The engine may have collected in the meantime.
    lowest = Math.min(lowest, used)
    if (!idle()) idleSamples = 0
    else if (Math.abs(used - previous) < IDLE_BYTES) idleSamples++
    else if (idleSamples > 0) idleSamples--
    previous = used
    if (collect === undefined || idleSamples < IDLE_SAMPLES || used - lowest < threshold || used > MAX_HEAP_BYTES)
      return
    idleSamples = 0
    collect()
    const after = statistics()
    lowest = after.used_heap_size
    previous = lowest
    block.setMemory(thread, after)
  }
  sample()
  // The heap in use at the start is not garbage, but how much of it stays is unknown yet.
  lowest = 0
  return every(sample, SAMPLE_INTERVAL)
}
