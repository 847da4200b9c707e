/**
 * A bounded map whose room is shared by groups (namespaces): while there is room anyone may take it, and when there is
 * none the group that holds the most gives up its oldest entry. So a group with fewer entries than an equal share never
 * loses one to another ("longest queue drop", as routers share a buffer).
 */
export class FairMap<V> {
  readonly #capacity: number
  readonly #groups = new Map<string, Map<string, V>>()
  #size = 0

  /** @param capacity entries over all groups */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#size
  }

  get(group: string, key: string): V | undefined {
    return this.#groups.get(group)?.get(key)
  }

  /** The entry is the newest of its group from now on. */
  set(group: string, key: string, value: V): void {
    this.delete(group, key)
    let entries = this.#groups.get(group)
    if (entries === undefined) this.#groups.set(group, (entries = new Map()))
    entries.set(key, value)
    this.#size++
    if (this.#size > this.#capacity) this.#makeRoom(group)
  }

  delete(group: string, key: string): boolean {
    const entries = this.#groups.get(group)
    if (entries?.delete(key) !== true) return false
    this.#size--
    if (entries.size === 0) this.#groups.delete(group)
    return true
  }

  /** @param asking gives up its own where no other holds more */
  #makeRoom(asking: string): void {
    let [crowd, most] = [asking, this.#groups.get(asking)!.size]
    for (const [group, { size }] of this.#groups) if (size > most) [crowd, most] = [group, size]
    const [oldest] = this.#groups.get(crowd)!.keys()
    this.delete(crowd, oldest!)
  }
}
