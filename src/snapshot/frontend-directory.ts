/** The frontends of packed tables as a worker reads them: see pack-frontends.ts. */
import { readText, textIs } from './block-view.ts'
import type { FrontendHandle } from './frontend-handle.ts'
import * as L from './pack-layout.ts'

/** Sequence number over all directories of this thread, by which a handle detects a newer one. */
let lastSerial = 0

export class FrontendDirectory {
  /** Of its packer; see `ROOT_NONCE`. */
  readonly id: number
  readonly serial = ++lastSerial
  readonly #view: { readonly id: number; readonly words: Int32Array; readonly bytes: Buffer }

  constructor(shared: SharedArrayBuffer) {
    const words = new Int32Array(shared)
    this.id = words.length === 0 ? 0 : words[L.DIRECTORY_ID]!
    this.#view = { id: 0, words, bytes: Buffer.from(shared) }
  }

  /** How many frontends have a row; rows are 1 … this. */
  get rows(): number {
    return this.#view.words.length === 0 ? 0 : this.#view.words[L.DIRECTORY_ROWS]!
  }

  nameOf(row: number): string {
    const { words } = this.#view
    return readText(this.#view, words[words[L.DIRECTORY_ROWS_AT]! + row - 1]!)
  }

  /** Row of a frontend; 0 when these tables do not know it. The name is looked up once for each directory. */
  rowOf(frontend: FrontendHandle): number {
    if (frontend.directory === this.serial) return frontend.row
    frontend.row = this.find(frontend.name)
    frontend.directory = this.serial
    return frontend.row
  }

  /** Row of the frontend with this name; 0 when there is none. */
  find(name: string): number {
    const { words } = this.#view
    if (words.length === 0) return 0
    const mask = words[L.DIRECTORY_MASK]!
    const slots = words[L.DIRECTORY_SLOTS_AT]!
    const rowsAt = words[L.DIRECTORY_ROWS_AT]!
    for (let slot = L.hashHost(0, name) & mask; ; slot = (slot + 1) & mask) {
      const row = words[slots + slot]!
      if (row === 0) return 0
      if (textIs(this.#view, words[rowsAt + row - 1]!, name)) return row
    }
  }

  /** Number of the group that a frontend is in by a partition; 0 = in none. */
  groupOf(partition: number, row: number): number {
    if (partition === 0 || row === 0) return 0
    const { words } = this.#view
    const at = words[words[L.DIRECTORY_PARTITIONS_AT]! + partition]!
    let low = 0
    let high = words[at]! - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const pair = at + L.PARTITION_PAIRS + middle * 2
      const found = words[pair]!
      if (found === row) return words[pair + 1]!
      if (found < row) low = middle + 1
      else high = middle - 1
    }
    return 0
  }
}
