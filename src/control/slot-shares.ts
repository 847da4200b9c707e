/** How many places each namespace has in the table of endpoints, so that none of them can take all there is. */

/** Of the capacity: what is beyond is kept for those who have little. */
const COMMON = 3 / 4
/** Of the capacity: whoever has this much has enough to stand back. */
const LITTLE = 1 / 16

export class SlotShares {
  readonly #held = new Map<string, number>()

  /** @param count negative: given back */
  add(namespace: string, count: number): void {
    const held = (this.#held.get(namespace) ?? 0) + count
    if (held > 0) this.#held.set(namespace, held)
    else this.#held.delete(namespace)
  }

  /** Why a namespace is given no place though there are some; undefined when it may have one. */
  refuses(
    namespace: string,
    { capacity, size }: { readonly capacity: number; readonly size: number },
  ): string | undefined {
    const held = this.#held.get(namespace) ?? 0
    const little = Math.ceil(capacity * LITTLE)
    if (size < capacity * COMMON || held < little) return undefined
    return `namespace ${namespace} has ${held} of the ${capacity} places in the table of endpoints, and the last quarter is kept for namespaces with fewer than ${little}`
  }
}
