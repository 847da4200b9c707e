/**
 * Who may have a place in a table that all namespaces fill: dynamic thresholds (Choudhury and Hahne, "Dynamic Queue
 * Length Thresholds for Shared-Memory Packet Switches", 1998). A namespace grows as long as it holds less than a
 * multiple of what is free, so one alone gets four fifths and several share what there is; the last sixteenth is kept
 * for those that have little. A place is never taken away.
 *
 * A place counts for its namespace until it is freed, also when it is not used any more. What leaves may be
 * replaced beyond the share, once, or a namespace at its limit would be left without endpoints by a rolling update.
 */

/** Of what is free: so much may a namespace hold and still grow. */
const MULTIPLE = 7
/** Of the capacity: kept for those that have little. */
const RESERVED = 1 / 16
/**
 * Of the capacity: what is left of the rest by replacements beyond a share, which may last as long as the requests on
 * what they replace.
 */
const GROWTH = 1 / 32
/** Of the capacity: who holds less has little. */
const LITTLE = 1 / 256

/** The table. */
export interface Places {
  readonly capacity: number
  /** Places that are taken, by whomever. */
  readonly size: number
}

interface Held {
  /** In use. */
  live: number
  /** Of these, those that are about to leave. */
  draining: number
  /** Given up and not freed. */
  leaving: number
  /** Taken beyond the share in the stead of what drains or leaves. */
  replacements: number
}

export class PlaceShares {
  readonly #places: Places
  readonly #held = new Map<string, Held>()
  /** Namespaces of places that were given up and are not freed. */
  readonly #leaving = new Map<number, string>()

  constructor(places: Places) {
    this.#places = places
  }

  /** Namespaces that hold something. */
  get namespaces(): number {
    return this.#held.size
  }

  /** Places that count for a namespace. */
  held(namespace: string): number {
    const held = this.#held.get(namespace)
    return held === undefined ? 0 : held.live + held.leaving
  }

  /** Whether a namespace may have a place that it does not have yet. */
  admits(namespace: string): boolean {
    return this.#mayGrow(namespace) || this.#mayReplace(namespace)
  }

  /** Whether it is far from its limit. */
  isWell(namespace: string): boolean {
    return this.held(namespace) < 0.9 * this.#limit()
  }

  /** A new place, which {@link admits} has allowed and which is not counted in {@link Places.size} yet. */
  admit(namespace: string): void {
    const grows = this.#mayGrow(namespace)
    const held = this.#of(namespace)
    held.live++
    if (!grows) held.replacements++
  }

  /** A place that is there and not counted: given up a moment ago, or left by an earlier control thread. */
  adopt(namespace: string, slot: number): void {
    const held = this.#of(namespace)
    if (this.#leaving.delete(slot)) {
      held.leaving--
      settle(held)
    }
    held.live++
  }

  /** The place is not used any more. */
  leave(namespace: string, slot: number): void {
    const held = this.#of(namespace)
    held.live--
    held.leaving++
    this.#leaving.set(slot, namespace)
  }

  /** How many more of its places are about to leave; negative: fewer. */
  drain(namespace: string, more: number): void {
    if (more === 0) return
    const held = this.#of(namespace)
    held.draining += more
    settle(held)
  }

  freed(slot: number): void {
    const namespace = this.#leaving.get(slot)
    const held = namespace === undefined ? undefined : this.#held.get(namespace)
    if (namespace === undefined || held === undefined) return
    this.#leaving.delete(slot)
    held.leaving--
    settle(held)
    if (held.live === 0 && held.leaving === 0) this.#held.delete(namespace)
  }

  get #free(): number {
    return this.#places.capacity - this.#places.size
  }

  #limit(): number {
    return MULTIPLE * (this.#free - Math.floor(this.#places.capacity * RESERVED))
  }

  #mayGrow(namespace: string): boolean {
    const held = this.held(namespace)
    return held < this.#limit() || (this.#free > 0 && held < this.#places.capacity * LITTLE)
  }

  #mayReplace(namespace: string): boolean {
    const { draining, leaving, replacements } = this.#held.get(namespace) ?? NONE
    return replacements < draining + leaving && this.#free > (RESERVED + GROWTH) * this.#places.capacity
  }

  #of(namespace: string): Held {
    let held = this.#held.get(namespace)
    if (held === undefined) this.#held.set(namespace, (held = { ...NONE }))
    return held
  }
}

const NONE: Readonly<Held> = { live: 0, draining: 0, leaving: 0, replacements: 0 }

/** What was replaced is gone: the replacement is a place like any other. */
function settle(held: Held): void {
  held.replacements = Math.min(held.replacements, held.draining + held.leaving)
}
