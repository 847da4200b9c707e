/**
 * What all workers know together of how many requests an endpoint bears at a time: its limit, its latency when it is
 * not busy, and what was observed in the window under way. Single words, written without locks; floating-point values
 * are the bits of 32-bit words. Whoever closes a window has won it by compare-and-swap, so each is judged once; if that
 * thread dies there, a window is lost.
 */
import { timeSince, timeWord } from './time-words.ts'

const CELLS = 16
/** Requests that the endpoint may have to answer at a time; 0: nothing is known. */
const LIMIT = 0
/** Milliseconds of latency while it is not busy; 0: unknown. */
const BASE = 1
/** Times are words of `timeWord`. 0 = none. */
const WINDOW = 2
const COUNT = 3
const SUM = 4
const DROPPED = 5
const PEAK = 6
/** Since when its latency is measured with few requests. */
const MEASURING = 7
const MEASURED_AT = 8
const MEASURED_LIMIT = 9
const MEASURING_FOR = 10
/** How often the limit has been divided for the measurement under way, and what it brought the time before. */
const DEPTH = 11
const BEFORE = 12

const FLOAT = new Float32Array(1)
const BITS = new Int32Array(FLOAT.buffer)

export interface ConcurrencyWindow {
  readonly count: number
  /** Mean latency, milliseconds. */
  readonly mean: number
  readonly dropped: number
  /** Most requests at a time. */
  readonly peak: number
}

export class EndpointConcurrency {
  readonly #cells: Int32Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer)
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(slots * CELLS * Int32Array.BYTES_PER_ELEMENT)
  }

  limit(slot: number): number {
    return this.#float(slot * CELLS + LIMIT)
  }

  setLimit(slot: number, limit: number): void {
    this.#setFloat(slot * CELLS + LIMIT, limit)
  }

  base(slot: number): number {
    return this.#float(slot * CELLS + BASE)
  }

  setBase(slot: number, base: number): void {
    this.#setFloat(slot * CELLS + BASE, base)
  }

  /** Since when its latency is measured; 0 = it is not. */
  measuringSince(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + MEASURING)
  }

  /** Milliseconds that the measurement under way is to take. */
  measuringFor(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + MEASURING_FOR)
  }

  /** How often the limit is divided meanwhile; 0: no measurement is under way. */
  depth(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + DEPTH)
  }

  /** Milliseconds that the measurement with twice that has brought; 0: this is the first. */
  before(slot: number): number {
    return this.#float(slot * CELLS + BEFORE)
  }

  measure(slot: number, depth: number, duration: number, before: number, now: number): void {
    Atomics.store(this.#cells, slot * CELLS + MEASURING_FOR, duration)
    this.#setFloat(slot * CELLS + BEFORE, before)
    this.#setFloat(slot * CELLS + MEASURED_LIMIT, this.limit(slot))
    Atomics.store(this.#cells, slot * CELLS + DEPTH, depth)
    Atomics.store(this.#cells, slot * CELLS + MEASURING, timeWord(now))
  }

  measured(slot: number, now: number): void {
    Atomics.store(this.#cells, slot * CELLS + MEASURED_AT, timeWord(now))
    Atomics.store(this.#cells, slot * CELLS + MEASURING, 0)
    Atomics.store(this.#cells, slot * CELLS + DEPTH, 0)
  }

  /** The limit at the last measurement; 0: there was none. */
  measuredLimit(slot: number): number {
    return this.#float(slot * CELLS + MEASURED_LIMIT)
  }

  /** When it was measured last; 0 = never. */
  measuredAt(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + MEASURED_AT)
  }

  /** So many requests are under way. */
  raisePeak(slot: number, requests: number): void {
    const at = slot * CELLS + PEAK
    if (Atomics.load(this.#cells, at) < requests) Atomics.store(this.#cells, at, requests)
  }

  /** @param latency milliseconds */
  observe(slot: number, latency: number, dropped: boolean): void {
    const at = slot * CELLS
    Atomics.add(this.#cells, at + COUNT, 1)
    if (dropped) {
      Atomics.add(this.#cells, at + DROPPED, 1)
      return
    }
    for (;;) {
      const before = Atomics.load(this.#cells, at + SUM)
      BITS[0] = before
      FLOAT[0] = FLOAT[0]! + latency
      if (Atomics.compareExchange(this.#cells, at + SUM, before, BITS[0]!) === before) return
    }
  }

  /** Whether the window has so many observations and lasts for so long. */
  isOver(slot: number, count: number, duration: number, now: number): boolean {
    const at = slot * CELLS
    if (Atomics.load(this.#cells, at + COUNT) < count) return false
    const began = Atomics.load(this.#cells, at + WINDOW)
    return began === 0 || timeSince(began, now) >= duration
  }

  /**
   * Begins a window.
   *
   * @param requests under way
   * @returns the one before it; undefined where another thread has closed that
   */
  close(slot: number, requests: number, now: number): ConcurrencyWindow | undefined {
    const at = slot * CELLS
    const began = Atomics.load(this.#cells, at + WINDOW)
    if (Atomics.compareExchange(this.#cells, at + WINDOW, began, timeWord(now)) !== began) return undefined
    const count = Atomics.exchange(this.#cells, at + COUNT, 0)
    BITS[0] = Atomics.exchange(this.#cells, at + SUM, 0)
    const sum = FLOAT[0]!
    const dropped = Atomics.exchange(this.#cells, at + DROPPED, 0)
    const peak = Atomics.exchange(this.#cells, at + PEAK, requests)
    return { count, mean: sum / Math.max(count - dropped, 1), dropped, peak }
  }

  /** The slot belongs to another endpoint from now on. */
  clear(slot: number): void {
    for (let cell = 0; cell < CELLS; cell++) Atomics.store(this.#cells, slot * CELLS + cell, 0)
  }

  #float(at: number): number {
    BITS[0] = Atomics.load(this.#cells, at)
    return FLOAT[0]!
  }

  #setFloat(at: number, value: number): void {
    Atomics.store(this.#cells, at, bitsOf(value))
  }
}

function bitsOf(value: number): number {
  FLOAT[0] = value
  return BITS[0]!
}
