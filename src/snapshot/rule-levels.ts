/** The references of a rule in the order in which they are used. */
import { GOLDEN, mix } from '../lib/hash.ts'
import type { Reason } from '../lib/reason.ts'

export interface RuleBackend {
  /** Index into the generation's backends; -1 when the reference does not resolve, see `refuse`. */
  readonly backendIndex: number
  readonly weight: number
  readonly priority: number
  /** Hash of the id, also where it does not resolve; that of a second reference to the same Backend is another one. */
  readonly identity: number
  readonly refuse?: Reason
}

/** References of one priority. */
export interface RuleLevel {
  /** Identity of the level: no other level or rule has it. */
  readonly key: string
  readonly backends: readonly RuleBackend[]
  /** Sum of their weights; more than 0. */
  readonly weight: number
}

/** @param hash of the id @param before the references that stand before it */
export function identityOf(hash: number, before: readonly RuleBackend[]): number {
  let identity = hash
  while (before.some((ref) => ref.identity === identity)) identity = mix(identity + GOLDEN)
  return identity
}

/**
 * Levels without a reference that gets requests are none.
 *
 * @param rule its identity
 * @returns null where there is only one
 */
export function levelsOf(rule: string, backends: readonly RuleBackend[]): readonly RuleLevel[] | null {
  if (backends.length < 2) return null
  const byPriority = Map.groupBy(backends, ({ priority }) => priority)
  const levels: RuleLevel[] = []
  for (const [priority, refs] of [...byPriority].sort(([a], [b]) => a - b)) {
    const weight = refs.reduce((sum, ref) => sum + ref.weight, 0)
    // No name of a rule has a slash.
    if (weight > 0) levels.push({ key: `${rule}/${priority}`, backends: refs, weight })
  }
  return byPriority.size < 2 ? null : levels
}
