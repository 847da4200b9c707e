/**
 * Where virtual hosts are kept: blocks of shared memory that are only ever appended to, so that what a worker has been
 * told of never changes. Space that nothing lives in any more comes back when a whole block is dropped; a block in
 * which little is left alive is emptied by moving that to the newest one (as in log-structured storage, Rosenblum and
 * Ousterhout 1992).
 */
import * as L from './pack-layout.ts'

/** 256 KiB. */
const BLOCK_WORDS = 1 << 16
/** Larger virtual hosts get a block of their own, which is dropped with them. */
const OWN_BLOCK_WORDS = BLOCK_WORDS / 4
/** Words copied between two yields: some tens of microseconds. */
const COPY_WORDS = 1 << 15
/** Share of a block below which its live virtual hosts are moved. */
const CLEAN_BELOW = 0.25

/** Where a virtual host is. Changed in place when it moves. */
export interface BlockRange {
  readonly hostname: string
  /** Number of the group of frontends that serve it; 0 = all of them. */
  readonly group: number
  block: number
  offset: number
  readonly words: number
}

interface Block {
  readonly shared: SharedArrayBuffer
  readonly words: Int32Array
  used: number
  live: number
  readonly places: Set<BlockRange>
}

const NOTHING = new SharedArrayBuffer(0)

export class Blocks {
  readonly #blocks: (Block | undefined)[] = []
  readonly #free: number[] = []
  #open = -1
  #nextId = 1

  /** What a generation refers to, by block index; indexes without a block hold an empty buffer. */
  shared(): SharedArrayBuffer[] {
    return this.#blocks.map((block) => block?.shared ?? NOTHING)
  }

  /** Bytes of all blocks. */
  get bytes(): number {
    let bytes = 0
    for (const block of this.#blocks) bytes += block?.shared.byteLength ?? 0
    return bytes
  }

  /**
   * Stores a copy of `words`. Not visible to any reader before the next root names it; space is only lost when it is
   * given up half-way.
   */
  *store(hostname: string, group: number, words: Int32Array): Generator<void, BlockRange> {
    const index = this.#room(words.length)
    const block = this.#blocks[index]!
    const place: BlockRange = { hostname, group, block: index, offset: block.used, words: words.length }
    block.used += words.length
    for (let at = 0; at < words.length; at += COPY_WORDS) {
      block.words.set(words.subarray(at, at + COPY_WORDS), place.offset + at)
      if (words.length > COPY_WORDS) yield
    }
    block.live += words.length
    block.places.add(place)
    return place
  }

  /** The virtual host is no part of the next generation. Its bytes stay until its block is dropped. */
  release(place: BlockRange): void {
    const block = this.#blocks[place.block]!
    block.live -= place.words
    block.places.delete(place)
    if (block.live === 0) this.#drop(place.block)
  }

  /**
   * Moves what is left in blocks that are mostly dead.
   *
   * @param moved called with each virtual host that has a new place; `place` is still the same object
   */
  *clean(moved: (place: BlockRange) => void): Generator<void> {
    for (let index = 0; index < this.#blocks.length; index++) {
      const block = this.#blocks[index]
      if (block === undefined || index === this.#open || block.live >= block.words.length * CLEAN_BELOW) continue
      for (const place of [...block.places]) {
        const target = this.#room(place.words)
        const other = this.#blocks[target]!
        other.words.set(block.words.subarray(place.offset, place.offset + place.words), other.used)
        block.live -= place.words
        block.places.delete(place)
        place.block = target
        place.offset = other.used
        other.used += place.words
        other.live += place.words
        other.places.add(place)
        moved(place)
        yield
      }
      if (block.live === 0) this.#drop(index)
    }
  }

  /** A block with room for so many words. */
  #room(words: number): number {
    if (words > OWN_BLOCK_WORDS) return this.#add(words + L.BLOCK_DATA)
    const open = this.#blocks[this.#open]
    if (open !== undefined && open.used + words <= open.words.length) return this.#open
    this.#open = this.#add(BLOCK_WORDS)
    return this.#open
  }

  #add(size: number): number {
    const shared = new SharedArrayBuffer(size * 4)
    const words = new Int32Array(shared)
    words[L.BLOCK_ID] = this.#nextId++
    const block: Block = { shared, words, used: L.BLOCK_DATA, live: 0, places: new Set() }
    const index = this.#free.pop() ?? this.#blocks.length
    this.#blocks[index] = block
    return index
  }

  /** Readers of earlier generations keep the buffer; this generation's list does not have it any more. */
  #drop(index: number): void {
    // The open block is dropped too: what was appended to it must not be written over, and a new one costs little.
    if (index === this.#open) this.#open = -1
    this.#blocks[index] = undefined
    this.#free.push(index)
  }
}
