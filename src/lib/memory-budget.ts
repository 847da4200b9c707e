/**
 * Divides the memory of the process, so that the sum of its parts stays below the limit of the container: an exceeded
 * part refuses work or ends one thread, never the process.
 */

const KiB = 1024
const MiB = 1024 * KiB

/**
 * Code, the main thread, stacks and memory retained by the allocator: 78 MiB with two workers as measured, and 16 MiB
 * for the main thread's heap.
 */
const PROCESS_BYTES = 96 * MiB
/** Without connections and tables a worker's heap takes 10 MiB, and control's 25 MiB. */
const MIN_WORKER_HEAP = 40 * MiB
const MIN_CONTROL_HEAP = 96 * MiB
/** V8 allows more, but a heap of this size indicates a leak. */
const MAX_HEAP = 4_096 * MiB
/** From this limit on workers have a larger young generation, which saves copying. */
const LARGE_LIMIT = 1_024 * MiB
const LARGE_YOUNG = 48 * MiB
const YOUNG = 24 * MiB

/** Shares of the memory that remains for heaps and buffers. */
const CONTROL_SHARE = 0.4
const WORKERS_SHARE = 0.4

/** Parts of control's heap: its code, and the share of configuration; a rebuild uses the rest. */
const CONTROL_CODE_BYTES = 40 * MiB
const CONFIGURATION_SHARE = 0.65
/** Share of a worker's heap. */
const PATTERNS_SHARE = 0.3
/** Share of the memory outside of the heaps that connections may use. */
const CONNECTIONS_SHARE = 0.75
/** One client connection and its upstream connection, idle or with a small message in transit. */
export const CONNECTION_BYTES = 12 * KiB
/** What TLS adds: as measured 47 KiB with HTTP/1.1, and 62 KiB with HTTP/2. */
export const TLS_BYTES = 64 * KiB
/** Options, certificates and keys of one kind of handshake, as OpenSSL keeps them. */
export const SECURE_CONTEXT_BYTES = 30 * KiB
/** Share of the connections' memory. It is taken from connections only as far as it is used. */
const SECURE_CONTEXTS_SHARE = 0.25
const MIN_SECURE_CONTEXTS = 16
const MAX_SECURE_CONTEXTS = 1_024
/** The same for the authorities and revocation lists in them. */
const TRUST_SHARE = 0.5
const MAX_TRUST = 256 * MiB
const MIN_CONNECTIONS = 256
const HEADS_SHARE = 0.25
/** Suffices for 32 heads of the maximum size. */
const MIN_HEADS = 2 * MiB

/**
 * Of the limit, for responses of the HTTP cache where the settings do not say how much; at most half of what is left
 * when every part has its minimum. Control has its heap as if there were none: a cache that nobody uses takes no room
 * from manifests.
 */
const CACHE_SHARE = 1 / 16
const CACHE_SPARE = 0.5

/** Per worker; contains both minimums. */
const MIN_BUFFERS = Math.max((MIN_CONNECTIONS * CONNECTION_BYTES) / CONNECTIONS_SHARE, MIN_HEADS / HEADS_SHARE)

/** Measured: a thread with 64 MiB parses 4 MiB of YAML but not 8, one with 137 MiB parses 8. */
const PARSE_FACTOR = 12
const MAX_FILE = 8 * MiB
/** A Route of 600 bytes of YAML takes eight to ten times as much memory when it is served. */
const FILES_FACTOR = 8
/**
 * Share of the manifests' memory for what the files hold when they are read. What of it is served is counted there as
 * well; what is refused is held here alone, and a text of `{}` takes twenty times its length.
 */
const FILES_HELD_SHARE = 0.5

/**
 * The thread with the files of the cache: its heap without any, what it takes besides heaps, and what it knows of each
 * file. It has a share of the limit, and at least what a few files take.
 */
const ARCHIVE_HEAP_BYTES = 24 * MiB
const ARCHIVE_CODE_BYTES = 12 * MiB
const ARCHIVE_YOUNG = 8 * MiB
const ARCHIVED_FILE_BYTES = 300
const ARCHIVE_SHARE = 1 / 16
const MIN_ARCHIVED_FILES = 8_192
const MAX_ARCHIVED_FILES = 131_072

export interface MemoryBudget {
  /** Memory limit of the process in bytes. */
  readonly limit: number
  /** The requested number, or the number for which memory suffices. */
  readonly workers: number
  /** Of responses of the HTTP cache, of all workers together. */
  readonly cache: number
  /** Of the files of the cache, and the heap of their thread; null: there are none, or no room for them. */
  readonly archive: ArchiveBudget | null
  /** Bytes of the old and of the young generation of one thread's heap. */
  readonly control: HeapLimits
  readonly worker: HeapLimits
  /**
   * Bytes of manifests in the heap of the control thread and in the tables built from them, as estimated at admission.
   */
  readonly configuration: number
  /** Bytes of compiled patterns per worker. */
  readonly patterns: number
  /** Client connections per worker that memory allows, of clear text alone. */
  readonly connections: number
  /** Bytes of client connections and secure contexts per worker. */
  readonly connectionBytes: number
  /** Secure contexts per worker that are kept for further handshakes. */
  readonly secureContexts: number
  /** Bytes of authorities and revocation lists in secure contexts, per worker. */
  readonly trustBytes: number
  /** Bytes of messages per worker that are held: of incomplete heads, of heads of HTTP/2, and of bodies. */
  readonly heads: number
  /** Maximum size of one file of manifests and of all files: parsing takes ten times the size of a file. */
  readonly file: number
  readonly files: number
  /** Bytes that all files may take when they are read: text and documents, as estimated. */
  readonly filesHeld: number
}

export interface ArchiveBudget {
  /** That are known at most. */
  readonly files: number
  readonly heap: HeapLimits
}

export interface HeapLimits {
  readonly old: number
  readonly young: number
}

/**
 * @param limit bytes, of the container or the machine
 * @param workers requested number
 * @param cache requested bytes of the HTTP cache, 0: a share; it gets no more than the other parts can spare
 * @param archive whether the cache may have files
 * @throws {TypeError} for an invalid number of bytes or workers
 */
export function divideMemory(limit: number, workers: number, cache = 0, archive = false): MemoryBudget {
  if (!(limit > 0)) throw new TypeError(`the limit must be a positive number of bytes: ${limit}`)
  if (!Number.isInteger(workers) || workers < 1)
    throw new TypeError(`the number of workers must be an integer from 1: ${workers}`)
  const young = limit >= LARGE_LIMIT ? LARGE_YOUNG : YOUNG
  const roomFor = (count: number): number => Math.max(0, limit - PROCESS_BYTES - (count + 1) * young)
  let count = workers
  while (count > 1 && !suffices(roomFor(count), count)) count--
  const files = archive ? archiveBudget(limit, roomFor(count) - minimums(count)) : null
  const room = roomFor(count) - archiveBytes(files)
  const forCache = cacheBytes(limit, room - minimums(count), cache)
  const left = room - forCache
  const control = controlHeap(cache > 0 ? left : room)
  const worker = workerHeap(left, control, count)
  const buffers = Math.max(0, left - control - worker * count) / count
  const configuration = Math.floor((control - CONTROL_CODE_BYTES) * CONFIGURATION_SHARE)
  const connections = Math.max(MIN_CONNECTIONS, Math.floor((buffers * CONNECTIONS_SHARE) / CONNECTION_BYTES))
  const parsing = control - CONTROL_CODE_BYTES - configuration
  return {
    limit,
    workers: count,
    cache: forCache,
    archive: files,
    control: { old: control, young: YOUNG },
    worker: { old: worker, young },
    configuration,
    patterns: Math.floor(worker * PATTERNS_SHARE),
    connections,
    connectionBytes: connections * CONNECTION_BYTES,
    secureContexts: secureContexts(connections * CONNECTION_BYTES),
    trustBytes: Math.min(MAX_TRUST, connections * CONNECTION_BYTES * TRUST_SHARE),
    heads: Math.max(MIN_HEADS, Math.floor(buffers * HEADS_SHARE)),
    file: Math.min(MAX_FILE, Math.floor(parsing / PARSE_FACTOR)),
    files: Math.floor(configuration / FILES_FACTOR),
    filesHeld: Math.floor(configuration * FILES_HELD_SHARE),
  }
}

/** What is less is said in KiB. */
const LEAST_MEBIBYTES = 0.1

/** The lowest limit that gives every part its minimum with one worker. */
export const MIN_MEMORY = 2 * YOUNG + PROCESS_BYTES + MIN_CONTROL_HEAP + MIN_WORKER_HEAP + MIN_BUFFERS

/** What heaps and buffers need at least, of which control takes its share. */
function minimums(workers: number): number {
  const ofWorkers = workers * (MIN_WORKER_HEAP + MIN_BUFFERS)
  return Math.max(MIN_CONTROL_HEAP + ofWorkers, ofWorkers / (1 - CONTROL_SHARE))
}

function cacheBytes(limit: number, spare: number, requested: number): number {
  const most = Math.max(0, spare)
  return Math.floor(requested > 0 ? Math.min(requested, most) : Math.min(limit * CACHE_SHARE, most * CACHE_SPARE))
}

/** At most half of what is left when every part has its minimum. */
function archiveBudget(limit: number, spare: number): ArchiveBudget | null {
  const share = Math.min(limit * ARCHIVE_SHARE, spare / 2)
  const known = Math.floor((share - ARCHIVE_HEAP_BYTES - ARCHIVE_CODE_BYTES - ARCHIVE_YOUNG) / ARCHIVED_FILE_BYTES)
  const files = Math.min(Math.max(known, MIN_ARCHIVED_FILES), MAX_ARCHIVED_FILES)
  const budget = {
    files,
    heap: { old: ARCHIVE_HEAP_BYTES + files * ARCHIVED_FILE_BYTES, young: ARCHIVE_YOUNG },
  }
  return archiveBytes(budget) <= spare / 2 ? budget : null
}

/** What it takes in all. */
export function archiveBytes(budget: ArchiveBudget | null): number {
  return budget === null ? 0 : budget.heap.old + budget.heap.young + ARCHIVE_CODE_BYTES
}

const controlHeap = (left: number): number => within(left * CONTROL_SHARE, MIN_CONTROL_HEAP)

function workerHeap(left: number, control: number, workers: number): number {
  const rest = left - control - MIN_BUFFERS * workers
  return within(Math.min(left * WORKERS_SHARE, rest) / workers, MIN_WORKER_HEAP)
}

/** Whether the minimums of all parts fit. */
function suffices(left: number, workers: number): boolean {
  const control = controlHeap(left)
  return left - control - workerHeap(left, control, workers) * workers >= MIN_BUFFERS * workers
}

function secureContexts(bytes: number): number {
  const count = Math.floor((bytes * SECURE_CONTEXTS_SHARE) / SECURE_CONTEXT_BYTES)
  return Math.min(Math.max(count, MIN_SECURE_CONTEXTS), MAX_SECURE_CONTEXTS)
}

function within(bytes: number, least: number): number {
  return Math.floor(Math.min(Math.max(bytes, least), MAX_HEAP))
}

/** Formats bytes for messages: `512 MiB`, `3.5 MiB`, `40 KiB`. */
export function formatMebibytes(bytes: number): string {
  const amount = bytes / MiB
  if (amount < LEAST_MEBIBYTES) return `${Math.ceil(bytes / KiB)} KiB`
  return `${amount < 10 ? Number(amount.toFixed(1)) : Math.round(amount)} MiB`
}
