/**
 * Equal partitions of frontends as one object, as long as a hostname has it: packing knows by that which hostnames are
 * divided alike.
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

  /** A hostname is divided by it now. */
  retain(partition: FrontendPartition): void {
    if (partition === UNDIVIDED) return
    const known = this.#known.get(partition.key)
    if (known === undefined) this.#known.set(partition.key, { partition, uses: 1 })
    else known.uses++
  }

  /** A hostname is not divided by it any more. */
  release(partition: FrontendPartition): void {
    const known = this.#known.get(partition.key)
    if (known !== undefined && --known.uses === 0) this.#known.delete(partition.key)
  }
}
