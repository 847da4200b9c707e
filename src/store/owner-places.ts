/**
 * What is under way by owner, a namespace: calls, or bytes of them. It has no more of it than there is room left, so
 * one with many clients leaves half of the room to others, two of them leave a third, and who has none under way
 * begins.
 */
export class OwnerPlaces {
  readonly #free: () => number
  /** Of those that have any. */
  readonly #owners = new Map<string, number>()
  #taken = 0

  /** @param free how much more there may be now, of all owners */
  constructor(free: () => number) {
    this.#free = free
  }

  get taken(): number {
    return this.#taken
  }

  /** @returns false: it is not to begin */
  take(owner: string, amount = 1): boolean {
    const own = this.#owners.get(owner) ?? 0
    if (own > 0 && own + amount > this.#free()) return false
    this.#taken += amount
    this.#owners.set(owner, own + amount)
    return true
  }

  /** @param amount as it was taken */
  giveBack(owner: string, amount = 1): void {
    this.#taken -= amount
    const left = this.#owners.get(owner)! - amount
    if (left > 0) this.#owners.set(owner, left)
    else this.#owners.delete(owner)
  }
}

/**
 * Whether one more call of an owner may wait, by the same rule: owners who together fill the line leave a place to each
 * that has none in it.
 *
 * @param own that it has
 * @param waiting of all
 */
export function mayWait(
  own: number,
  waiting: number,
  most: { readonly namespace: number; readonly all: number },
): boolean {
  return own < Math.min(most.namespace, Math.max(1, most.all - waiting))
}
