/**
 * How the memory of the process is divided, so that its parts together stay below the limit of the container: whatever
 * is exceeded is refused or ends one thread, and never the process.
 */

const KiB = 1024
const MiB = 1024 * KiB

/**
 * Code, the main thread, stacks, what the allocator keeps back: measured at 78 MiB with two workers, and 16 MiB of the
 * main thread's heap.
 */
const PROCESS_BYTES = 96 * MiB
/** A worker's heap without connections and tables is 10 MiB, a control thread's 25 MiB. */
const LEAST_WORKER_HEAP = 40 * MiB
const LEAST_CONTROL_HEAP = 96 * MiB
/** V8's pointers reach farther, but a heap of this size is a leak. */
const LARGEST_HEAP = 4_096 * MiB
/** Below this the young generations are small too; above, a larger one of a worker saves copying. */
const SPACIOUS = 1_024 * MiB
const YOUNG_SPACIOUS = 48 * MiB
const YOUNG = 24 * MiB

/** Shares of what is left for heaps and buffers. */
const CONTROL_SHARE = 0.4
const WORKERS_SHARE = 0.4

/** Of a control thread's heap: what its code takes, and what a rebuild needs besides the objects. */
const CONTROL_CODE_BYTES = 40 * MiB
const CONFIGURATION_SHARE = 0.65
/** Of a worker's heap. */
const PATTERNS_SHARE = 0.3
/** Of what is left once heaps have theirs: memory outside of the heaps that connections hold. */
const CONNECTIONS_SHARE = 0.75
/** One client connection and its upstream half, idle or with a small message under way. */
const CONNECTION_BYTES = 12 * KiB
const LEAST_CONNECTIONS = 256
const HEADS_SHARE = 0.25
/** Of the largest heads, 32. */
const LEAST_HEADS = 2 * MiB

/** Of one worker, so that its share holds the least of either. */
const LEAST_BUFFERS = Math.max((LEAST_CONNECTIONS * CONNECTION_BYTES) / CONNECTIONS_SHARE, LEAST_HEADS / HEADS_SHARE)

/** Measured: a thread of 64 MiB parses 4 MiB of YAML and not 8, one of 137 MiB parses 8. */
const PARSE_FACTOR = 12
const LARGEST_FILE = 8 * MiB
/** A Route of 600 bytes of YAML takes eight to ten times as much once it is served. */
const FILES_FACTOR = 8

export interface MemoryBudget {
  /** Bytes that the process may take. */
  readonly limit: number
  /** As many as were asked for, or as many as have room. */
  readonly workers: number
  /** Bytes of the old and of the young generation of one thread's heap. */
  readonly control: HeapLimits
  readonly worker: HeapLimits
  /**
   * Bytes that manifests may take in the heap of the control thread and in the tables made of them, as estimated at the
   * door.
   */
  readonly configuration: number
  /** Bytes of compiled patterns in one worker. */
  readonly patterns: number
  /** Client connections of one worker for which there is memory. */
  readonly connections: number
  /** Bytes of request heads that have come in part, in one worker. */
  readonly heads: number
  /** Largest file of manifests, and all files together: to parse one takes ten times its size. */
  readonly file: number
  readonly files: number
}

export interface HeapLimits {
  readonly old: number
  readonly young: number
}

/**
 * @param limit bytes, of the container or the machine
 * @param workers asked for
 * @throws {TypeError} for what is no number of bytes or workers
 */
export function divideMemory(limit: number, workers: number): MemoryBudget {
  if (!(limit > 0)) throw new TypeError(`no such number of bytes: ${limit}`)
  if (!Number.isInteger(workers) || workers < 1) throw new TypeError(`no such number of workers: ${workers}`)
  const young = limit >= SPACIOUS ? YOUNG_SPACIOUS : YOUNG
  const room = (count: number): number => Math.max(0, limit - PROCESS_BYTES - (count + 1) * young)
  let count = workers
  while (count > 1 && !hasRoom(room(count), count)) count--
  const left = room(count)
  const control = controlHeap(left)
  const worker = workerHeap(left, count)
  const buffers = Math.max(0, left - control - worker * count) / count
  const configuration = Math.floor((control - CONTROL_CODE_BYTES) * CONFIGURATION_SHARE)
  const parsing = control - CONTROL_CODE_BYTES - configuration
  return {
    limit,
    workers: count,
    control: { old: control, young: YOUNG },
    worker: { old: worker, young },
    configuration,
    patterns: Math.floor(worker * PATTERNS_SHARE),
    connections: Math.max(LEAST_CONNECTIONS, Math.floor((buffers * CONNECTIONS_SHARE) / CONNECTION_BYTES)),
    heads: Math.max(LEAST_HEADS, Math.floor(buffers * HEADS_SHARE)),
    file: Math.min(LARGEST_FILE, Math.floor(parsing / PARSE_FACTOR)),
    files: Math.floor(configuration / FILES_FACTOR),
  }
}

/** The least limit under which every part has what it needs with one worker. */
export const LEAST_MEMORY = 2 * YOUNG + PROCESS_BYTES + LEAST_CONTROL_HEAP + LEAST_WORKER_HEAP + LEAST_BUFFERS

const controlHeap = (left: number): number => within(left * CONTROL_SHARE, LEAST_CONTROL_HEAP)

function workerHeap(left: number, workers: number): number {
  const rest = left - controlHeap(left) - LEAST_BUFFERS * workers
  return within(Math.min(left * WORKERS_SHARE, rest) / workers, LEAST_WORKER_HEAP)
}

/** Whether nobody gets its least at the cost of the rest. */
function hasRoom(left: number, workers: number): boolean {
  return left - controlHeap(left) - workerHeap(left, workers) * workers >= LEAST_BUFFERS * workers
}

function within(bytes: number, least: number): number {
  return Math.floor(Math.min(Math.max(bytes, least), LARGEST_HEAP))
}

/** `512 MiB`, for people. */
export function formatMebibytes(bytes: number): string {
  const amount = bytes / MiB
  return `${amount < 10 ? Number(amount.toFixed(1)) : Math.round(amount)} MiB`
}
