/**
 * Frontends, and how they divide the virtual hosts of a hostname among them. Most hostnames are undivided: every
 * frontend serves the same rules, which are then stored once. Where Routes name frontends, those that serve the same
 * form a group, and each group has one virtual host of its own.
 */

/** A named socket that accepts connections; later with a hostname and TLS options of its own. */
export interface Frontend {
  readonly name: string
}

/** Frontends by name, sorted; equal sets have equal keys. */
export interface FrontendSet {
  readonly key: string
  readonly names: readonly string[]
}

/** Disjoint groups of frontends. A frontend in none of them has what all have in common. */
export interface FrontendPartition {
  /** Equal for equal partitions. */
  readonly key: string
  /** The sets it was made of. */
  readonly sets: readonly FrontendSet[]
  readonly groups: readonly FrontendSet[]
  /** Index into `groups` by the frontend's name. */
  readonly groupOf: ReadonlyMap<string, number>
  /** Indexes of the groups that together are a set, by its key. */
  readonly groupsOf: ReadonlyMap<string, readonly number[]>
}

export const UNDIVIDED: FrontendPartition = Object.freeze({
  key: '',
  sets: [],
  groups: [],
  groupOf: new Map(),
  groupsOf: new Map(),
})

/** @param names of frontends, in any order; no name has a space in it */
export function frontendSet(names: Iterable<string>): FrontendSet {
  const sorted = [...new Set(names)].sort()
  return { key: sorted.join(' '), names: sorted }
}

/**
 * The coarsest division in which every set is a union of groups: frontends are in one group when they are in the same
 * sets. It costs what the sets hold together.
 *
 * @param unsorted each once; their order decides nothing, so that the same Routes give the same groups in any history
 */
export function partitionFrontends(unsorted: readonly FrontendSet[]): FrontendPartition {
  if (unsorted.length === 0) return UNDIVIDED
  const sets = unsorted.toSorted((a, b) => (a.key < b.key ? -1 : 1))
  const membership = new Map<string, number[]>()
  sets.forEach((set, index) => {
    for (const name of set.names) {
      const list = membership.get(name)
      if (list === undefined) membership.set(name, [index])
      else list.push(index)
    }
  })
  const members = new Map<string, { readonly sets: readonly number[]; readonly names: string[] }>()
  for (const [name, list] of membership) {
    const signature = list.join()
    const group = members.get(signature)
    if (group === undefined) members.set(signature, { sets: list, names: [name] })
    else group.names.push(name)
  }
  const groupOf = new Map<string, number>()
  const groupsOf = new Map<string, number[]>(sets.map(({ key }) => [key, []]))
  const groups = Array.from(members.values(), (group, index) => {
    for (const name of group.names) groupOf.set(name, index)
    for (const set of group.sets) groupsOf.get(sets[set]!.key)!.push(index)
    return frontendSet(group.names)
  })
  return { key: partitionKey(sets), sets, groups, groupOf, groupsOf }
}

/** @param sets each once, in any order */
export function partitionKey(sets: readonly FrontendSet[]): string {
  return sets
    .map(({ key }) => key)
    .sort()
    .join('\n')
}
