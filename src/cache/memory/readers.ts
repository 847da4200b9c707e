/**
 * When memory may be used again. A worker that reads has the epoch at which it began in a cell of its own, and what it
 * reads for longer in its pins. What was taken out of the index is free when every cell is 0 or of a later epoch, and
 * it is not pinned: cells are looked at first, since a pin is set before the cell is cleared.
 */
import { EPOCH, type Layout, PINS_USED, READER, workerWords } from './layout.ts'

/** Epochs are odd, so that none is the 0 of a worker that does not read. */
const STEP = 2

export class Readers {
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #layout: Layout
  readonly #worker: number
  readonly #cell: number
  readonly #pinsAt: number
  readonly #pinsUsed: number
  #reading = false
  /** By record: its pin, and how often it is held. */
  readonly #held = new Map<number, { readonly pin: number; count: number }>()
  readonly #freePins: number[] = []
  #used = 0

  constructor(words: Int32Array<SharedArrayBuffer>, layout: Layout, worker: number) {
    this.#words = words
    this.#layout = layout
    this.#worker = worker
    const own = workerWords(layout, worker)
    this.#cell = own + READER
    this.#pinsUsed = own + PINS_USED
    this.#pinsAt = layout.pinsAt + worker * layout.pins
  }

  get reading(): boolean {
    return this.#reading
  }

  enter(): void {
    if (this.#reading) return
    this.#reading = true
    Atomics.store(this.#words, this.#cell, Atomics.load(this.#words, EPOCH))
  }

  leave(): void {
    if (!this.#reading) return
    this.#reading = false
    Atomics.store(this.#words, this.#cell, 0)
  }

  /** While reading. @returns false: as many as may be are held */
  pin(record: number): boolean {
    const held = this.#held.get(record)
    if (held !== undefined) {
      held.count++
      return true
    }
    let pin = this.#freePins.pop()
    if (pin === undefined) {
      if (this.#used === this.#layout.pins) return false
      pin = this.#used++
      Atomics.store(this.#words, this.#pinsUsed, this.#used)
    }
    Atomics.store(this.#words, this.#pinsAt + pin, record)
    this.#held.set(record, { pin, count: 1 })
    return true
  }

  unpin(record: number): void {
    const held = this.#held.get(record)
    if (held === undefined || --held.count > 0) return
    this.#held.delete(record)
    Atomics.store(this.#words, this.#pinsAt + held.pin, 0)
    this.#freePins.push(held.pin)
  }

  /** Begins an epoch. Who enters from now on does not see what has been taken out of the index before. */
  seal(): number {
    return (Atomics.add(this.#words, EPOCH, STEP) + STEP) | 0
  }

  /** Whether nobody reads since before this epoch. */
  passed(epoch: number): boolean {
    for (let worker = 0; worker < this.#layout.workers; worker++) {
      const cell = Atomics.load(this.#words, workerWords(this.#layout, worker) + READER)
      if (cell !== 0 && ((cell - epoch) | 0) < 0) return false
    }
    return true
  }

  /** What is pinned at this moment, in any worker. */
  pinned(into: Set<number>): void {
    const { workers, pins, pinsAt } = this.#layout
    for (let worker = 0; worker < workers; worker++) {
      const used = Atomics.load(this.#words, workerWords(this.#layout, worker) + PINS_USED)
      const first = pinsAt + worker * pins
      for (let at = first; at < first + used; at++) {
        const record = Atomics.load(this.#words, at)
        if (record !== 0) into.add(record)
      }
    }
  }

  /** Whether anybody holds it at this moment. */
  isPinned(record: number): boolean {
    const { workers, pins, pinsAt } = this.#layout
    for (let worker = 0; worker < workers; worker++) {
      const used = Atomics.load(this.#words, workerWords(this.#layout, worker) + PINS_USED)
      const first = pinsAt + worker * pins
      for (let at = first; at < first + used; at++) if (Atomics.load(this.#words, at) === record) return true
    }
    return false
  }

  get worker(): number {
    return this.#worker
  }
}

/** A worker that has exited reads nothing any more. Supervisor only. */
export function clearReader(words: Int32Array<SharedArrayBuffer>, layout: Layout, worker: number): void {
  const first = layout.pinsAt + worker * layout.pins
  for (let at = first; at < first + layout.pins; at++) Atomics.store(words, at, 0)
  const own = workerWords(layout, worker)
  Atomics.store(words, own + PINS_USED, 0)
  Atomics.store(words, own + READER, 0)
}
