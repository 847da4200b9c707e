import { hashKey } from '../lib/hash.ts'
import type { Balancer, BalancerContext } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import { preferenceOf, READY } from './preference.ts'
import { COUNTED_EVERY, type Weigh } from './ready-weight.ts'
import { Reserve } from './reserve.ts'
import type { Place, Topology } from './topology.ts'

/** Picks before what failed in this exchange is looked for outside: a part of an endpoint does not show that it did. */
const TRIES = 4
/** Weights below are errors of rounding. */
const LEAST = 1e-9

/** An endpoint, and how much of it is in the aperture. */
interface Part {
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
  readonly #weigh: Weigh
  readonly #placeIn: (topology: Topology) => Place
  /** In the order of the ring. */
  #ring: { readonly endpoint: Endpoint; readonly hash: number }[] = []
  /** Where each endpoint begins, and at last the length of the ring. */
  #begins = new Float64Array(1)
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
    this.#weigh = weigh
    this.#placeIn = placeIn
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#reserve.update([...endpoints])
    const present = new Set(endpoints)
    const kept = this.#ring.filter(({ endpoint }) => present.delete(endpoint))
    const added = [...present].map((endpoint) => ({ endpoint, hash: hashKey(endpoint.authority) }))
    // Two runs in order are merged: of thousands of endpoints one may have changed.
    this.#ring = [...kept, ...added.sort(inOrder)].sort(inOrder)
    this.#begins = new Float64Array(this.#ring.length + 1)
    for (const [i, { endpoint }] of this.#ring.entries()) this.#begins[i + 1] = this.#begins[i]! + this.#weigh(endpoint)
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
    const parts = this.#partsNow()
    if (!revised && isSame(parts, this.#parts)) return
    this.#parts = parts
    this.#whole.clear()
    this.#inner.update(
      parts.map(({ endpoint, weight }) => {
        if (weight === endpoint.weight) return endpoint
        const part = { ...endpoint, weight }
        this.#whole.set(part, endpoint)
        return part
      }),
    )
  }

  #partsNow(): Part[] {
    const ring = this.#ring
    const begins = this.#begins
    const length = begins[ring.length]!
    const { index, count } = this.#placeIn(this.#context.topology)
    const units = Math.ceil((this.#size * count) / ring.length)
    if (!(units < count)) return ring.map(({ endpoint }) => ({ endpoint, weight: this.#weigh(endpoint) }))
    let left = (units * length) / count
    const begin = (length * index) / count
    const first = this.#find(begin)
    const parts: Part[] = []
    for (let step = 0; step < ring.length && left > LEAST; step++) {
      const at = (first + step) % ring.length
      const { endpoint } = ring[at]!
      const rest = begins[at + 1]! - (step === 0 ? begin : begins[at]!)
      const ready = preferenceOf(endpoint, this.#context.gauge, null) === READY
      const weight = ready ? Math.min(rest, left) : rest
      if (ready) left -= weight
      if (weight > LEAST) parts.push({ endpoint, weight })
    }
    return parts
  }

  /** The endpoint that lies at a place of the ring. */
  #find(place: number): number {
    let low = 0
    let high = this.#ring.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#begins[middle]! <= place) low = middle
      else high = middle - 1
    }
    return low
  }
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
