import { GOLDEN, mix } from '../lib/hash.ts'
import { type Balancer, type BalancerContext, NO_KEY } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import { HashRing } from './hash-ring.ts'
import { LeastRequest } from './least-request.ts'
import { preferenceOf, READY } from './preference.ts'
import { ReadyWeight } from './ready-weight.ts'

/** Positions of the ring that are looked at for a key: the largest share is then 5 % above the mean (see below). */
const PROBES = 21
/**
 * An endpoint takes at most so much more than its share of the requests in flight. Mirrokni et al.: with 1.25 a change
 * of one endpoint moves a constant number of others' keys, and a key seldom looks beyond its second endpoint.
 */
const BALANCE = 1.25

/**
 * Multi-probe consistent hashing (Appleton & O'Reilly 2015) with bounded loads (Mirrokni, Thorup & Zadimoghaddam 2016).
 *
 * A key is hashed to {@link PROBES} positions of a ring; the endpoint whose point is the nearest behind any of them
 * has the key. The others in the order of their distance are where the key goes while that one cannot take it: it is
 * not ready, or has {@link BALANCE} times its share of what is in flight. The removal of an endpoint moves its own keys
 * alone, since all other distances stay. Distances are divided by the weight: the nearest of several exponentially
 * distributed distances belongs to each in proportion to its rate.
 *
 * A ring with one probe needs hundreds of points for each endpoint to be as even, megabytes that every worker sorts; a
 * Maglev table of that evenness has a hundred entries for each, is built anew at every change and moves keys of others.
 */
export class ConsistentHash implements Balancer {
  readonly #context: BalancerContext
  readonly #ring = new HashRing()
  /** For requests without a key, and where nothing is ready that a key leads to. */
  readonly #others: LeastRequest
  #endpoints: readonly Endpoint[] = []
  #weight = 0
  readonly #ready: ReadyWeight
  /** By endpoint: what a distance counts for. */
  #scales = new Float64Array(0)
  // The candidates of a pick; reused, so that it allocates nothing.
  readonly #scores = new Float64Array(PROBES)
  readonly #candidates = new Uint32Array(PROBES)
  readonly #places = new Uint32Array(PROBES)

  constructor(context: BalancerContext) {
    this.#context = context
    this.#others = new LeastRequest(context.gauge, context.random)
    this.#ready = new ReadyWeight(context)
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#ring.update(endpoints)
    this.#others.update(endpoints)
    this.#endpoints = [...endpoints]
    this.#scales = Float64Array.from(endpoints, ({ weight }, i) => this.#ring.share(i) / weight)
    this.#weight = endpoints.reduce((sum, { weight }) => sum + weight, 0)
    this.#ready.update(this.#endpoints)
  }

  pick(key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    if (key === NO_KEY || this.#endpoints.length < 2) return this.#others.pick(key, tried)
    this.#probe(key)
    const { gauge } = this.#context
    const most = BALANCE * this.#context.requests()
    const first = this.#endpoints[this.#candidates[this.#nearest()]!]!
    // The share is rounded up: of few requests no key is moved.
    const takes = gauge.inFlight(first.slot) < Math.ceil((most / this.#weight) * first.weight)
    if (takes && preferenceOf(first, gauge, tried) === READY) return first
    return this.#pickNext(most / this.#ready.weight, tried) ?? this.#others.pick(key, tried)
  }

  /** @param share requests in flight that an endpoint may have for each weight, of those that are ready */
  #pickNext(share: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    const { gauge } = this.#context
    let lightest: Endpoint | undefined
    let least = Number.POSITIVE_INFINITY
    for (let at = this.#nearest(); at !== -1; at = this.#nearest()) {
      const endpoint = this.#endpoints[this.#candidates[at]!]!
      this.#scores[at] = Number.POSITIVE_INFINITY
      if (preferenceOf(endpoint, gauge, tried) !== READY) continue
      const load = gauge.inFlight(endpoint.slot)
      if (load < Math.ceil(share * endpoint.weight)) return endpoint
      if (load / endpoint.weight >= least) continue
      least = load / endpoint.weight
      lightest = endpoint
    }
    return lightest
  }

  /** Fills in the candidates of a key. */
  #probe(key: number): void {
    const places = this.#places
    const candidates = this.#candidates
    const scores = this.#scores
    const scales = this.#scales
    for (let i = 0; i < PROBES; i++) places[i] = mix(key + Math.imul(i, GOLDEN))
    this.#ring.find(places, candidates)
    for (let i = 0; i < PROBES; i++) scores[i] = places[i]! * scales[candidates[i]!]!
  }

  /** The candidate with the lowest score, -1 when none is left. */
  #nearest(): number {
    const scores = this.#scores
    let nearest = -1
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < PROBES; i++) {
      if (scores[i]! >= least) continue
      nearest = i
      least = scores[i]!
    }
    return nearest
  }
}
