/** The encoder's dynamic table, with a way to find a value in it: one slot a hash, no chains. */
import type { KnownName } from './hpack-policy.ts'
import { DynamicTable, ENTRY_OVERHEAD } from './hpack-table.ts'

/** Values longer than this are not looked for. */
export const MAX_INDEXED_VALUE = 512
const SLOTS = 128
const NEVER_SEEN = -1

/** FNV-1a. */
export function hashOf(known: KnownName, bytes: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5 ^ known.id
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash ^ (hash >>> 15)
}

export class ValueIndex {
  readonly table: DynamicTable
  /** Of the field that was seen last in a slot: its hash, and the number of its entry. Made for the first field. */
  #hashes: Int32Array | null = null
  #ids: Float64Array | null = null
  /** {@link find} has seen the value before: it is worth an entry. */
  repeated = false

  constructor(limit: number) {
    this.table = new DynamicTable(limit)
  }

  /** @returns the distance to the newest entry, -1: the table does not have it */
  find(known: KnownName, hash: number, bytes: Buffer, start: number, end: number): number {
    this.#hashes ??= new Int32Array(SLOTS)
    this.#ids ??= new Float64Array(SLOTS).fill(NEVER_SEEN)
    const slot = hash & (SLOTS - 1)
    this.repeated = this.#hashes[slot] === hash
    if (!this.repeated) {
      this.#hashes[slot] = hash
      this.#ids[slot] = NEVER_SEEN
      return -1
    }
    const id = this.#ids[slot]!
    const { table } = this
    if (!table.has(id) || table.tag(id) !== known.id || table.length(id) !== end - start) return -1
    const held = table.bytes
    for (let at = start, from = table.start(id); at < end; ) if (bytes[at++] !== held[from++]) return -1
    return table.next - 1 - id
  }

  /** Adds what was looked for. @returns false: there is no room for it, now or ever */
  add(known: KnownName, hash: number, bytes: Buffer, start: number, end: number): boolean {
    const size = known.name.length + end - start + ENTRY_OVERHEAD
    if (size > this.table.maxSize) return false
    this.#ids![hash & (SLOTS - 1)] = this.table.insert(bytes, start, end, size, known.id)
    return true
  }
}
