/** What was decoded from packed tables, by where it stands. */
import type { BlockView } from './block-view.ts'

/** Distance between the positions of two blocks; a block has at most 2³¹ bytes. */
const BLOCK_SPAN = 0x2000_0000

/**
 * Direct-mapped: a position has one slot, a newcomer takes it. Contents of a position never change, so nothing needs to
 * be invalidated.
 */
export class PositionCache<T> {
  readonly #mask: number
  readonly #positions: Float64Array
  readonly #values: (T | undefined)[]

  constructor(size: number) {
    this.#mask = size - 1
    this.#positions = new Float64Array(size).fill(-1)
    this.#values = new Array<T | undefined>(size).fill(undefined)
  }

  get(block: BlockView, at: number): T | undefined {
    const slot = this.#slot(block.id, at)
    return this.#positions[slot] === block.id * BLOCK_SPAN + at ? this.#values[slot] : undefined
  }

  set(block: BlockView, at: number, value: T): T {
    const slot = this.#slot(block.id, at)
    this.#positions[slot] = block.id * BLOCK_SPAN + at
    this.#values[slot] = value
    return value
  }

  #slot(id: number, at: number): number {
    const hash = Math.imul(at + id * 0x3779, 0x9e3779b1)
    return (hash ^ (hash >>> 15)) & this.#mask
  }
}
