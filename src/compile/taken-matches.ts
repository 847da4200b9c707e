/** Detects matches of a hostname that an earlier match shadows: they are in conflict and are not served. */
import type { Candidate } from './compile-state.ts'
import { isBelowAny } from './ownership.ts'

/** Matches of one identity, in matching order. */
interface MatchGroup {
  readonly everywhere: Candidate[]
  /** Matches with frontends, by frontend name. */
  readonly byFrontend: Map<string, Candidate[]>
  /** Position of each match in the group. */
  readonly positions: Map<Candidate, number>
}

export class TakenMatches {
  readonly #byIdentity = new Map<string, Candidate | MatchGroup>()

  /**
   * Adds a match to the group of its identity.
   *
   * @returns the match that shadows it: on all its frontends and prefixes an earlier match is tried first
   */
  take(candidate: Candidate): Candidate | undefined {
    const { identity } = candidate
    const known = this.#byIdentity.get(identity)
    // Most identities occur once.
    if (known === undefined) {
      this.#byIdentity.set(identity, candidate)
      return undefined
    }
    const taken = 'positions' in known ? known : enter(newTaken(), known)
    const winner = winnerOver(taken, candidate)
    if (winner !== undefined) return winner
    this.#byIdentity.set(identity, enter(taken, candidate))
    return undefined
  }
}

function newTaken(): MatchGroup {
  return { everywhere: [], byFrontend: new Map(), positions: new Map() }
}

function enter(taken: MatchGroup, candidate: Candidate): MatchGroup {
  const { everywhere, byFrontend, positions } = taken
  positions.set(candidate, positions.size)
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

/** If several matches together shadow the candidate, the last one needed. */
function winnerOver(
  { everywhere, byFrontend, positions: places }: MatchGroup,
  candidate: Candidate,
): Candidate | undefined {
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

/** Cached: many pairs of equal matches share few pairs of lists. */
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
