/**
 * Calls under way by owner, a namespace. It has no more of them than there is room left, so one with many clients
 * leaves half of the room to others, two of them leave a third, and who has none under way gets one.
 */
export class OwnerPlaces {
  readonly #free: () => number
  /** Of those that have any. */
  readonly #owners = new Map<string, number>()
  #taken = 0

  /** @param free how many more there may be now, of all owners */
  constructor(free: () => number) {
    this.#free = free
  }

  get taken(): number {
    return this.#taken
  }

  /** @returns false: it is not to begin */
  take(owner: string): boolean {
    const own = this.#owners.get(owner) ?? 0
    if (own > 0 && own >= this.#free()) return false
    this.#taken++
    this.#owners.set(owner, own + 1)
    return true
  }

  giveBack(owner: string): void {
    this.#taken--
    const left = this.#owners.get(owner)! - 1
    if (left > 0) this.#owners.set(owner, left)
    else this.#owners.delete(owner)
  }
}
