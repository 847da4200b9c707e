/**
 * Splits the requests of a rule over its `backendRefs` by weight: exact shares, smooth, and continued across table
 * changes. The state is keyed by the rule's identity, outside the snapshot, because a rule is a new object in every
 * generation that changes it.
 */
import type { Random } from '../lib/clock.ts'
import { SmoothRotation } from './smooth-rotation.ts'

/** The fields of a backendRef that a split reads. */
export interface SplitRef {
  /** Index into the generation's Backends; -1 when the reference does not resolve. */
  readonly backendIndex: number
  /** 0 … 1,000,000; 0 receives no requests. */
  readonly weight: number
}

/** The Backends of one generation. Indexes differ between generations; ids do not. */
type SplitBackends = readonly ({ readonly id: string } | null)[]

interface SplitState {
  refs: readonly SplitRef[]
  /** Backend id of each reference. */
  ids: readonly (string | undefined)[]
  readonly rotation: SmoothRotation
  weights: Float64Array
  /** Sum of the weights. */
  total: number
}

/** Rules whose rotation is kept: about 300 bytes each. */
const DEFAULT_CAPACITY = 20_000

export class WeightedSplits {
  readonly #random: Random
  readonly #capacity: number
  /** By rule; least recently used first. */
  readonly #states = new Map<string, SplitState>()

  /** @param capacity rules kept; the rotation of an evicted rule starts from the beginning */
  constructor(random: Random, capacity = DEFAULT_CAPACITY) {
    if (!(capacity >= 1)) throw new TypeError(`capacity must be at least 1: ${capacity}`)
    this.#random = random
    this.#capacity = capacity
  }

  get size(): number {
    return this.#states.size
  }

  /**
   * @param rule identity of the rule: Route and rule name
   * @param refs the references of this generation; read again only when the array is not the previous one
   * @param backends of the same generation
   * @returns index of the chosen reference, -1 when every weight is 0
   */
  pick(rule: string, refs: readonly SplitRef[], backends: SplitBackends): number {
    // One reference needs no rotation: the case of nearly every rule.
    if (refs.length === 1) return refs[0]!.weight > 0 ? 0 : -1
    const state = this.#stateOf(rule, refs, backends)
    return state.rotation.turn(state.weights, state.total)
  }

  #stateOf(rule: string, refs: readonly SplitRef[], backends: SplitBackends): SplitState {
    const known = this.#states.get(rule)
    if (known === undefined) {
      const state = {
        refs,
        ids: idsOf(refs, backends),
        rotation: new SmoothRotation(refs.length),
        weights: weightsOf(refs),
        total: totalOf(refs),
      }
      // Workers begin at random turns, so that they do not all send their first requests to the same Backend.
      for (let i = Math.floor(this.#random() * refs.length); i > 0; i--) state.rotation.turn(state.weights, state.total)
      this.#states.set(rule, state)
      this.#evictOldest()
      return state
    }
    // The order of use is maintained only when the map is more than half full.
    if (this.#states.size * 2 > this.#capacity) {
      this.#states.delete(rule)
      this.#states.set(rule, known)
    }
    if (known.refs !== refs) revise(known, refs, idsOf(refs, backends))
    return known
  }

  #evictOldest(): void {
    if (this.#states.size <= this.#capacity) return
    const oldest = this.#states.keys().next()
    if (!oldest.done) this.#states.delete(oldest.value)
  }
}

function idsOf(refs: readonly SplitRef[], backends: SplitBackends): (string | undefined)[] {
  return refs.map(({ backendIndex }) => backends[backendIndex]?.id)
}

function weightsOf(refs: readonly SplitRef[]): Float64Array {
  return Float64Array.from(refs, ({ weight }) => weight)
}

function totalOf(refs: readonly SplitRef[]): number {
  return refs.reduce((sum, { weight }) => sum + weight, 0)
}

/** Each Backend takes its credit to its new index. */
function revise(state: SplitState, refs: readonly SplitRef[], ids: readonly (string | undefined)[]): void {
  const before = state.ids
  const taken = new Set<number>()
  const origins = ids.map((id) => {
    // Two references may name the same Backend: each takes over one of them.
    const index = before.findIndex((other, at) => !taken.has(at) && other === id)
    taken.add(index)
    return index
  })
  state.rotation.revise(origins)
  state.refs = refs
  state.ids = ids
  state.weights = weightsOf(refs)
  state.total = totalOf(refs)
}
