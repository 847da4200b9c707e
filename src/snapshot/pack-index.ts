/**
 * Small integers for things known by a name: a packed record holds the integer, a worker an array. An integer keeps its
 * meaning as long as any packed virtual host refers to it; then it is given to something else.
 */

export interface IndexChange<T> {
  readonly index: number
  /** null: nothing has this index any more. */
  readonly value: T | null
}

interface Row<T> {
  readonly key: string
  readonly index: number
  value: T
  /** Packed rules that refer to it. */
  uses: number
  /** Named by the newest snapshot. */
  wanted: boolean
}

export class StableIndex<T> {
  readonly #rows = new Map<string, Row<T>>()
  readonly #byIndex: (Row<T> | undefined)[] = []
  #free: number[] = []
  /** Not handed out yet: kept when a generation is given up half-way. */
  readonly #changed = new Set<number>()

  /** @throws {TypeError} when the snapshot does not have what one of its rules names */
  indexOf(key: string): number {
    const row = this.#rows.get(key)
    if (row === undefined) throw new TypeError(`the snapshot refers to ${key} and does not have it`)
    return row.index
  }

  /** Makes `key` known with this value, or gives it a new value. */
  set(key: string, value: T): void {
    const row = this.#rows.get(key)
    if (row === undefined) {
      const index = this.#free.pop() ?? this.#byIndex.length
      const added: Row<T> = { key, index, value, uses: 0, wanted: true }
      this.#rows.set(key, added)
      this.#byIndex[index] = added
      this.#changed.add(index)
      return
    }
    row.wanted = true
    if (row.value === value) return
    row.value = value
    this.#changed.add(row.index)
  }

  /**
   * Something packed refers to `key`, which no list of the snapshot names.
   * @returns its index, until {@link release}
   */
  retain(key: string, value: T): number {
    this.set(key, value)
    const row = this.#rows.get(key)!
    row.wanted = false
    row.uses++
    return row.index
  }

  release(key: string): void {
    this.use(key, -1)
  }

  /** The snapshot does not name it any more; it stays until nothing packed refers to it. */
  unset(key: string): void {
    const row = this.#rows.get(key)
    if (row === undefined) return
    row.wanted = false
    this.#dropUnused(row)
  }

  /** A packed rule refers to `key` (1), or no longer (-1). */
  use(key: string, by: 1 | -1): void {
    const row = this.#rows.get(key)
    if (row === undefined) return
    row.uses += by
    this.#dropUnused(row)
  }

  keys(): IterableIterator<string> {
    return this.#rows.keys()
  }

  /**
   * What to tell those who know the state of the last call. Indexes freed since then may be given out again only after
   * it.
   */
  takeChanges(): IndexChange<T>[] {
    const changes: IndexChange<T>[] = []
    for (const index of this.#changed) changes.push({ index, value: this.#byIndex[index]?.value ?? null })
    for (const index of this.#changed) if (this.#byIndex[index] === undefined) this.#free.push(index)
    this.#changed.clear()
    return changes
  }

  #dropUnused(row: Row<T>): void {
    if (row.wanted || row.uses > 0) return
    this.#rows.delete(row.key)
    this.#byIndex[row.index] = undefined
    this.#changed.add(row.index)
  }
}
