/**
 * Endpoint sets of one Backend on their way, each for one connection key. Endpoints are sent ahead of the tables that
 * have the Backend's new protocol, and a generation may still be queued when the next set arrives, so a set waits for
 * its tables and its tables find it.
 */

/** Sets that wait, for each Backend. Beyond it the oldest is dropped: its tables were superseded before they came. */
const MAX_VERSIONS = 8

export class EndpointVersions<T> {
  /** By connection key, the newest last. */
  readonly #sets = new Map<string, T>()

  /** With their keys, the newest last. */
  get entries(): Iterable<readonly [string, T]> {
    return this.#sets
  }

  get newest(): T | undefined {
    return [...this.#sets.values()].at(-1)
  }

  get(key: string): T | undefined {
    return this.#sets.get(key)
  }

  /** The newest set. It replaces the one with the same key. */
  add(key: string, set: T): void {
    this.#sets.delete(key)
    this.#sets.set(key, set)
    if (this.#sets.size > MAX_VERSIONS) this.#sets.delete(this.#sets.keys().next().value!)
  }

  /**
   * The Backend is connected to by this key from now on: sets that are older than its own are dropped.
   *
   * @returns its set; without one of this key, the newest
   */
  use(key: string): T | undefined {
    const own = this.#sets.get(key)
    if (own === undefined) return this.newest
    for (const other of this.#sets.keys()) {
      if (other === key) break
      this.#sets.delete(other)
    }
    return own
  }
}
