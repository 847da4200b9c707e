/** The matches of a hostname that an earlier one already has: the later ones are in conflict and are not served. */
import type { Candidate } from './compile-state.ts'
import { isBelowAny } from './ownership.ts'

/** Matches of one identity, in matching order. */
interface Taken {
  readonly everywhere: Candidate[]
  /** Of those that name frontends, by each of the names. */
  readonly byFrontend: Map<string, Candidate[]>
  /** Place of each among them. */
  readonly places: Map<Candidate, number>
}

export class TakenMatches {
  readonly #byIdentity = new Map<string, Candidate | Taken>()

  /**
   * Enters a match among those of the same identity that come before it.
   *
   * @returns the one that leaves nothing to it: on every frontend, and wherever it may be, an earlier one is tried
   *   first
   */
  take(candidate: Candidate): Candidate | undefined {
    const { identity } = candidate
    const known = this.#byIdentity.get(identity)
    // Most have no other of their identity.
    if (known === undefined) {
      this.#byIdentity.set(identity, candidate)
      return undefined
    }
    const taken = 'places' in known ? known : enter(newTaken(), known)
    const winner = winnerOver(taken, candidate)
    if (winner !== undefined) return winner
    this.#byIdentity.set(identity, enter(taken, candidate))
    return undefined
  }
}

function newTaken(): Taken {
  return { everywhere: [], byFrontend: new Map(), places: new Map() }
}

function enter(taken: Taken, candidate: Candidate): Taken {
  const { everywhere, byFrontend, places } = taken
  places.set(candidate, places.size)
  const { frontends } = candidate.match
  if (frontends === undefined) everywhere.push(candidate)
  else
    for (const name of frontends.names) {
      const list = byFrontend.get(name)
      if (list === undefined) byFrontend.set(name, [candidate])
      else list.push(candidate)
    }
  return taken
}

/** Where several together leave nothing, the last of those that are needed. */
function winnerOver({ everywhere, byFrontend, places }: Taken, candidate: Candidate): Candidate | undefined {
  const covers = (earlier: Candidate): boolean => isWithin(candidate.within, earlier.within)
  const whole = everywhere.find(covers)
  const { frontends } = candidate.match
  // What is served on every frontend, also on those to come, is not covered by any list of names.
  if (frontends === undefined) return whole
  let last: Candidate | undefined
  for (const name of frontends.names) {
    const named = byFrontend.get(name)?.find(covers)
    if (named === undefined) return whole
    if (last === undefined || places.get(named)! > places.get(last)!) last = named
  }
  return whole !== undefined && places.get(whole)! < places.get(last!)! ? whole : last
}

/** Asked again for each pair of equal matches, while there are few pairs of lists. */
const WITHIN = new WeakMap<readonly string[], WeakMap<readonly string[], boolean>>()

/** Whether all that stays below `inner` stays below `outer` too; an empty list is everywhere. */
function isWithin(inner: readonly string[], outer: readonly string[]): boolean {
  if (outer.length === 0 || inner === outer) return true
  if (inner.length === 0) return false
  let known = WITHIN.get(inner)
  if (known === undefined) WITHIN.set(inner, (known = new WeakMap()))
  let within = known.get(outer)
  if (within === undefined) known.set(outer, (within = inner.every((prefix) => isBelowAny(prefix, outer))))
  return within
}
