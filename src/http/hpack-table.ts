/**
 * The dynamic table of one side of a connection (RFC 7541 §2.3.2, §4). The bytes of all entries lie in one buffer, one
 * behind the other, the oldest first; of an entry there are three numbers and no object. So the memory of a table is
 * known from its limit, and nothing is allocated before its first entry.
 */

/** What an entry counts besides its name and value (RFC 7541 §4.1). */
export const ENTRY_OVERHEAD = 32

const NONE = Buffer.alloc(0)
const NO_NUMBERS = new Int32Array(0)

export class DynamicTable {
  /** The largest size that may be set. */
  #limit: number
  #maxSize: number
  #size = 0
  /** Room for twice what entries take at most, so that moving them to the front is rare. */
  #bytes = NONE
  #tail = 0
  /** Start, length and tag of each entry, at three times its number modulo the slots. */
  #entries = NO_NUMBERS
  #slots = 0
  /** Entries are numbered as they come: the oldest that is there, and the next to come. */
  #oldest = 0
  #next = 0

  /** @param limit bytes, as entries are counted */
  constructor(limit: number) {
    this.#limit = limit
    this.#maxSize = limit
  }

  get maxSize(): number {
    return this.#maxSize
  }

  get size(): number {
    return this.#size
  }

  get count(): number {
    return this.#next - this.#oldest
  }

  /** Number of the next entry: entries that came before have lower ones. */
  get next(): number {
    return this.#next
  }

  get limit(): number {
    return this.#limit
  }

  /** What the entries' starts are offsets in; another one after the first insertion. */
  get bytes(): Buffer {
    return this.#bytes
  }

  has(id: number): boolean {
    return id >= this.#oldest && id < this.#next
  }

  start(id: number): number {
    return this.#entries[(id & (this.#slots - 1)) * 3]!
  }

  /** Bytes that are stored of it. */
  length(id: number): number {
    return this.#entries[(id & (this.#slots - 1)) * 3 + 1]!
  }

  tag(id: number): number {
    return this.#entries[(id & (this.#slots - 1)) * 3 + 2]!
  }

  /** The maximum size may be chosen up to here. Entries stay, as far as they fit. */
  raiseLimit(limit: number): void {
    if (limit <= this.#limit) return
    this.#limit = limit
    if (this.#slots > 0) this.#allocate()
  }

  /** @param size at most the limit */
  resize(size: number): void {
    this.#maxSize = size
    this.#evict(0)
  }

  /**
   * Adds an entry and evicts the oldest ones for it. One that is larger than the table empties it, which is no error
   * (RFC 7541 §4.4).
   *
   * @param source not the table's own bytes
   * @param size of the entry as it counts; at least as many bytes as there are to store
   * @param tag given back by {@link tag}
   * @returns the entry's number, -1 when it was not added
   */
  insert(source: Buffer, start: number, end: number, size: number, tag: number): number {
    this.#evict(size)
    if (size > this.#maxSize) return -1
    if (this.#slots === 0) this.#allocate()
    const length = end - start
    if (this.#tail + length > this.#bytes.length) this.#compact()
    const id = this.#next++
    const at = (id & (this.#slots - 1)) * 3
    this.#entries[at] = this.#tail
    this.#entries[at + 1] = length
    this.#entries[at + 2] = tag
    source.copy(this.#bytes, this.#tail, start, end)
    this.#tail += length
    this.#sizes[id & (this.#slots - 1)] = size
    this.#size += size
    return id
  }

  #sizes = NO_NUMBERS

  #evict(room: number): void {
    while (this.#next > this.#oldest && this.#size + room > this.#maxSize)
      this.#size -= this.#sizes[this.#oldest++ & (this.#slots - 1)]!
    if (this.#next === this.#oldest) this.#tail = 0
  }

  /** Moves the entries to the front of the buffer. */
  #compact(): void {
    const from = this.start(this.#oldest)
    this.#bytes.copyWithin(0, from, this.#tail)
    this.#tail -= from
    for (let id = this.#oldest; id < this.#next; id++) this.#entries[(id & (this.#slots - 1)) * 3]! -= from
  }

  #allocate(): void {
    const bytes = Buffer.allocUnsafeSlow(2 * this.#limit)
    let slots = 1
    while (slots * ENTRY_OVERHEAD <= this.#limit) slots *= 2
    const entries = new Int32Array(slots * 3)
    const sizes = new Int32Array(slots)
    let tail = 0
    for (let id = this.#oldest; id < this.#next; id++) {
      const at = (id & (slots - 1)) * 3
      entries[at] = tail
      entries[at + 1] = this.length(id)
      entries[at + 2] = this.tag(id)
      sizes[id & (slots - 1)] = this.#sizes[id & (this.#slots - 1)]!
      tail += this.#bytes.copy(bytes, tail, this.start(id), this.start(id) + this.length(id))
    }
    this.#bytes = bytes
    this.#entries = entries
    this.#sizes = sizes
    this.#slots = slots
    this.#tail = tail
  }
}
