/**
 * Maps and sets by string for a hundred thousand entries. A plain one moves all of its entries in one go each time it
 * grows or shrinks: 10 to 25 ms at that size, where a turn of the event loop may take 2. Of these, one shard of a
 * thousand does so at a time. The order of iteration has no meaning; an entry that is added meanwhile may not be seen.
 */

export const SHARDS = 1024

/** FNV-1a over the characters. */
export function shardOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) & (SHARDS - 1)
}

export class ShardedMap<V> {
  readonly #shards: (Map<string, V> | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key)
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) === true
  }

  set(key: string, value: V): void {
    const shard = shardAt(this.#shards, shardOf(key), () => new Map<string, V>())
    const before = shard.size
    shard.set(key, value)
    this.#size += shard.size - before
  }

  delete(key: string): boolean {
    if (this.#shards[shardOf(key)]?.delete(key) !== true) return false
    this.#size--
    return true
  }

  *keys(): Generator<string, void> {
    for (const shard of this.#shards) if (shard !== undefined) for (const key of shard.keys()) yield key
  }

  *values(): Generator<V, void> {
    for (const shard of this.#shards) if (shard !== undefined) for (const value of shard.values()) yield value
  }

  *[Symbol.iterator](): Generator<[string, V], void> {
    for (const shard of this.#shards) if (shard !== undefined) for (const entry of shard) yield entry
  }
}

export class ShardedSet {
  readonly #shards: (Set<string> | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) === true
  }

  add(key: string): void {
    const shard = shardAt(this.#shards, shardOf(key), () => new Set<string>())
    const before = shard.size
    shard.add(key)
    this.#size += shard.size - before
  }

  delete(key: string): boolean {
    if (this.#shards[shardOf(key)]?.delete(key) !== true) return false
    this.#size--
    return true
  }

  *[Symbol.iterator](): Generator<string, void> {
    for (const shard of this.#shards) if (shard !== undefined) for (const key of shard) yield key
  }
}

function shardAt<T>(shards: (T | undefined)[], at: number, empty: () => T): T {
  // Without holes, which would make the array a slow one.
  while (shards.length <= at) shards.push(undefined)
  return (shards[at] ??= empty())
}
