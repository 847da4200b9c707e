/**
 * Numbers for groups of frontends and for partitions, and the directory in which workers find them. Both are counted,
 * and given to something else when nothing packed refers to them: a generation has a root and a directory that belong
 * together.
 */
import type { Frontend, FrontendPartition, FrontendSet } from './frontend.ts'
import * as L from './pack-layout.ts'

interface Numbered {
  readonly number: number
  uses: number
}

/** Names or pairs written between two yields. */
const BATCH = 1024

export class PackedFrontends {
  /** By the key of the set. */
  readonly #groups = new Map<string, Numbered>()
  readonly #freeGroups: number[] = []
  readonly #partitions = new Map<FrontendPartition, Numbered>()
  /** By number; 0 is the one that divides nothing. */
  readonly #byNumber: (FrontendPartition | undefined)[] = [undefined]
  readonly #freePartitions: number[] = []
  #published: { readonly frontends: ReadonlyMap<string, Frontend>; readonly shared: SharedArrayBuffer } | undefined
  #changed = false
  #lastId = 0

  /** @returns its number, 1 …; a packed virtual host refers to it until {@link releaseGroup} */
  retainGroup({ key }: FrontendSet): number {
    const known = this.#groups.get(key)
    if (known !== undefined) {
      known.uses++
      return known.number
    }
    const number = this.#freeGroups.pop() ?? this.#groups.size + 1
    this.#groups.set(key, { number, uses: 1 })
    return number
  }

  releaseGroup({ key }: FrontendSet): void {
    const group = this.#groups.get(key)!
    if (--group.uses > 0) return
    this.#groups.delete(key)
    this.#freeGroups.push(group.number)
  }

  /** @returns its number, 0 for one that divides nothing; a slot of the root refers to it until {@link release} */
  retain(partition: FrontendPartition): number {
    if (partition.groups.length === 0) return 0
    const known = this.#partitions.get(partition)
    if (known !== undefined) {
      known.uses++
      return known.number
    }
    const number = this.#freePartitions.pop() ?? this.#byNumber.length
    this.#partitions.set(partition, { number, uses: 1 })
    this.#byNumber[number] = partition
    for (const group of partition.groups) this.retainGroup(group)
    this.#changed = true
    return number
  }

  release(partition: FrontendPartition): void {
    if (partition.groups.length === 0) return
    const known = this.#partitions.get(partition)
    if (known === undefined || --known.uses > 0) return
    this.#partitions.delete(partition)
    this.#byNumber[known.number] = undefined
    this.#freePartitions.push(known.number)
    for (const group of partition.groups) this.releaseGroup(group)
    this.#changed = true
  }

  /** The directory as it is now; the buffer of last time when nothing is different. */
  *publish(frontends: ReadonlyMap<string, Frontend>): Generator<void, SharedArrayBuffer> {
    if (this.#published?.frontends === frontends && !this.#changed) return this.#published.shared
    const names = new Set(frontends.keys())
    for (const partition of this.#partitions.keys()) for (const name of partition.groupOf.keys()) names.add(name)
    yield
    const shared = yield* this.#write([...names].sort())
    this.#published = { frontends, shared }
    this.#changed = false
    return shared
  }

  *#write(names: readonly string[]): Generator<void, SharedArrayBuffer> {
    let capacity = 2
    while (capacity < names.length * 2) capacity *= 2
    const slotsAt = L.DIRECTORY_HEADER
    const rowsAt = slotsAt + capacity
    const partitionsAt = rowsAt + names.length
    let size = partitionsAt + this.#byNumber.length
    for (const name of names) size += textWords(name)
    for (const { groupOf } of this.#partitions.keys()) size += L.PARTITION_PAIRS + groupOf.size * 2
    const shared = new SharedArrayBuffer(size * 4)
    const words = new Int32Array(shared)
    const bytes = Buffer.from(shared)
    words[L.DIRECTORY_ID] = ++this.#lastId
    words[L.DIRECTORY_MASK] = capacity - 1
    words[L.DIRECTORY_SLOTS_AT] = slotsAt
    words[L.DIRECTORY_ROWS] = names.length
    words[L.DIRECTORY_ROWS_AT] = rowsAt
    words[L.DIRECTORY_PARTITIONS_AT] = partitionsAt
    let next = partitionsAt + this.#byNumber.length
    const rows = new Map<string, number>()
    for (const name of names) {
      const row = rows.size + 1
      rows.set(name, row)
      enter(words, name, row)
      words[rowsAt + row - 1] = next
      const length = Buffer.byteLength(name)
      words[next] = (length << 1) | (length === name.length ? 0 : 1)
      bytes.utf8Write(name, (next + L.TEXT_BYTES) * 4)
      next += textWords(name)
      if (row % BATCH === 0) yield
    }
    for (const [partition, { number }] of this.#partitions) {
      words[partitionsAt + number] = next
      next = yield* this.#partition(words, next, partition, rows)
    }
    return shared
  }

  *#partition(
    words: Int32Array,
    at: number,
    { groups, groupOf }: FrontendPartition,
    rows: ReadonlyMap<string, number>,
  ): Generator<void, number> {
    const numbers = groups.map(({ key }) => this.#groups.get(key)!.number)
    const pairs = Array.from(groupOf, ([name, group]) => [rows.get(name)!, numbers[group]!] as const)
    pairs.sort(([a], [b]) => a - b)
    words[at] = pairs.length
    let next = at + L.PARTITION_PAIRS
    for (const [row, group] of pairs) {
      words[next++] = row
      words[next++] = group
    }
    yield
    return next
  }
}

function textWords(text: string): number {
  return L.TEXT_BYTES + ((Buffer.byteLength(text) + 3) >> 2)
}

function enter(words: Int32Array, name: string, row: number): void {
  const mask = words[L.DIRECTORY_MASK]!
  const slots = words[L.DIRECTORY_SLOTS_AT]!
  let slot = L.hashHost(0, name) & mask
  while (words[slots + slot] !== 0) slot = (slot + 1) & mask
  words[slots + slot] = row
}
