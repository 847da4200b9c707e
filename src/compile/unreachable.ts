/** Whether a Backend can be reached, from facts about its addresses determined outside of `compile`. */
import type { Unreachable } from './resource-set.ts'

/** Facts about the endpoints of one Backend, from EndpointDirectory. */
export interface EndpointFacts {
  /** How many addresses may be used. */
  readonly usable: number
  /** Those that may not be dialled, each with the reason. */
  readonly refused: readonly string[]
  /** Names among its endpoints that cannot be resolved, each with the reason. */
  readonly unresolved: readonly string[]
  /** Names whose resolution is pending. */
  readonly unanswered: readonly string[]
}

/** Further entries are counted, not listed. */
const MAX_LISTED = 4

export function unreachableReason({ usable, refused, unresolved, unanswered }: EndpointFacts): Unreachable | undefined {
  if (usable > 0) return undefined
  if (refused.length > 0)
    return {
      reason: 'AddressNotAllowed',
      message: `no endpoint may be used: ${some(refused)}; correct the address, or the DNS name behind it`,
    }
  // A pending name may still resolve.
  if (unanswered.length > 0)
    return { reason: 'Pending', message: `no endpoint is known yet: ${some(unanswered)} has not been resolved` }
  if (unresolved.length > 0)
    return {
      reason: 'NameNotResolved',
      message: `no endpoint is known: ${some(unresolved)}; correct the name, or the DNS`,
    }
  return undefined
}

function some(texts: readonly string[]): string {
  const more = texts.length - MAX_LISTED
  return texts.slice(0, MAX_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
