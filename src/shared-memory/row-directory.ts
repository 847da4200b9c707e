/**
 * Assigns metrics rows to Backends. It is in shared memory and keyed by name, so that a restarted control thread finds
 * every row, and workers find their rows without a message. Only the control thread writes.
 *
 * A released row keeps its counters for ten minutes, in case its Backend returns; then it may be reassigned. The
 * counter cells belong to the workers and cannot be zeroed here, so the counts of a new owner are relative to a
 * baseline.
 */
import type { Milliseconds } from '../lib/clock.ts'
import { FairQueue } from '../lib/fair-queue.ts'
import { CODE_CLASSES } from './metric-labels.ts'
import { DIRECTORY_ROW_BYTES, MAX_NAME_BYTES, type MetricsLayout } from './metrics.ts'
import { MetricsReader } from './metrics-reader.ts'

/** States of a row. The state is written last when a row is assigned, and first when it is released. */
const FREE = 0
const USED = 1
const RELEASED = 2

/** 32-bit cells of a row: */
const STATE = 0
const LENGTH = 1
const HASH = 2
/** 64-bit cells of a row: */
const RELEASED_AT = 2
const BASELINE = 3
const NAME_AT = 8 * (BASELINE + CODE_CLASSES.length)

/** Exchanges of the old owner have ended by then, except the longest streams. */
const GRACE: Milliseconds = 600_000

export class RowDirectory {
  readonly #layout: MetricsLayout
  readonly #reader: MetricsReader
  readonly #cells: Int32Array
  readonly #doubles: Float64Array
  readonly #bytes: Buffer

  constructor(shared: SharedArrayBuffer) {
    this.#reader = new MetricsReader(shared)
    this.#layout = this.#reader.layout
    const at = this.#layout.directoryAt
    const length = (this.#layout.shape.backends + 1) * DIRECTORY_ROW_BYTES
    this.#cells = new Int32Array(shared, at, length / 4)
    this.#doubles = new Float64Array(shared, at, length / 8)
    this.#bytes = Buffer.from(shared, at, length)
  }

  /**
   * @returns the Backend's row, or the shared row 0 if it has none; fast enough for linking, not for each request
   */
  find(name: string): number {
    return this.#find(name, USED)
  }

  /**
   * Assigns rows to the current Backends, and releases those of removed ones. Where Backends outnumber rows, namespaces
   * share them equally: a namespace with few Backends has a row for each, and one with more than its share releases the
   * excess. Control thread only, before the Backends are sent to the workers.
   *
   * @param now monotonic: a wall clock that is set must neither keep rows back nor give them away
   */
  sync(names: Iterable<string>, now: Milliseconds, namespaceOf: (name: string) => string = () => ''): void {
    const chosen = this.#choose(new Set(names), namespaceOf)
    for (const { row, name } of this.entries()) if (!chosen.delete(name)) this.#release(row, now)
    for (const name of chosen) if (!this.#assign(name, now)) break
  }

  #choose(wanted: ReadonlySet<string>, namespaceOf: (name: string) => string): Set<string> {
    const turns = new FairQueue()
    // Within a namespace, Backends that have a row come first.
    for (const { name } of this.entries()) if (wanted.has(name)) turns.add(namespaceOf(name), name)
    for (const name of wanted) if (Buffer.byteLength(name) <= MAX_NAME_BYTES) turns.add(namespaceOf(name), name)
    const chosen = new Set<string>()
    for (let next = turns.take(); next !== undefined && chosen.size < this.#layout.shape.backends; next = turns.take())
      chosen.add(next.key)
    return chosen
  }

  /** Rows in use and their Backends. */
  *entries(): IterableIterator<{ readonly row: number; readonly name: string }> {
    for (let row = 1; row <= this.#layout.shape.backends; row++)
      if (Atomics.load(this.#cells, this.#cell(row)) === USED) yield { row, name: this.#name(row) }
  }

  /** Requests of the row's current owner. */
  requests(row: number, codeClass: number): number {
    const sum = this.#reader.backendRequests(row, codeClass)
    return row === 0 ? sum : sum - this.#doubles[this.#double(row) + BASELINE + codeClass]!
  }

  #assign(name: string, now: Milliseconds): boolean {
    const bytes = Buffer.from(name)
    const kept = this.#find(name, RELEASED)
    if (kept !== 0) {
      Atomics.store(this.#cells, this.#cell(kept), USED)
      return true
    }
    const row = this.#vacant(now)
    if (row === 0) return false
    const cell = this.#cell(row)
    const double = this.#double(row)
    Atomics.store(this.#cells, cell + STATE, FREE)
    for (let codeClass = 0; codeClass < CODE_CLASSES.length; codeClass++)
      this.#doubles[double + BASELINE + codeClass] = this.#reader.backendRequests(row, codeClass)
    this.#cells[cell + LENGTH] = bytes.length
    this.#cells[cell + HASH] = hash(name, SEEDS[0])
    this.#cells[cell + HASH + 1] = hash(name, SEEDS[1])
    this.#bytes.set(bytes, row * DIRECTORY_ROW_BYTES + NAME_AT)
    Atomics.store(this.#cells, cell + STATE, USED)
    return true
  }

  #release(row: number, now: Milliseconds): void {
    this.#doubles[this.#double(row) + RELEASED_AT] = now
    Atomics.store(this.#cells, this.#cell(row), RELEASED)
  }

  /** A row never used, or else the one released first, if long enough ago. */
  #vacant(now: Milliseconds): number {
    let best = 0
    let since = now - GRACE
    for (let row = 1; row <= this.#layout.shape.backends; row++) {
      const state = Atomics.load(this.#cells, this.#cell(row))
      if (state === FREE) return row
      const released = this.#doubles[this.#double(row) + RELEASED_AT]!
      if (state !== RELEASED || released > since) continue
      best = row
      since = released
    }
    return best
  }

  #find(name: string, state: number): number {
    const low = hash(name, SEEDS[0])
    const high = hash(name, SEEDS[1])
    for (let row = 1; row <= this.#layout.shape.backends; row++) {
      const cell = this.#cell(row)
      if (this.#cells[cell + HASH] !== low || this.#cells[cell + HASH + 1] !== high) continue
      if (Atomics.load(this.#cells, cell + STATE) === state && this.#name(row) === name) return row
    }
    return 0
  }

  #name(row: number): string {
    const at = row * DIRECTORY_ROW_BYTES + NAME_AT
    return this.#bytes.utf8Slice(at, at + this.#cells[this.#cell(row) + LENGTH]!)
  }

  #cell(row: number): number {
    return (row * DIRECTORY_ROW_BYTES) / 4
  }

  #double(row: number): number {
    return (row * DIRECTORY_ROW_BYTES) / 8
  }
}

const SEEDS = [0x811c9dc5, 0x9747b28c] as const

/** FNV-1a over UTF-16 units; only avoids comparisons of names. */
function hash(name: string, seed: number): number {
  let hash = seed | 0
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash
}
