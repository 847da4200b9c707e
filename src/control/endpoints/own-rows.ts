/** Rows of Backends themselves, for their limits over all workers. Without one a Backend has none of these limits. */
import { FairQueue } from '../../lib/fair-queue.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

export class OwnRows {
  readonly #take: (backend: string) => number | undefined
  readonly #slots = new Map<string, number>()
  /** Backends without a row, by namespace. */
  readonly #short = new FairQueue()

  /** @param take a slot; undefined where the namespace has no room */
  constructor(take: (backend: string) => number | undefined) {
    this.#take = take
  }

  get slots(): Iterable<number> {
    return this.#slots.values()
  }

  get(backend: string): number | undefined {
    return this.#slots.get(backend)
  }

  /** Whether Backends of the namespace have none. */
  isShort(namespace: string): boolean {
    return this.#short.sizeOf(namespace) > 0
  }

  /** @returns false where a Backend that is new gets none for now */
  add(backend: string): boolean {
    const namespace = namespaceOf(backend)
    if (this.#slots.has(backend) || this.#short.has(namespace, backend)) return true
    const slot = this.#take(backend)
    if (slot === undefined) this.#short.add(namespace, backend)
    else this.#slots.set(backend, slot)
    return slot !== undefined
  }

  /** @param most how many at once @returns Backends that had no row and have one now */
  retry(most: number, full: (namespace: string) => boolean): string[] {
    const found: string[] = []
    while (found.length < most) {
      const next = this.#short.take(1, full)
      if (next === undefined) break
      const slot = this.#take(next.key)
      if (slot === undefined) {
        this.#short.add(next.group, next.key)
        break
      }
      this.#slots.set(next.key, slot)
      found.push(next.key)
    }
    return found
  }

  /** @returns its slot */
  delete(backend: string): number | undefined {
    const slot = this.#slots.get(backend)
    this.#slots.delete(backend)
    this.#short.delete(namespaceOf(backend), backend)
    return slot
  }
}
