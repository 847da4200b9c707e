import { OwnerPlaces } from '../owner-places.ts'

/**
 * Bytes of bodies that are being put, each of which stays in memory until then, however long the archive takes. An
 * owner, a namespace, has no more of them on their way than is left to others; who has none puts one. What is longer
 * than all of the room does not wait for room, one of an owner at a time, and keeps nothing shorter from being put.
 */
export class PutRoom {
  readonly #most: number
  readonly #bytes: OwnerPlaces
  readonly #long = new Set<string>()

  /** @param most bytes on their way, without those that are longer than this */
  constructor(most: number) {
    this.#most = most
    this.#bytes = new OwnerPlaces(() => most - this.#bytes.taken)
  }

  /** @returns false: it is not to be put now */
  take(owner: string, bytes: number): boolean {
    if (bytes <= this.#most) return this.#bytes.take(owner, bytes)
    if (this.#long.has(owner)) return false
    this.#long.add(owner)
    return true
  }

  /** Once for what was taken. */
  giveBack(owner: string, bytes: number): void {
    if (bytes <= this.#most) this.#bytes.giveBack(owner, bytes)
    else this.#long.delete(owner)
  }
}
