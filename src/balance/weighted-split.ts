/**
 * Splits the requests of a rule over its `backendRefs` by weight: exact shares, smooth, and continued across table
 * changes. The state is keyed by the rule's identity, outside the snapshot, because a rule is a new object in every
 * generation that changes it.
 */
import type { Random } from '../lib/clock.ts'
import { SmoothRotation } from './smooth-rotation.ts'
import type { Split, SplitDraw, SplitRef } from './split.ts'

interface SplitState {
  refs: readonly SplitRef[]
  readonly rotation: SmoothRotation
  weights: Float64Array
  /** Sum of the weights. */
  total: number
}

/** Rules whose rotation is kept: about 300 bytes each. */
const DEFAULT_CAPACITY = 20_000

export class WeightedSplits implements SplitDraw {
  readonly #random: Random
  readonly #capacity: number
  /** By key of the split; least recently used first. */
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
   * @param split its references are read again only when the array is not the previous one of its key
   * @returns index of the chosen reference, -1 when every weight is 0
   */
  turn({ key, backends }: Split): number {
    // One reference needs no rotation: the case of nearly every rule.
    if (backends.length === 1) return backends[0]!.weight > 0 ? 0 : -1
    const state = this.#stateOf(key, backends)
    return state.rotation.turn(state.weights, state.total)
  }

  chance(): number {
    return this.#random()
  }

  #stateOf(key: string, refs: readonly SplitRef[]): SplitState {
    const known = this.#states.get(key)
    if (known === undefined) {
      const state = {
        refs,
        rotation: new SmoothRotation(refs.length),
        weights: weightsOf(refs),
        total: totalOf(refs),
      }
      // Workers begin at random turns, so that they do not all send their first requests to the same Backend.
      for (let i = Math.floor(this.#random() * refs.length); i > 0; i--) state.rotation.turn(state.weights, state.total)
      this.#states.set(key, state)
      this.#evictOldest()
      return state
    }
    // The order of use is maintained only when the map is more than half full.
    if (this.#states.size * 2 > this.#capacity) {
      this.#states.delete(key)
      this.#states.set(key, known)
    }
    if (known.refs !== refs) revise(known, refs)
    return known
  }

  #evictOldest(): void {
    if (this.#states.size <= this.#capacity) return
    const oldest = this.#states.keys().next()
    if (!oldest.done) this.#states.delete(oldest.value)
  }
}

function weightsOf(refs: readonly SplitRef[]): Float64Array {
  return Float64Array.from(refs, ({ weight }) => weight)
}

function totalOf(refs: readonly SplitRef[]): number {
  return refs.reduce((sum, { weight }) => sum + weight, 0)
}

/** Each Backend takes its credit to its new index. */
function revise(state: SplitState, refs: readonly SplitRef[]): void {
  const before = state.refs
  const taken = new Set<number>()
  const origins = refs.map(({ identity }) => {
    // Two references may name the same Backend: each takes over one of them.
    const index = before.findIndex((other, at) => !taken.has(at) && other.identity === identity)
    taken.add(index)
    return index
  })
  state.rotation.revise(origins)
  state.refs = refs
  state.weights = weightsOf(refs)
  state.total = totalOf(refs)
}
