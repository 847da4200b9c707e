/** Whether a Backend can be reached at all, by what is found out about its addresses outside of `compile`. */
import type { Unreachable } from './resource-set.ts'

/** What is known of the endpoints of one Backend; EndpointDirectory has it. */
export interface EndpointFacts {
  /** How many addresses may be used. */
  readonly usable: number
  /** Those that may not be dialled, each with the reason. */
  readonly refused: readonly string[]
  /** Names among its endpoints that cannot be resolved, each with the reason. */
  readonly unresolved: readonly string[]
  /** Names that have not answered yet, neither well nor badly. */
  readonly unanswered: readonly string[]
}

/** More than these are counted, not told. */
const TOLD = 4

export function unreachableBy({ usable, refused, unresolved, unanswered }: EndpointFacts): Unreachable | undefined {
  if (usable > 0) return undefined
  if (refused.length > 0)
    return {
      reason: 'AddressNotAllowed',
      message: `no endpoint may be used: ${some(refused)}; correct the address, or the DNS name behind it`,
    }
  // One that is still out may be the one that answers.
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
  const more = texts.length - TOLD
  return texts.slice(0, TOLD).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
