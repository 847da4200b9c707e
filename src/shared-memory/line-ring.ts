/**
 * Transfers whole lines of text between two threads in shared memory: a byte ring with one producer and one consumer.
 *
 * One store of `head` publishes a line, so a producer terminated at any instruction leaves either the whole line or
 * nothing. One store of `tail` frees the space after the sink accepted the bytes: if a consumer is terminated in
 * between, the next one delivers them again (**at least once**; at most the bytes of one call of the sink are
 * repeated). Producer and consumer may each be replaced; the ring keeps its position.
 */

/** 32-bit cells of the header. The cells that each side writes have a cache line of their own. */
const HEAD = 0
const DROPPED = 1
const TAIL = 16
const WRITING = 17
const REPORTED = 18
const HEADER_BYTES = 128

const LF = 10

const MIN_BYTES = 4_096
const MAX_BYTES = 1 << 30

export const LineRing = {
  /** @param bytes capacity; rounded up to a power of two, so that positions may wrap at 2³² */
  create(bytes = 1 << 20): SharedArrayBuffer {
    if (!(bytes > 0 && bytes <= MAX_BYTES)) throw new TypeError(`a ring has 1 to ${MAX_BYTES} bytes: ${bytes}`)
    let capacity = MIN_BYTES
    while (capacity < bytes) capacity *= 2
    const ring = new SharedArrayBuffer(HEADER_BYTES + capacity)
    // The byte before the first line: see LineReader.midLine.
    new Uint8Array(ring)[HEADER_BYTES + capacity - 1] = LF
    return ring
  },

  /** Lines dropped because the ring was full, since its creation and of all producers; wraps at 2³². */
  dropped(ring: SharedArrayBuffer): number {
    return Atomics.load(new Int32Array(ring, 0, HEADER_BYTES / 4), DROPPED) >>> 0
  },
}

/** The producer's end. At most one at a time. */
export class LineWriter {
  readonly #cells: Int32Array
  readonly #bytes: Buffer
  readonly #mask: number
  #head: number
  /** The last known tail; reloaded only when the ring seems full. */
  #tail: number

  constructor(ring: SharedArrayBuffer) {
    this.#cells = new Int32Array(ring, 0, HEADER_BYTES / 4)
    this.#bytes = Buffer.from(ring, HEADER_BYTES)
    this.#mask = this.#bytes.length - 1
    this.#head = Atomics.load(this.#cells, HEAD)
    this.#tail = Atomics.load(this.#cells, TAIL)
  }

  /**
   * Appends one line of any characters, as UTF-8.
   *
   * @param line without its line end; must not contain a line feed, which would make it two lines
   * @returns false when the ring is full and the line was dropped and counted
   */
  write(line: string): boolean {
    const at = this.#head & this.#mask
    const room = Math.min(this.#free(), this.#bytes.length - at)
    if (line.length * 3 < room || Buffer.byteLength(line) < room)
      return this.publish(at, this.#bytes.utf8Write(line, at, room - 1))
    return this.#append(Buffer.from(line))
  }

  /** The same for a line known to be ASCII, which saves computing its length in bytes. */
  writeAscii(line: string): boolean {
    const { length } = line
    const at = this.room(length)
    if (at < 0) return this.#append(Buffer.from(line, 'latin1'))
    return this.publish(at, this.#bytes.latin1Write(line, at, length))
  }

  /**
   * Room for one line in one piece, to be filled in {@link bytes} from there and given to {@link publish}.
   *
   * @param length without the line end
   * @returns -1: there is none, as far as is known here; {@link write} may find some
   */
  room(length: number): number {
    const at = this.#head & this.#mask
    // One byte for the line's end, and one that stays between head and tail: see LineReader.midLine.
    const taken = (this.#head - this.#tail) >>> 0
    return taken + length + 1 > this.#mask || at + length + 1 > this.#bytes.length ? -1 : at
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Free bytes; one is reserved, see {@link LineReader.midLine}. */
  #free(): number {
    return this.#mask - ((this.#head - this.#tail) >>> 0)
  }

  /** @param length of a line that is in {@link bytes} from `at`, where {@link room} has said so */
  publish(at: number, length: number): true {
    this.#bytes[at + length] = LF
    this.#head = (this.#head + length + 1) | 0
    Atomics.store(this.#cells, HEAD, this.#head)
    return true
  }

  /** The slow path: the ring seems full, or the line wraps around its end. */
  #append(line: Buffer): boolean {
    this.#tail = Atomics.load(this.#cells, TAIL)
    if (line.length + 1 > this.#free()) {
      Atomics.store(this.#cells, DROPPED, Atomics.load(this.#cells, DROPPED) + 1)
      return false
    }
    const at = this.#head & this.#mask
    const first = Math.min(line.length, this.#bytes.length - at)
    line.copy(this.#bytes, at, 0, first)
    line.copy(this.#bytes, 0, first)
    this.#bytes[(at + line.length) & this.#mask] = LF
    this.#head = (this.#head + line.length + 1) | 0
    Atomics.store(this.#cells, HEAD, this.#head)
    return true
  }
}

/**
 * Consumes bytes of whole lines synchronously: they are a view of the ring and may be overwritten after the return.
 *
 * @returns number of bytes accepted; fewer than given means that it accepts no more for now
 */
export type LineSink = (lines: Buffer) => number

/** The consumer's end. At most one at a time. */
export class LineReader {
  readonly #cells: Int32Array
  readonly #bytes: Buffer
  readonly #mask: number

  constructor(ring: SharedArrayBuffer) {
    this.#cells = new Int32Array(ring, 0, HEADER_BYTES / 4)
    this.#bytes = Buffer.from(ring, HEADER_BYTES)
    this.#mask = this.#bytes.length - 1
  }

  /** Unread bytes. */
  get size(): number {
    return (Atomics.load(this.#cells, HEAD) - Atomics.load(this.#cells, TAIL)) >>> 0
  }

  /**
   * True when a sink accepted part of a line: the rest must follow before anything else is written to the same output.
   * The byte before `tail` is never overwritten, so a new reader detects it too.
   */
  get midLine(): boolean {
    return this.#bytes[(Atomics.load(this.#cells, TAIL) - 1) & this.#mask] !== LF
  }

  /**
   * True when an earlier reader was terminated within a sink call: its bytes may have been written, in part or whole.
   */
  get interrupted(): boolean {
    return Atomics.load(this.#cells, WRITING) !== 0
  }

  /** Lines dropped since the last call of any reader. */
  takeDropped(): number {
    const dropped = Atomics.load(this.#cells, DROPPED)
    return (dropped - Atomics.exchange(this.#cells, REPORTED, dropped)) >>> 0
  }

  /**
   * Passes whole lines to the sink in order, until the ring is empty, `maxBytes` are reached, or the sink accepts no
   * more. For a line that wraps around the end of the ring the sink is called twice, unless it refuses the first part.
   *
   * @param maxBytes a longer line is passed alone
   * @returns bytes accepted
   */
  drain(sink: LineSink, maxBytes = Number.POSITIVE_INFINITY): number {
    const tail = Atomics.load(this.#cells, TAIL)
    const size = this.#upTo(tail, (Atomics.load(this.#cells, HEAD) - tail) >>> 0, maxBytes)
    let taken = 0
    while (taken < size) {
      const part = this.#part(tail + taken, size - taken)
      const took = sink(part)
      this.consume(took)
      taken += took
      if (took < part.length) break
    }
    return taken
  }

  /**
   * The same in two steps, for an asynchronous sink: returns the next whole lines, or the first part of a line that
   * wraps around the end of the ring; they stay valid until `consume` is called.
   *
   * @returns null when the ring is empty
   */
  peek(maxBytes: number): Buffer | null {
    const tail = Atomics.load(this.#cells, TAIL)
    const size = this.#upTo(tail, (Atomics.load(this.#cells, HEAD) - tail) >>> 0, maxBytes)
    return size === 0 ? null : this.#part(tail, size)
  }

  /** Frees the first bytes of those returned by `peek`. */
  consume(bytes: number): void {
    Atomics.store(this.#cells, TAIL, (Atomics.load(this.#cells, TAIL) + bytes) | 0)
    Atomics.store(this.#cells, WRITING, 0)
  }

  #part(position: number, size: number): Buffer {
    Atomics.store(this.#cells, WRITING, 1)
    const at = position & this.#mask
    return this.#bytes.subarray(at, Math.min(at + size, this.#bytes.length))
  }

  /**
   * The largest number of bytes within `maxBytes` that ends with a line; at least one line, unless there is none.
   */
  #upTo(tail: number, size: number, maxBytes: number): number {
    if (size <= maxBytes) return size
    for (let length = maxBytes; length > 0; length--)
      if (this.#bytes[(tail + length - 1) & this.#mask] === LF) return length
    let length = Math.max(1, maxBytes)
    while (this.#bytes[(tail + length - 1) & this.#mask] !== LF) length++
    return length
  }
}
