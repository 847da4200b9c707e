/**
 * An immutable map by string whose next version shares with it all that stays: a change copies one shard of a thousand,
 * and two versions are compared by looking only into the shards that differ. That is what keeps a one-object change at
 * 100,000 routes cheap, where copying or comparing whole maps takes longer than a turn of the event loop may.
 */
import { SHARDS, shardOf } from '../lib/shards.ts'

type Shards<V> = readonly (ReadonlyMap<string, V> | undefined)[]

export interface Change<V> {
  readonly key: string
  readonly before: V | undefined
  readonly after: V | undefined
}

/** The order of iteration has no meaning. */
export class FrozenMap<V> implements ReadonlyMap<string, V> {
  readonly size: number
  readonly #shards: Shards<V>

  /** Takes ownership of the shards, for {@link FrozenMapBuilder.freeze}. Otherwise use `FrozenMap.from(entries)`. */
  constructor(shards: Shards<V> = [], size = 0) {
    this.#shards = shards
    this.size = size
  }

  static from<V>(entries: Iterable<readonly [string, V]>): FrozenMap<V> {
    const builder = new FrozenMapBuilder<V>()
    for (const [key, value] of entries) builder.set(key, value)
    return builder.freeze()
  }

  get(key: string): V | undefined {
    return this.#shards[shardOf(key)]?.get(key)
  }

  has(key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) === true
  }

  *entries(): MapIterator<[string, V]> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard
    return undefined
  }

  *keys(): MapIterator<string> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.keys()
    return undefined
  }

  *values(): MapIterator<V> {
    for (const shard of this.#shards) if (shard !== undefined) yield* shard.values()
    return undefined
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void, self?: unknown): void {
    for (const [key, value] of this.entries()) visit.call(self, value, key, this)
  }

  /** Every key whose value is not the same object (`===`) in both; costs what differs, not what there is. */
  *changesTo(next: FrozenMap<V>): Generator<Change<V>, void> {
    for (let i = 0; i < SHARDS; i++) {
      const before = this.#shards[i]
      const after = next.#shards[i]
      if (before === after) continue
      if (before !== undefined)
        for (const [key, value] of before) {
          const now = after?.get(key)
          if (now !== value) yield { key, before: value, after: now }
        }
      if (after !== undefined)
        for (const [key, value] of after) if (before?.has(key) !== true) yield { key, before: undefined, after: value }
    }
  }

  /** A builder that begins with what is in here. */
  edit(): FrozenMapBuilder<V> {
    return new FrozenMapBuilder(this.#shards, this.size)
  }
}

/** The one who changes. What it has frozen stays as it was: a shard is copied before its first change after that. */
export class FrozenMapBuilder<V> {
  #shards: (ReadonlyMap<string, V> | undefined)[]
  /** Shards not shared with a frozen map; the same objects as in `#shards`. */
  #own: (Map<string, V> | undefined)[] = []
  #size: number
  #frozen: FrozenMap<V> | undefined

  constructor(shards: Shards<V> = [], size = 0) {
    this.#shards = [...shards]
    this.#size = size
  }

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
    const shard = this.#writable(shardOf(key))
    const before = shard.size
    shard.set(key, value)
    this.#size += shard.size - before
  }

  delete(key: string): boolean {
    const at = shardOf(key)
    if (this.#shards[at]?.has(key) !== true) return false
    this.#writable(at).delete(key)
    this.#size--
    return true
  }

  /** What there is now; the same object as long as nothing changes. */
  freeze(): FrozenMap<V> {
    if (this.#frozen === undefined) {
      this.#own = []
      this.#frozen = new FrozenMap(this.#shards.slice(), this.#size)
    }
    return this.#frozen
  }

  #writable(at: number): Map<string, V> {
    this.#frozen = undefined
    let shard = this.#own[at]
    if (shard === undefined) {
      shard = new Map(this.#shards[at])
      this.#own[at] = shard
      while (this.#shards.length <= at) this.#shards.push(undefined)
      this.#shards[at] = shard
    }
    return shard
  }
}
