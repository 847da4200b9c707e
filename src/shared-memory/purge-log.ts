/**
 * What has been purged, for all threads at once: a ring of records for each thread that writes, and one counter. A
 * reader compares the counter with what it knows; only when it has moved on are the rings read.
 *
 * A record is published by storing the head of its ring, and then given its sequence. A reader that meets one without,
 * since its writer is about to or was terminated, gives it the next sequence for itself: what began before it was read
 * is older than it. So each sequence up to `last` belongs to a record that a reader finds, unless it was overwritten,
 * which a reader detects.
 */

/** Int32 cells of the header: those of the counter, then those of each ring, each in a cache line of its own. */
const LINE = 16
const LAST = 0
/** Of a ring: bytes ever written, and the position of the oldest record that is still whole; both wrap at 2³². */
const HEAD = 0
const OLDEST = 1
/** 1 once a record has been overwritten. */
const FORGOTTEN = 2
const CELL = Int32Array.BYTES_PER_ELEMENT

/** In front of each record: length with this, and the sequence. */
const RECORD_HEADER = 8
const ALIGNMENT = 8
/** Of each ring; a power of two, so that positions may wrap. */
const RING_BYTES = 1 << 19
/** Of one record with its header; longer ones are refused. */
export const MAX_PURGE_RECORD = 8_192

export class PurgeLog {
  readonly writers: number
  readonly #cells: Int32Array<SharedArrayBuffer>
  readonly #ringBytes: number

  constructor(buffer: SharedArrayBuffer, writers: number) {
    this.writers = writers
    this.#cells = new Int32Array(buffer)
    this.#ringBytes = (buffer.byteLength - headerBytes(writers)) / writers
    if (!Number.isInteger(Math.log2(this.#ringBytes)))
      throw new TypeError(`the buffer was not allocated for ${writers} writers`)
  }

  /**
   * @param writers one for each thread that appends, by its index; a replacement goes on in the ring of the one before
   * @param ringBytes a power of two
   */
  static allocate(writers: number, ringBytes = RING_BYTES): SharedArrayBuffer {
    if (!Number.isInteger(Math.log2(ringBytes)) || ringBytes < 2 * LINE)
      throw new TypeError(`a ring has a power of two of bytes: ${ringBytes}`)
    return new SharedArrayBuffer(headerBytes(writers) + writers * ringBytes)
  }

  /** The sequence of the last record, unsigned; it wraps at 2³². */
  get last(): number {
    return Atomics.load(this.#cells, LAST) >>> 0
  }

  /**
   * From the return on every thread that looks at {@link last} finds the record.
   *
   * @param record whole words of 8 bytes, aligned as such
   * @returns its sequence
   */
  append(writer: number, record: Uint8Array): number {
    const length = RECORD_HEADER + record.length
    if (
      record.length % ALIGNMENT !== 0 ||
      record.length === 0 ||
      length > Math.min(MAX_PURGE_RECORD, this.#ringBytes / 2)
    )
      throw new RangeError(`a purge record has words of 8 bytes, ${MAX_PURGE_RECORD} bytes at most: ${record.length}`)
    const words = new Int32Array(record.buffer, record.byteOffset, record.length / CELL)
    const cells = this.#cells
    const head = Atomics.load(cells, this.#cellOf(writer, HEAD))
    this.#makeRoom(writer, head, length)
    this.#store(writer, head, length)
    this.#store(writer, head + CELL, 0)
    for (let i = 0; i < words.length; i++) this.#store(writer, head + RECORD_HEADER + i * CELL, words[i]!)
    Atomics.store(cells, this.#cellOf(writer, HEAD), (head + length) | 0)
    const sequence = this.#next()
    this.#store(writer, head + CELL, sequence)
    Atomics.notify(cells, LAST)
    return sequence >>> 0
  }

  /** Waits for the counter to be another one than `last`; resolved at once where it is. For who must know unasked. */
  moved(last: number): Promise<unknown> {
    const wait = Atomics.waitAsync(this.#cells, LAST, last | 0)
    return wait.async ? wait.value : Promise.resolve()
  }

  /** 0 is for records without one, when the counter wraps. */
  #next(): number {
    return (Atomics.add(this.#cells, LAST, 1) + 1) | 0 || this.#next()
  }

  /** Gives up the oldest records until there is room behind the head. */
  #makeRoom(writer: number, head: number, length: number): void {
    const cell = this.#cellOf(writer, OLDEST)
    let oldest = Atomics.load(this.#cells, cell)
    if (((head - oldest) >>> 0) + length <= this.#ringBytes) return
    Atomics.store(this.#cells, this.#cellOf(writer, FORGOTTEN), 1)
    while (((head - oldest) >>> 0) + length > this.#ringBytes) oldest = (oldest + this.#load(writer, oldest)) | 0
    // Before any byte is overwritten: who copied them meanwhile looks at it afterwards.
    Atomics.store(this.#cells, cell, oldest)
  }

  /**
   * The records of a ring from a position on.
   *
   * @param from where the last call ended; at first {@link oldest}
   * @param read gets the sequence, and bytes of its own
   * @returns where to go on; undefined: records behind `from` were overwritten, perhaps after some of them were read
   */
  read(writer: number, from: number, read: (sequence: number, record: Uint8Array) => void): number | undefined {
    const head = Atomics.load(this.#cells, this.#cellOf(writer, HEAD))
    if ((head - from) >>> 0 > this.#ringBytes) return undefined
    for (let at = from; at !== head; ) {
      const length = this.#load(writer, at)
      const sequence = this.#load(writer, at + CELL)
      // What was overwritten meanwhile is no length.
      if (length <= RECORD_HEADER || length > MAX_PURGE_RECORD || this.#overwritten(writer, at)) return undefined
      const words = new Int32Array((length - RECORD_HEADER) / CELL)
      for (let i = 0; i < words.length; i++) words[i] = this.#load(writer, at + RECORD_HEADER + i * CELL)
      if (this.#overwritten(writer, at)) return undefined
      read((sequence === 0 ? this.#next() : sequence) >>> 0, new Uint8Array(words.buffer))
      at = (at + length) | 0
    }
    return head
  }

  /** Whether any record of a ring was ever overwritten. */
  hasForgotten(writer: number): boolean {
    return Atomics.load(this.#cells, this.#cellOf(writer, FORGOTTEN)) !== 0
  }

  /** Position of the oldest record of a ring. */
  oldest(writer: number): number {
    return Atomics.load(this.#cells, this.#cellOf(writer, OLDEST))
  }

  #overwritten(writer: number, position: number): boolean {
    return ((this.oldest(writer) - position) | 0) > 0
  }

  #cellOf(writer: number, cell: number): number {
    return LINE * (writer + 1) + cell
  }

  #at(writer: number, position: number): number {
    return headerBytes(this.writers) + writer * this.#ringBytes + (position & (this.#ringBytes - 1))
  }

  #load(writer: number, position: number): number {
    return Atomics.load(this.#cells, this.#at(writer, position) / CELL)
  }

  #store(writer: number, position: number, value: number): void {
    Atomics.store(this.#cells, this.#at(writer, position) / CELL, value)
  }
}

const headerBytes = (writers: number): number => LINE * CELL * (writers + 1)
