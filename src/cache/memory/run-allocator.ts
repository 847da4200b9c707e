/**
 * Runs of units in the segment of one worker, which alone calls this: TLSF (Masmano, Ripoll, Crespo, Real: "TLSF: a New
 * Dynamic Memory Allocator for Real-Time Systems", 2004). Free runs stand in lists by size; taking one and giving one
 * back take a time that depends on nothing, and neighbours that are free are always one run.
 *
 * What it knows of a free run stands in the run itself: its size in the first and the last word, its neighbours in the
 * list. A bit for each unit says where free runs begin and end.
 */
import { UNIT_WORDS } from './layout.ts'

const SIZE = 0
const PREVIOUS = 1
const NEXT = 2
/** Sizes between two powers of two are told apart by this many bits. */
const SPLIT_BITS = 3
const SPLIT = 1 << SPLIT_BITS
const POWERS = 30

export class RunAllocator {
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #first: number
  readonly #bitsAt: number
  /** First run of each list, 0: none. */
  readonly #lists = new Int32Array(POWERS * SPLIT)
  /** Which powers have runs, and which lists of each. */
  #powers = 0
  readonly #splits = new Uint8Array(POWERS)
  #free = 0

  /**
   * Nothing is free at first.
   *
   * @param first unit of the segment, not 0
   * @param bitsAt a bit for each unit, all zero
   */
  constructor(words: Int32Array<SharedArrayBuffer>, first: number, bitsAt: number) {
    this.#words = words
    this.#first = first
    this.#bitsAt = bitsAt
  }

  /** Units. */
  get free(): number {
    return this.#free
  }

  /** @returns the first unit of a run of this size, 0: there is none */
  take(units: number): number {
    const power = powerOf(units)
    // The next larger list: all of its runs suffice.
    const found = this.#find(listOf(power === 0 ? units : units + (1 << (power - 1)) - 1))
    if (found === 0) return 0
    this.#cut(found, units)
    return found
  }

  /** Units of a run that {@link take} gives; below the largest one by less than an eighth. 0: none is free. */
  get largest(): number {
    if (this.#powers === 0) return 0
    const power = highest(this.#powers)
    const split = highest(this.#splits[power]!)
    return power === 0 ? split : (SPLIT + split) << (power - 1)
  }

  /** Gives a run back, or the end of one. */
  release(start: number, units: number): void {
    this.#free += units
    let first = start
    let size = units
    if (start > this.#first && this.#isEnd(start - 1)) {
      const before = this.#words[start * UNIT_WORDS - 1]!
      first = start - before
      this.#unlink(first, before)
      size += before
    }
    if (this.#isEnd(start + units)) {
      const behind = this.#words[(start + units) * UNIT_WORDS + SIZE]!
      this.#unlink(start + units, behind)
      size += behind
    }
    this.#link(first, size)
  }

  #cut(run: number, units: number): void {
    const size = this.#words[run * UNIT_WORDS + SIZE]!
    this.#unlink(run, size)
    this.#free -= units
    if (size > units) this.#link(run + units, size - units)
  }

  #find(list: number): number {
    let power = list >> SPLIT_BITS
    let splits = this.#splits[power]! & (0xff << (list & (SPLIT - 1)))
    if (splits === 0) {
      const powers = this.#powers & (-1 << (power + 1))
      if (powers === 0) return 0
      power = lowest(powers)
      splits = this.#splits[power]!
    }
    return this.#lists[(power << SPLIT_BITS) | lowest(splits)]!
  }

  #link(run: number, size: number): void {
    const words = this.#words
    const at = run * UNIT_WORDS
    const list = listOf(size)
    const next = this.#lists[list]!
    words[at + SIZE] = size
    words[at + PREVIOUS] = 0
    words[at + NEXT] = next
    words[(run + size) * UNIT_WORDS - 1] = size
    if (next !== 0) words[next * UNIT_WORDS + PREVIOUS] = run
    this.#lists[list] = run
    const power = list >> SPLIT_BITS
    this.#powers |= 1 << power
    this.#splits[power]! |= 1 << (list & (SPLIT - 1))
    this.#mark(run)
    this.#mark(run + size - 1)
  }

  #unlink(run: number, size: number): void {
    const words = this.#words
    const previous = words[run * UNIT_WORDS + PREVIOUS]!
    const next = words[run * UNIT_WORDS + NEXT]!
    if (next !== 0) words[next * UNIT_WORDS + PREVIOUS] = previous
    if (previous !== 0) words[previous * UNIT_WORDS + NEXT] = next
    else this.#setFirst(listOf(size), next)
    this.#clear(run)
    this.#clear(run + size - 1)
  }

  #setFirst(list: number, run: number): void {
    this.#lists[list] = run
    if (run !== 0) return
    const power = list >> SPLIT_BITS
    const left = this.#splits[power]! & ~(1 << (list & (SPLIT - 1)))
    this.#splits[power] = left
    if (left === 0) this.#powers &= ~(1 << power)
  }

  #isEnd(unit: number): boolean {
    const bit = unit - this.#first
    return (this.#words[this.#bitsAt + (bit >> 5)]! & (1 << (bit & 31))) !== 0
  }

  #mark(unit: number): void {
    const bit = unit - this.#first
    this.#words[this.#bitsAt + (bit >> 5)]! |= 1 << (bit & 31)
  }

  #clear(unit: number): void {
    const bit = unit - this.#first
    this.#words[this.#bitsAt + (bit >> 5)]! &= ~(1 << (bit & 31))
  }
}

/** Sizes below {@link SPLIT} have a list each. */
function listOf(units: number): number {
  const power = powerOf(units)
  return power === 0 ? units : (power << SPLIT_BITS) | ((units >> (power - 1)) & (SPLIT - 1))
}

function powerOf(units: number): number {
  return units < SPLIT ? 0 : 32 - SPLIT_BITS - Math.clz32(units)
}

function lowest(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

function highest(bits: number): number {
  return 31 - Math.clz32(bits)
}
