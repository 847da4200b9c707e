/**
 * Slots of endpoints that are in no newest set and that workers use all the same, until they have the tables that the
 * newest set is meant for. Those of the former protocol stay eligible until then.
 */
export class LeavingSlots {
  readonly #slots = new Map<string, Set<number>>()

  /** Backends that have some. */
  get backends(): Iterable<string> {
    return this.#slots.keys()
  }

  *all(): Generator<number> {
    for (const slots of this.#slots.values()) yield* slots
  }

  add(backend: string, slot: number): void {
    const slots = this.#slots.get(backend)
    if (slots === undefined) this.#slots.set(backend, new Set([slot]))
    else slots.add(slot)
  }

  /** The endpoint is back in the set. @returns whether it was leaving */
  keep(backend: string, slot: number): boolean {
    return this.#slots.get(backend)?.delete(slot) === true
  }

  /** They are used nowhere any more. */
  take(backend: string): Iterable<number> {
    const slots = this.#slots.get(backend) ?? []
    this.#slots.delete(backend)
    return slots
  }
}
