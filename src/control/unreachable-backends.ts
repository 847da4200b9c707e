/**
 * Backends none of whose addresses can be used, for reasons that last until somebody corrects something: no name of theirs can be resolved, or
 * nobody may dial where they lead. Those who refer to them cannot serve. Pods that come and go are no such reason.
 */
import type { Unreachable } from '../compile/resource-set.ts'
import { type FrozenMap, FrozenMapBuilder } from '../snapshot/frozen-map.ts'

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

export class UnreachableBackends {
  readonly #backends = new FrozenMapBuilder<Unreachable>()

  /** As of now; the same object as long as nothing changes. */
  get all(): FrozenMap<Unreachable> {
    return this.#backends.freeze()
  }

  note(backend: string, facts: EndpointFacts): void {
    const now = unreachableBy(facts)
    const before = this.#backends.get(backend)
    if (now === undefined) this.forget(backend)
    else if (before?.reason !== now.reason || before.message !== now.message) this.#backends.set(backend, now)
  }

  forget(backend: string): void {
    if (this.#backends.has(backend)) this.#backends.delete(backend)
  }
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
