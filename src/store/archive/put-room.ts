/**
 * Bytes of bodies that are being put, each of which stays in memory until then, however long the archive takes. An
 * owner, a namespace, has no more of them on their way than is left to others; who has none puts one. What is longer
 * than all of the room does not wait for room, one of an owner at a time, and keeps nothing shorter from being put.
 */
export class PutRoom {
  readonly #most: number
  /** Of those that have any on their way. */
  readonly #owned = new Map<string, number>()
  readonly #long = new Set<string>()
  #taken = 0

  /** @param most bytes on their way, without those that are longer than this */
  constructor(most: number) {
    this.#most = most
  }

  /** @returns false: it is not to be put now */
  take(owner: string, bytes: number): boolean {
    if (bytes > this.#most) {
      if (this.#long.has(owner)) return false
      this.#long.add(owner)
      return true
    }
    const own = this.#owned.get(owner) ?? 0
    if (own > 0 && own + bytes > this.#most - this.#taken) return false
    this.#owned.set(owner, own + bytes)
    this.#taken += bytes
    return true
  }

  /** Once for what was taken. */
  giveBack(owner: string, bytes: number): void {
    if (bytes > this.#most) {
      this.#long.delete(owner)
      return
    }
    this.#taken -= bytes
    const left = this.#owned.get(owner)! - bytes
    if (left > 0) this.#owned.set(owner, left)
    else this.#owned.delete(owner)
  }
}
