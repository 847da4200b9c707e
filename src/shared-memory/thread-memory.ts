/**
 * What each thread says of its own heap in the process block, and when a thread that has nothing to do gives garbage
 * back.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { HeapStatistics, ProcessBlock } from './process-block.ts'

/** How often a thread looks; a look costs some microseconds. */
const LOOK_EVERY: Milliseconds = 1_000
/** A thread that allocates less than this between looks, for so many of them, is idle: it still has its timers. */
const IDLE_BYTES = 1024 * 1024
const IDLE_LOOKS = 5
/** A collection stops the thread for some milliseconds: only for this much that has come since the last one. */
const WORTH_BYTES = 8 * 1024 * 1024
/**
 * The same for a thread that serves requests: with its exchanges gone, a collection takes what compiled code rests on,
 * and the code with it (76 functions of a worker, measured), so that the next requests run slowly while it is compiled
 * again beside them. What is less stays; heaps may grow by 30 % only.
 */
export const WORTH_COMPILING_BYTES = 24 * 1024 * 1024
/** A larger heap would take so long that the thread might count as hung; some milliseconds for each 10 MiB. */
const LARGEST_BYTES = 192 * 1024 * 1024

export interface MemoryWatchOptions {
  readonly statistics: () => HeapStatistics
  /** Whether nobody waits for this thread. */
  readonly idle: () => boolean
  /** Collects all garbage at once; undefined where the engine does not let us. */
  readonly collect: (() => void) | undefined
  /** Bytes that must have come since the last collection; 8 MiB unless said otherwise. */
  readonly worth?: number
}

/**
 * An idle thread does not allocate, and an engine that is not asked for memory does not look for garbage: what a burst
 * of changes has left would stay until the next one.
 *
 * @param every `setInterval` of the thread
 */
export function watchMemory<T>(
  block: ProcessBlock,
  thread: number,
  options: MemoryWatchOptions,
  every: (tick: () => void, interval: number) => T,
): T {
  const { statistics, idle, collect, worth = WORTH_BYTES } = options
  let before = 0
  let least = Number.POSITIVE_INFINITY
  let quiet = 0
  const look = (): void => {
    const heap = statistics()
    const used = heap.used_heap_size
    block.setMemory(thread, heap)
    // The engine has collected by itself meanwhile.
    least = Math.min(least, used)
    quiet = idle() && Math.abs(used - before) < IDLE_BYTES ? quiet + 1 : 0
    before = used
    if (collect === undefined || quiet < IDLE_LOOKS || used - least < worth || used > LARGEST_BYTES) return
    quiet = 0
    collect()
    const after = statistics()
    least = after.used_heap_size
    before = least
    block.setMemory(thread, after)
  }
  look()
  // What is in use at the start is no garbage, but nobody knows yet how much of it stays.
  least = 0
  return every(look, LOOK_EVERY)
}
