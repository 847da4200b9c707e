/**
 * A bounded map whose capacity is shared by groups (namespaces). A full map evicts the oldest entry of the group with
 * the most entries, so a group with fewer entries than an equal share never loses one to another ("longest queue drop",
 * as routers share a buffer).
 */
export class FairMap<V> {
  readonly #capacity: number
  readonly #evicted: ((value: V) => void) | undefined
  readonly #groups = new Map<string, Map<string, V>>()
  #size = 0

  /**
   * @param capacity number of entries of all groups
   * @param evicted called with each value that is dropped for lack of room
   */
  constructor(capacity: number, evicted?: (value: V) => void) {
    this.#capacity = capacity
    this.#evicted = evicted
  }

  get size(): number {
    return this.#size
  }

  get(group: string, key: string): V | undefined {
    return this.#groups.get(group)?.get(key)
  }

  /** Makes the entry the newest of its group. */
  set(group: string, key: string, value: V): void {
    this.delete(group, key)
    let entries = this.#groups.get(group)
    if (entries === undefined) this.#groups.set(group, (entries = new Map()))
    entries.set(key, value)
    this.#size++
    if (this.#size > this.#capacity) this.#evict(group)
  }

  delete(group: string, key: string): boolean {
    const entries = this.#groups.get(group)
    if (entries?.delete(key) !== true) return false
    this.#size--
    if (entries.size === 0) this.#groups.delete(group)
    return true
  }

  /** @param inserting loses its own oldest entry when no other group holds more */
  #evict(inserting: string): void {
    let [largest, most] = [inserting, this.#groups.get(inserting)!.size]
    for (const [group, { size }] of this.#groups) if (size > most) [largest, most] = [group, size]
    const [oldest] = this.#groups.get(largest)!
    this.delete(largest, oldest![0])
    this.#evicted?.(oldest![1])
  }
}
