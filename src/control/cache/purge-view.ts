/** The answer to a purge: in which replicas it acts, and what that means. */
import type { PurgeBody, PurgeView } from '../../admin/caches.ts'
import type { OtherReplicas, PurgeReach } from '../../store/purge-store.ts'

/** Undefined: nothing is shared. */
export type KnownReach = (PurgeReach & { readonly kept: boolean }) | undefined

export interface KnownReplicas {
  readonly others: OtherReplicas
  /** How many there are at least. */
  readonly replicas: () => number
}

export function purgeView(
  namespaces: readonly string[],
  body: PurgeBody,
  history: PurgeView['history'],
  reach: KnownReach,
  known: KnownReplicas,
): Omit<PurgeView, 'unknown'> {
  const { urls, prefixes, tags, soft = false } = body
  const kept = reach?.kept === true
  const { members, complete } = membersOf(history, reach, known.others)
  const acts = members.filter((member) => member.acts).map(({ name }) => name)
  const missing = members.filter((member) => !member.acts).map(({ name }) => name)
  const replicas = Math.max(members.length, known.replicas())
  const everywhere = complete && acts.length === replicas
  return {
    namespaces,
    purged: (urls ?? prefixes ?? tags ?? ['']).length,
    soft,
    replicas,
    reached: acts.length,
    acts,
    missing,
    everywhere,
    history,
    kept,
    detail: detailOf(history, kept, everywhere, missing),
  }
}

/** By what is shared where something is, else by who is known to be there. */
function membersOf(history: PurgeView['history'], reach: KnownReach, others: OtherReplicas): PurgeReach {
  if (reach?.kept === true && history !== 'File') return reach
  const names = new Set(others.pods()?.map(({ name }) => name) ?? reach?.members.map(({ name }) => name))
  const pods = [...names].map((name) => ({ name, acts: false }))
  // Of those that share something which cannot be asked, nobody knows how many there are.
  const alone = history !== 'Redis' && history !== 'Peers' && others.unlisted !== true
  return { members: [{ name: others.own, acts: true }, ...pods], complete: alone }
}

/** @param missing those that do not act by it, as far as is known */
function detailOf(
  history: PurgeView['history'],
  kept: boolean,
  everywhere: boolean,
  missing: readonly string[],
): string {
  if (history === 'Redis' && !kept)
    return 'It acts in this replica. Redis does not answer: the other replicas are told when it does.'
  if (history === 'Redis' && everywhere) return 'It acts in every replica.'
  if (history === 'Redis' && missing.length === 0)
    return 'It acts in this replica and in those that Redis names. Others act by it when they have read it.'
  if (history === 'Redis')
    return `It does not act yet in ${missing.join(', ')}: what reads it in Redis acts by it, and what has ended serves nothing.`
  if (history === 'Peers')
    return everywhere
      ? 'It acts in every replica.'
      : `It does not act yet in ${missing.join(', ') || 'others, which nobody lists'}: it acts there as soon as it can be told.`
  const elsewhere = missing.length > 0 ? `not in ${missing.join(', ')}` : 'the others are not told'
  const here = everywhere ? 'It acts.' : `It acts in this replica alone, ${elsewhere}.`
  if (history === 'File' && !kept)
    return `${here} It could not be written down, so files may come back after a restart.`
  return here
}
