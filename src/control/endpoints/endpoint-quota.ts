/**
 * Admission to the endpoint table that all namespaces share, by dynamic thresholds (Choudhury and Hahne, "Dynamic Queue
 * Length Thresholds for Shared-Memory Packet Switches", 1998). A namespace may grow while it holds less than a multiple
 * of the free rows, so one alone gets three quarters. No row is taken away.
 *
 * A row counts until it is freed, also when it is unused. Leaving rows may be replaced once beyond the limit: otherwise
 * a rolling update would leave a namespace at its limit without endpoints. Growth leaves a sixteenth of the table for
 * that, of which no namespace takes more than half, nor more than it leaves: whoever replaces next finds some, however
 * long others hold what they gave up. Another sixteenth is for namespaces with few rows.
 */

/** Of what is free: so much may a namespace hold and still grow. */
const MULTIPLE = 7
/** Of the capacity: kept for those that have little. */
const RESERVED = 1 / 16
/** Of the capacity: kept, besides, for what replaces leaving rows. */
const SPARE = 1 / 16
/** Share of the capacity below which a namespace holds few rows. */
const SMALL_SHARE = 1 / 256

/** The capacity of the table and its use. */
export interface EndpointCapacity {
  readonly capacity: number
  /** Rows in use by all namespaces. */
  readonly size: number
}

interface NamespaceRows {
  /** Rows in use. */
  live: number
  /** Draining rows among them. */
  draining: number
  /** Rows given up but not freed yet. */
  leaving: number
  /** Rows beyond the limit that replace draining or leaving ones. */
  replacements: number
}

export class EndpointQuota {
  readonly #capacity: EndpointCapacity
  readonly #held = new Map<string, NamespaceRows>()
  /** Namespaces of places that were given up and are not freed. */
  readonly #leaving = new Map<number, string>()

  constructor(places: EndpointCapacity) {
    this.#capacity = places
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

  /** A new place, which {@link admits} has allowed and which is not counted in {@link EndpointCapacity.size} yet. */
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
    return this.#capacity.capacity - this.#capacity.size
  }

  /** What is free of the table without a share of it. */
  #freeBesides(share: number): number {
    return this.#free - Math.floor(this.#capacity.capacity * share)
  }

  #limit(): number {
    return MULTIPLE * this.#freeBesides(RESERVED + SPARE)
  }

  #mayGrow(namespace: string): boolean {
    const held = this.held(namespace)
    return held < this.#limit() || (this.#free > 0 && held < this.#small)
  }

  #mayReplace(namespace: string): boolean {
    const { draining, leaving, replacements } = this.#held.get(namespace) ?? NONE
    if (replacements >= draining + leaving || this.#free <= 0) return false
    // Few rows are replaced where few rows are kept: all of them, once.
    const most = Math.min((SPARE / 2) * this.#capacity.capacity, this.#freeBesides(RESERVED))
    return replacements < most || this.held(namespace) < 2 * this.#small
  }

  get #small(): number {
    return this.#capacity.capacity * SMALL_SHARE
  }

  #of(namespace: string): NamespaceRows {
    let held = this.#held.get(namespace)
    if (held === undefined) this.#held.set(namespace, (held = { ...NONE }))
    return held
  }
}

const NONE: Readonly<NamespaceRows> = { live: 0, draining: 0, leaving: 0, replacements: 0 }

/** What was replaced is gone: the replacement is a place like any other. */
function settle(held: NamespaceRows): void {
  held.replacements = Math.min(held.replacements, held.draining + held.leaving)
}
