/**
 * The table over all hostnames, and the groups of frontends that have something of their own there: kept privately by
 * the packer, changed where hosts change, and copied for each generation.
 */
import { ShardedMap } from '../lib/shards.ts'
import type { BlockRange } from './pack-blocks.ts'
import * as L from './pack-layout.ts'

const FIRST_CAPACITY = 16
/** Longest run of slots a look-up may have to pass before the table is built again with another seed. */
const LONGEST_PROBE = 32
const ATTEMPTS = 8
/** Words copied between two yields. */
const COPY_WORDS = 1 << 15
/** Hosts placed between two yields. */
const BATCH = 256

interface Table {
  readonly words: Int32Array
  /** Offset of each slot, by {@link placeKey}. */
  readonly slots: ShardedMap<number>
  /** Slots that were ever used, those of removed hosts included. */
  used: number
  longest: number
}

export class Root {
  readonly #nonce: number
  #table: Table
  /** Wildcards by number of dots, for the mask; the last cell for all deeper ones. */
  readonly #wildcards = new Int32Array(32)
  #hosts = 0

  /**
   * @param nonce differs between packers
   * @param seed of the hash over hostnames, not to be guessed from outside
   */
  constructor(nonce: number, seed: number) {
    this.#nonce = nonce
    this.#table = this.#empty(FIRST_CAPACITY, seed)
  }

  /** Makes room for one more host: the part of {@link put} that can take long. */
  *prepare(): Generator<void> {
    if (needsRoom(this.#table)) yield* this.#rebuild()
  }

  /** Names the place of a virtual host, new or changed. */
  put(place: BlockRange): void {
    const { hostname, group } = place
    const slot = this.#table.slots.get(placeKey(hostname, group))
    if (slot !== undefined) {
      point(this.#table.words, slot, place.block + 1, place.offset)
      return
    }
    insert(this.#table, hostname, group, place.block + 1, place.offset)
    if (group !== 0) return
    this.#hosts++
    this.#countWildcard(hostname, 1)
  }

  /**
   * @param frontends index of the partition, with `EXCLUSIVE` and `EXTENDS`: see `SLOT_FRONTENDS`
   * @param tls see `SLOT_TLS`
   */
  describe(hostname: string, frontends: number, tls: number): void {
    const slot = this.#table.slots.get(placeKey(hostname, 0))!
    this.#table.words[slot + L.SLOT_FRONTENDS] = frontends
    this.#table.words[slot + L.SLOT_TLS] = tls
  }

  remove(hostname: string, group: number): void {
    const key = placeKey(hostname, group)
    const slot = this.#table.slots.get(key)
    if (slot === undefined) return
    this.#table.slots.delete(key)
    this.#table.words[slot + L.SLOT_BLOCK] = -1
    if (group !== 0) return
    this.#hosts--
    this.#countWildcard(hostname, -1)
  }

  /** A copy in shared memory, as it is now. */
  *publish(): Generator<void, SharedArrayBuffer> {
    const { words } = this.#table
    let mask = 0
    for (let depth = 0; depth < 32; depth++) if (this.#wildcards[depth]! > 0) mask |= L.depthBit(depth)
    words[L.ROOT_WILDCARDS] = mask
    words[L.ROOT_HOSTS] = this.#hosts
    const shared = new SharedArrayBuffer(words.byteLength)
    const copy = new Int32Array(shared)
    for (let at = 0; at < words.length; at += COPY_WORDS) {
      copy.set(words.subarray(at, at + COPY_WORDS), at)
      if (words.length > COPY_WORDS) yield
    }
    return shared
  }

  #empty(capacity: number, seed: number): Table {
    const words = new Int32Array(L.ROOT_SLOTS + capacity * L.SLOT_WORDS)
    words[L.ROOT_MAGIC] = L.MAGIC
    words[L.ROOT_NONCE] = this.#nonce
    words[L.ROOT_SEED] = seed
    words[L.ROOT_MASK] = capacity - 1
    return { words, slots: new ShardedMap(), used: 0, longest: 0 }
  }

  #countWildcard(hostname: string, by: number): void {
    if (!hostname.startsWith('*.')) return
    const dots = hostname.split('.').length - 1
    this.#wildcards[Math.min(dots, 31)]! += by
  }

  /** Twice the size of what is alive, and another seed while some host is too far from where its hash points. */
  *#rebuild(): Generator<void> {
    const old = this.#table
    let capacity = FIRST_CAPACITY
    while (capacity < (old.slots.size + 1) * 2) capacity *= 2
    let seed = old.words[L.ROOT_SEED]!
    for (let attempt = 0; ; attempt++) {
      if (attempt > 0 || old.longest > LONGEST_PROBE) seed = L.hashStep(seed, attempt)
      const table = this.#empty(capacity, seed)
      for (const [key, slot] of old.slots) {
        const { words } = old
        const frontends = words[slot + L.SLOT_FRONTENDS]!
        const hostname = frontends < 0 ? key.slice(0, key.indexOf(' ')) : key
        const group = frontends < 0 ? -frontends : 0
        const at = insert(table, hostname, group, words[slot + L.SLOT_BLOCK]!, words[slot + L.SLOT_OFFSET]!)
        table.words[at + L.SLOT_FRONTENDS] = frontends
        table.words[at + L.SLOT_TLS] = words[slot + L.SLOT_TLS]!
        if (table.slots.size % BATCH === 0) yield
      }
      if (table.longest <= LONGEST_PROBE || attempt === ATTEMPTS) {
        this.#table = table
        return
      }
    }
  }
}

function needsRoom(table: Table): boolean {
  const capacity = table.words[L.ROOT_MASK]! + 1
  // A long probe is tolerated while the table is small against it, or no seed would ever do.
  return (table.used + 1) * 3 > capacity * 2 || table.longest > LONGEST_PROBE
}

/** No hostname has a space in it. */
function placeKey(hostname: string, group: number): string {
  return group === 0 ? hostname : `${hostname} ${group}`
}

/**
 * Puts what is not in the table into the first slot that is free or was left.
 * @returns its offset
 */
function insert(table: Table, hostname: string, group: number, block: number, offset: number): number {
  const { words } = table
  const mask = words[L.ROOT_MASK]!
  const base = L.hashHost(words[L.ROOT_SEED]!, hostname)
  const hash = group === 0 ? base : L.hashGroup(base, group)
  let slot = hash & mask
  let probe = 1
  while (words[L.ROOT_SLOTS + slot * L.SLOT_WORDS + L.SLOT_BLOCK]! > 0) {
    slot = (slot + 1) & mask
    probe++
  }
  const at = L.ROOT_SLOTS + slot * L.SLOT_WORDS
  if (words[at + L.SLOT_BLOCK] === 0) table.used++
  words[at + L.SLOT_HASH] = hash
  words[at + L.SLOT_FRONTENDS] = -group
  words[at + L.SLOT_TLS] = 0
  point(words, at, block, offset)
  table.slots.set(placeKey(hostname, group), at)
  if (probe > table.longest) table.longest = probe
  return at
}

function point(words: Int32Array, slot: number, block: number, offset: number): void {
  words[slot + L.SLOT_BLOCK] = block
  words[slot + L.SLOT_OFFSET] = offset
}
