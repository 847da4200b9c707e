/**
 * Wakes workers: one tells another that something is to be done for a slot. A ring is a bit, so however often it is
 * rung there is one thing to do, a worker that hangs holds up nobody, and one that dies leaves nothing behind.
 */

/** Int32 cells before the bits: a cache line, so that bells of two workers do not share one. */
const HEADER = 16
const RINGS = 0
const BITS = 32

export class Doorbells {
  readonly #cells: Int32Array<SharedArrayBuffer>
  readonly #workers: number
  /** Cells of one worker: a header, a bit for each slot, and a bit for each of those cells. */
  readonly #row: number
  readonly #slotCells: number

  constructor(buffer: SharedArrayBuffer, workers: number, slots: number) {
    this.#cells = new Int32Array(buffer)
    this.#workers = workers
    this.#slotCells = Math.ceil(slots / BITS)
    this.#row = rowOf(slots)
    if (this.#cells.length !== workers * this.#row)
      throw new TypeError(`the buffer was not allocated for ${workers} workers`)
  }

  static allocate(workers: number, slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * rowOf(slots) * Int32Array.BYTES_PER_ELEMENT)
  }

  /** Costs little when the bell has been rung for the slot and was not heard yet. */
  ring(worker: number, slot: number): void {
    const row = worker * this.#row
    const first = this.#set(row + HEADER, slot)
    // Also where it has been rung: that worker may have died before it came here.
    const firstOfCell = this.#set(row + HEADER + this.#slotCells, Math.floor(slot / BITS))
    if (!first && !firstOfCell) return
    Atomics.add(this.#cells, row + RINGS, 1)
    Atomics.notify(this.#cells, row + RINGS)
  }

  /** @returns false when the bit was set */
  #set(first: number, bit: number): boolean {
    const mask = 1 << (bit % BITS)
    return (Atomics.or(this.#cells, first + Math.floor(bit / BITS), mask) & mask) === 0
  }

  /** Calls `heard` for every slot that was rung for since the last call. @returns the number of rings so far */
  answer(worker: number, heard: (slot: number) => void): number {
    const row = worker * this.#row
    const rings = Atomics.load(this.#cells, row + RINGS)
    for (let i = row + HEADER + this.#slotCells; i < row + this.#row; i++) {
      if (this.#cells[i] === 0) continue
      const from = (i - row - HEADER - this.#slotCells) * BITS
      // The upper bit first: a ring sets it last.
      eachBit(Atomics.exchange(this.#cells, i, 0), from, (at) => {
        eachBit(Atomics.exchange(this.#cells, row + HEADER + at, 0), at * BITS, heard)
      })
    }
    return rings
  }

  /**
   * Answers every ring of the worker, from now on, in a turn of the event loop of its own.
   *
   * @param heard must not throw
   * @param nextTurn runs a function in the next turn, so that one who rings without end does not hold this one
   */
  listen(worker: number, heard: (slot: number) => void, nextTurn: (run: () => void) => void): void {
    const answer = (): void => {
      const rings = this.answer(worker, heard)
      const wait = Atomics.waitAsync(this.#cells, worker * this.#row + RINGS, rings)
      if (wait.async) void wait.value.then(answer)
      else nextTurn(answer)
    }
    answer()
  }

  /** What was rung for at a worker that has exited concerns its replacement no more. Supervisor only. */
  clear(worker: number): void {
    if (worker >= this.#workers) throw new RangeError(`no such worker: ${worker}`)
    const row = worker * this.#row
    for (let cell = HEADER; cell < this.#row; cell++) Atomics.store(this.#cells, row + cell, 0)
  }
}

function rowOf(slots: number): number {
  const cells = Math.ceil(slots / BITS)
  return HEADER + cells + Math.ceil(cells / BITS)
}

function eachBit(bits: number, from: number, call: (bit: number) => void): void {
  for (let left = bits; left !== 0; left &= left - 1) call(from + 31 - Math.clz32(left & -left))
}
