import { hashKey } from '../lib/hash.ts'
import type { Balancer, BalancerContext } from './balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY } from './preference.ts'
import { COUNTED_EVERY, type Weigh } from './ready-weight.ts'
import { Reserve } from './reserve.ts'
import type { Place, Topology } from './topology.ts'

/** Picks before what failed in this exchange is looked for outside: a part of an endpoint does not show that it did. */
const TRIES = 4
/** Weights below are errors of rounding. */
const LEAST = 1e-9

/** An endpoint, and how much of it is in the aperture. */
export interface Part {
  readonly endpoint: Endpoint
  readonly weight: number
}

/**
 * The part of a large Backend to which one replica of the gateway sends requests, so that not every replica connects to
 * every endpoint: deterministic aperture (Finagle, 2019; "Site Reliability Engineering", chapter 20, on deterministic
 * subsetting).
 *
 * All replicas lay the endpoints around the same ring, in the order of their hashes, each as long as its weight. The
 * replica with index i of n begins at i/n of the ring, and its aperture is as many n-ths of it as it takes for `size`
 * average endpoints. So every place of the ring is in as many apertures as every other, and each endpoint gets its
 * share by weight of what all replicas send: one that lies across an end is used in part. A change of one endpoint or
 * replica moves the ends of apertures by less than one of them. Endpoints that are not ready do not count: the aperture
 * reaches farther at its end.
 */
export class Aperture implements Balancer {
  readonly #context: BalancerContext
  readonly #inner: Balancer
  readonly #reserve: Reserve
  readonly #size: number
  readonly #ring: EndpointRing
  readonly #placeIn: (topology: Topology) => Place
  #topology: Topology | null = null
  #focusUntil = Number.NEGATIVE_INFINITY
  #parts: readonly Part[] = []
  /** What stands for an endpoint that is used in part, or with another weight. */
  readonly #whole = new Map<Endpoint, Endpoint>()

  /**
   * @param inner chooses by weight
   * @param all makes a balancer of all endpoints
   * @param placeIn of the replica, among those that send requests to these endpoints
   */
  constructor(
    context: BalancerContext,
    inner: Balancer,
    all: () => Balancer,
    size: number,
    weigh: Weigh,
    placeIn: (topology: Topology) => Place,
  ) {
    this.#context = context
    this.#inner = inner
    this.#reserve = new Reserve(all)
    this.#size = size
    this.#ring = new EndpointRing(weigh)
    this.#placeIn = placeIn
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#reserve.update([...endpoints])
    this.#ring.update(endpoints)
    this.#focus(true)
  }

  pick(key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    if (this.#context.topology !== this.#topology || this.#context.now() >= this.#focusUntil) this.#focus(false)
    for (let tries = 0; tries < TRIES; tries++) {
      const picked = this.#inner.pick(key, tried)
      if (picked === undefined) break
      const endpoint = this.#whole.get(picked) ?? picked
      if (preferenceOf(endpoint, this.#context.gauge, tried) === READY) return endpoint
    }
    return this.#reserve.pick(key, tried)
  }

  /** @param revised weights or states may be others, though the parts are not */
  #focus(revised: boolean): void {
    this.#topology = this.#context.topology
    this.#focusUntil = this.#context.now() + COUNTED_EVERY
    const parts = partsOf(this.#ring, this.#size, this.#placeIn(this.#topology), this.#context.gauge)
    if (!revised && isSame(parts, this.#parts)) return
    this.#parts = parts
    // What stands for an endpoint keeps its place in a rotation.
    const known = new Map([...this.#whole].map(([part, endpoint]) => [endpoint, part]))
    this.#whole.clear()
    this.#inner.update(
      parts.map(({ endpoint, weight }) => {
        let part = known.get(endpoint)
        if (part === undefined && weight === endpoint.weight) return endpoint
        part ??= { ...endpoint }
        part.weight = weight
        part.state = endpoint.state
        this.#whole.set(part, endpoint)
        return part
      }),
    )
  }
}

/** All endpoints in the order of their hashes. */
export class EndpointRing {
  readonly #weigh: Weigh
  #places: { readonly endpoint: Endpoint; readonly hash: number }[] = []
  /** Where each endpoint begins, and at last the length of the ring. */
  #begins = new Float64Array(1)

  constructor(weigh: Weigh) {
    this.#weigh = weigh
  }

  get size(): number {
    return this.#places.length
  }

  get length(): number {
    return this.#begins[this.size]!
  }

  update(endpoints: readonly Endpoint[]): void {
    const present = new Set(endpoints)
    const kept = this.#places.filter(({ endpoint }) => present.delete(endpoint))
    const added = [...present].map((endpoint) => ({ endpoint, hash: hashKey(endpoint.authority) }))
    // Two runs in order are merged: of thousands of endpoints one may have changed.
    this.#places = [...kept, ...added.sort(inOrder)].sort(inOrder)
    this.#begins = new Float64Array(this.size + 1)
    for (const [i, { endpoint }] of this.#places.entries())
      this.#begins[i + 1] = this.#begins[i]! + this.#weigh(endpoint)
  }

  /** Once around from a place on: first what is left of the endpoint there, and at last what of it lies before. */
  *from(place: number): Generator<Part> {
    const first = this.#find(place)
    for (let step = 0; step <= this.size; step++) {
      const at = (first + step) % this.size
      const begin = step === 0 ? place : this.#begins[at]!
      const end = step === this.size ? place : this.#begins[at + 1]!
      yield { endpoint: this.#places[at]!.endpoint, weight: end - begin }
    }
  }

  /** The endpoint that lies at a place. */
  #find(place: number): number {
    let low = 0
    let high = this.size - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#begins[middle]! <= place) low = middle
      else high = middle - 1
    }
    return low
  }
}

/** What a replica uses of a ring. */
export function partsOf(ring: EndpointRing, size: number, { index, count }: Place, gauge: EndpointGauge): Part[] {
  const units = Math.min(Math.ceil((size * count) / ring.size), count)
  let left = (units * ring.length) / count
  const weights = new Map<Endpoint, number>()
  // Of all endpoints the whole ring is used, whoever is ready.
  for (const { endpoint, weight: rest } of ring.size === 0
    ? []
    : ring.from(units < count ? (ring.length * index) / count : 0)) {
    if (left <= LEAST) break
    const counts = units === count || preferenceOf(endpoint, gauge, null) === READY
    const weight = counts ? Math.min(rest, left) : rest
    if (counts) left -= weight
    if (weight > LEAST) weights.set(endpoint, (weights.get(endpoint) ?? 0) + weight)
  }
  return [...weights].map(([endpoint, weight]) => ({ endpoint, weight }))
}

function inOrder(
  a: { readonly endpoint: Endpoint; readonly hash: number },
  b: { readonly endpoint: Endpoint; readonly hash: number },
): number {
  return a.hash - b.hash || (a.endpoint.authority < b.endpoint.authority ? -1 : 1)
}

function isSame(a: readonly Part[], b: readonly Part[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ endpoint, weight }, i) => endpoint === b[i]!.endpoint && weight === b[i]!.weight)
  )
}
