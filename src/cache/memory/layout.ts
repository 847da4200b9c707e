/**
 * How the memory of the cache is divided. All of it is one buffer, so that its size bounds everything: bodies, heads,
 * keys, index, queues, tables. Every part begins at a cache line; offsets are in words of 32 bits unless they say
 * units.
 */
export const UNIT_BYTES = 32
export const UNIT_WORDS = UNIT_BYTES / 4
const LINE = 16

/** Words of the header: */
export const EPOCH = 0
export const SECRET = 1
/** Counts what has been evicted from the queue of new entries, and goes round. */
export const GHOSTS = 3
const HEADER_WORDS = LINE

/** As many as the header of a record has. */
const NOBODY_WORDS = 3 * LINE

/** Words of a worker, in lines that nobody else writes to without need: */
export const READER = 0
/** Entries that other workers have taken out of the index, linked. */
export const DEAD_HEAD = LINE
/** How many workers have owned the segment. */
export const STARTS = LINE + 1
/** Entries that have been stored in the segment; goes round. */
export const SERIALS = LINE + 2
/** Pins behind this one have never been used. */
export const PINS_USED = 2 * LINE
export const STATISTICS = 3 * LINE
export const STATISTICS_CELLS = 16
const WORKER_WORDS = 3 * LINE + STATISTICS_CELLS * 2

/** Of the index: a cache line. */
export const BUCKET_SLOTS = 8
/** Bytes of memory for each slot: smaller entries are rare, and two choices of eight fill nearly all slots. */
const BYTES_PER_SLOT = 768
/** Fills under way, of a bucket of claims: a word of 32 bits. */
export const CLAIM_WAYS = 2
/** Of a fill: what others need to know of it, and behind that its key, where it is no longer. */
export const ROW_HEADER_WORDS = LINE
export const ROW_KEY_BYTES = 192
export const ROW_WORDS = ROW_HEADER_WORDS + ROW_KEY_BYTES / 4
const MAX_ROWS = 0xffff
const MAX_ROWS_OF_WORKER = 4_096
const MIN_ROWS_OF_WORKER = 64
const BYTES_PER_ROW = 16_384
/** Entries that a worker may hold at a time, and bytes of memory for each. */
const MAX_PINS = 8_192
const MIN_PINS = 64
const BYTES_PER_PIN = 4_096
/** One evicted entry is remembered for each so many bytes. */
const BYTES_PER_GHOST = 1_536
export const GHOST_WAYS = 4

/** A segment with less is of no use: nothing is stored then. */
const MIN_SEGMENT_BYTES = 256 * 1_024

export interface Layout {
  readonly workers: number
  /** Fills under way that a worker may have. */
  readonly rows: number
  readonly pins: number
  readonly indexBuckets: number
  readonly claimBuckets: number
  readonly ghostBuckets: number
  readonly segmentUnits: number
  /** A record of which nothing is there. In units. */
  readonly nobodyAt: number
  readonly workerAt: number
  readonly pinsAt: number
  readonly indexAt: number
  readonly claimsAt: number
  readonly rowsAt: number
  readonly ghostsAt: number
  /** Of a segment's units: where runs of free ones begin and end. */
  readonly bitsAt: number
  readonly bitWords: number
  /** In units. */
  readonly segmentsAt: number
}

/** Undefined where the bytes are too few for that many workers. */
export function divideCache(bytes: number, workers: number): Layout | undefined {
  const each = bytes / workers
  const mostRows = Math.min(MAX_ROWS_OF_WORKER, Math.floor(MAX_ROWS / workers))
  const rows = within(each / BYTES_PER_ROW, Math.min(MIN_ROWS_OF_WORKER, mostRows), mostRows)
  const pins = within(each / BYTES_PER_PIN, MIN_PINS, MAX_PINS)
  const indexBuckets = Math.max(1, Math.floor(bytes / BYTES_PER_SLOT / BUCKET_SLOTS))
  // Where all rows are in use, one claim in 500 finds its bucket full.
  const claimBuckets = 16 * rows * workers
  const ghostBuckets = Math.max(1, Math.floor(bytes / BYTES_PER_GHOST / GHOST_WAYS))
  const bitWords = lines(each / UNIT_BYTES / 32)
  let at = HEADER_WORDS
  const take = (words: number): number => {
    const start = at
    at += lines(words)
    return start
  }
  const nobodyAt = take(NOBODY_WORDS) / UNIT_WORDS
  const workerAt = take(workers * WORKER_WORDS)
  const pinsAt = take(workers * pins)
  const indexAt = take(indexBuckets * BUCKET_SLOTS * 2)
  const claimsAt = take(claimBuckets)
  const rowsAt = take(workers * rows * ROW_WORDS)
  const ghostsAt = take(ghostBuckets * GHOST_WAYS * 2)
  const bitsAt = take(workers * bitWords)
  const segmentsAt = at / UNIT_WORDS
  const segmentUnits = Math.floor((bytes / UNIT_BYTES - segmentsAt) / workers)
  if (segmentUnits * UNIT_BYTES < MIN_SEGMENT_BYTES) return undefined
  const parts = { nobodyAt, workerAt, pinsAt, indexAt, claimsAt, rowsAt, ghostsAt, bitsAt, bitWords, segmentsAt }
  return { workers, rows, pins, indexBuckets, claimBuckets, ghostBuckets, segmentUnits, ...parts }
}

/** Of the doorbells: one for each fill, and the last for what is taken from slow readers. */
export function bellsOf(layout: Layout): number {
  return layout.workers * layout.rows + 1
}

/** Where the words of a worker begin. */
export function workerWords(layout: Layout, worker: number): number {
  return layout.workerAt + worker * WORKER_WORDS
}

/** The first unit of a worker's segment. */
export function segmentOf(layout: Layout, worker: number): number {
  return layout.segmentsAt + worker * layout.segmentUnits
}

/** Whose segment a unit is in. */
export function ownerOf(layout: Layout, unit: number): number {
  return Math.floor((unit - layout.segmentsAt) / layout.segmentUnits)
}

function within(value: number, least: number, most: number): number {
  return Math.floor(Math.min(Math.max(value, least), most))
}

/** Whole cache lines. */
function lines(words: number): number {
  return Math.ceil(words / LINE) * LINE
}
