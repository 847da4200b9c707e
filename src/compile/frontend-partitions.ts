/**
 * Interns partitions of frontends while hostnames use them: packing detects equal partitions by identity.
 */
import {
  type FrontendPartition,
  type FrontendSet,
  partitionFrontends,
  partitionKey,
  UNDIVIDED,
} from '../snapshot/frontend.ts'

export class FrontendPartitions {
  readonly #known = new Map<string, { readonly partition: FrontendPartition; uses: number }>()

  /**
   * @param sets of frontends, each once
   * @param before the partition that the hostname had
   */
  of(sets: readonly FrontendSet[], before: FrontendPartition): FrontendPartition {
    if (sets.length === 0) return UNDIVIDED
    if (sets.length === before.sets.length && sets.every(({ key }) => before.groupsOf.has(key))) return before
    return this.#known.get(partitionKey(sets))?.partition ?? partitionFrontends(sets)
  }

  /** A hostname starts to use it. */
  retain(partition: FrontendPartition): void {
    if (partition === UNDIVIDED) return
    const known = this.#known.get(partition.key)
    if (known === undefined) this.#known.set(partition.key, { partition, uses: 1 })
    else known.uses++
  }

  /** A hostname stops using it. */
  release(partition: FrontendPartition): void {
    const known = this.#known.get(partition.key)
    if (known !== undefined && --known.uses === 0) this.#known.delete(partition.key)
  }
}
