/**
 * How many bytes of contents each namespace has delivered. Nobody's are taken away: a namespace grows while there is
 * room, and the last quarter is for those that have little.
 */

const MiB = 1_048_576

/** Of one object: as much as an API server stores. */
export const MAX_OBJECT_BYTES = MiB
/** Of what manifests may take: with 1 GiB of memory a namespace has room for 5,000 certificates of 4 KiB. */
const SHARE = 1 / 4
const LEAST = 2 * MiB
const MOST = 128 * MiB

const OPEN_SHARE = 0.75
const NAMESPACE_SHARE = 0.5
/** In the last quarter. */
const SMALL_SHARE = 1 / 16

export class ContentBudget {
  readonly limit: number
  readonly #held = new Map<string, number>()
  #used = 0

  /** @param configuration bytes that manifests may take */
  constructor(configuration: number) {
    this.limit = Math.min(Math.max(configuration * SHARE, LEAST), MOST)
  }

  get used(): number {
    return this.#used
  }

  /** @returns why there is no room for so many bytes more, as the end of a sentence */
  refusal(namespace: string, more: number): string | undefined {
    const own = (this.#held.get(namespace) ?? 0) + more
    const total = this.#used + more
    const share = total <= this.limit * OPEN_SHARE ? NAMESPACE_SHARE : SMALL_SHARE
    if (more <= 0 || (total <= this.limit && own <= this.limit * share)) return undefined
    return `namespace ${namespace} would have ${own} bytes of such contents delivered, and all together have room for ${this.limit}; refer to fewer or smaller ones, or raise the limit of memory`
  }

  /** @param more may be negative */
  take(namespace: string, more: number): void {
    this.#used += more
    const held = (this.#held.get(namespace) ?? 0) + more
    if (held > 0) this.#held.set(namespace, held)
    else this.#held.delete(namespace)
  }
}
