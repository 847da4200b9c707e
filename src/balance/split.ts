/**
 * The weighted split of a rule over its `backendRefs`: exact shares, smooth, and going on where it stood when the table
 * changes. The state is keyed by the rule's identity, outside the snapshot, because a rule is a new object in every
 * generation that touches it.
 */
import type { Random } from '../lib/clock.ts'
import { SmoothRotation } from './smooth.ts'

/** What a split needs to know of a backendRef. */
export interface SplitRef {
  /** Into the generation's Backends; -1 when the reference does not resolve. */
  readonly backendIndex: number
  /** 0 … 1,000,000; 0 gets nothing. */
  readonly weight: number
}

/** The Backends of one generation. An index means another one in the next; the id is what stays. */
type Backends = readonly ({ readonly id: string } | null)[]

interface State {
  refs: readonly SplitRef[]
  /** Backend id of each reference. */
  ids: readonly (string | undefined)[]
  readonly rotation: SmoothRotation
  weights: Float64Array
  /** Sum of the weights. */
  total: number
}

/** Rules whose place in the rotation is remembered: some 300 bytes each. */
const DEFAULT_CAPACITY = 20_000

export class Splits {
  readonly #random: Random
  readonly #capacity: number
  /** By rule; the longest unused first. */
  readonly #states = new Map<string, State>()

  /** @param capacity rules remembered at most; one that was forgotten starts its rotation anew */
  constructor(random: Random, capacity = DEFAULT_CAPACITY) {
    if (!(capacity >= 1)) throw new TypeError(`no such capacity: ${capacity}`)
    this.#random = random
    this.#capacity = capacity
  }

  get size(): number {
    return this.#states.size
  }

  /**
   * @param rule identity of the rule: Route and rule name
   * @param refs the references of this generation; looked at again only when it is not the same array as last time
   * @param backends of the same generation
   * @returns index of the chosen reference, -1 when every weight is 0
   */
  pick(rule: string, refs: readonly SplitRef[], backends: Backends): number {
    // One reference needs no rotation: the case of nearly every rule.
    if (refs.length === 1) return refs[0]!.weight > 0 ? 0 : -1
    const state = this.#stateOf(rule, refs, backends)
    return state.rotation.turn(state.weights, state.total)
  }

  #stateOf(rule: string, refs: readonly SplitRef[], backends: Backends): State {
    const known = this.#states.get(rule)
    if (known === undefined) {
      const state = {
        refs,
        ids: idsOf(refs, backends),
        rotation: new SmoothRotation(refs.length),
        weights: weightsOf(refs),
        total: totalOf(refs),
      }
      // Workers begin at different turns, so that together they do not all send their first requests to one part.
      for (let i = Math.floor(this.#random() * refs.length); i > 0; i--) state.rotation.turn(state.weights, state.total)
      this.#states.set(rule, state)
      this.#forgetOldest()
      return state
    }
    // Only a map that could overflow pays for keeping the order of use.
    if (this.#states.size * 2 > this.#capacity) {
      this.#states.delete(rule)
      this.#states.set(rule, known)
    }
    if (known.refs !== refs) revise(known, refs, idsOf(refs, backends))
    return known
  }

  #forgetOldest(): void {
    if (this.#states.size <= this.#capacity) return
    const oldest = this.#states.keys().next()
    if (!oldest.done) this.#states.delete(oldest.value)
  }
}

function idsOf(refs: readonly SplitRef[], backends: Backends): (string | undefined)[] {
  return refs.map(({ backendIndex }) => backends[backendIndex]?.id)
}

function weightsOf(refs: readonly SplitRef[]): Float64Array {
  return Float64Array.from(refs, ({ weight }) => weight)
}

function totalOf(refs: readonly SplitRef[]): number {
  return refs.reduce((sum, { weight }) => sum + weight, 0)
}

/** The place in the rotation goes with the Backend. */
function revise(state: State, refs: readonly SplitRef[], ids: readonly (string | undefined)[]): void {
  const before = state.ids
  const taken = new Set<number>()
  const origins = ids.map((id) => {
    // Two references may name one Backend: each takes over one of them.
    const place = before.findIndex((other, at) => !taken.has(at) && other === id)
    taken.add(place)
    return place
  })
  state.rotation.revise(origins)
  state.refs = refs
  state.ids = ids
  state.weights = weightsOf(refs)
  state.total = totalOf(refs)
}
