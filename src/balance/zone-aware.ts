import { mix } from '../lib/hash.ts'
import { type Balancer, type BalancerContext, NO_KEY } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import { preferenceOf, READY } from './preference.ts'
import { COUNTED_EVERY, readyWeight, type Weigh } from './ready-weight.ts'
import { Reserve } from './reserve.ts'
import { ALONE, type Topology } from './topology.ts'
import { type Zones, zoneShares, zonesOf } from './zone-shares.ts'

/** Hashes of zones and of endpoints have nothing in common. */
const SALT = 0x5bd1e995

/** Makes the balancer of one zone. @param own whether it is that of the gateway */
export type MakeZone = (context: BalancerContext, own: boolean) => Balancer

interface Zone {
  readonly name: string
  readonly balancer: Balancer
  /** The part of our requests that goes there. */
  share: number
}

/**
 * Prefers the zone of the gateway, as far as that zone can bear it: Envoy's zone-aware routing. What a zone can take is
 * its share of the ready endpoints, by weight; what comes from it is its share of the replicas of the gateway. A zone
 * that can take what comes from it keeps all of it. What is too much for one goes to the zones that have room left, in
 * proportion, so that in the sum each endpoint gets what it would get without zones.
 */
export class ZoneAware implements Balancer {
  readonly #context: BalancerContext
  readonly #make: MakeZone
  readonly #weigh: Weigh
  readonly #reserve: Reserve
  #endpoints: readonly Endpoint[] = []
  #topology: Topology = ALONE
  #grouped: Zones | null = null
  #own = ''
  /** Our own comes first: a draw that stays at home compares once. Then by name. */
  #zones: readonly Zone[] = []
  #weighUntil = Number.NEGATIVE_INFINITY

  /** @param all makes the balancer of all zones together */
  constructor(context: BalancerContext, make: MakeZone, all: () => Balancer, weigh: Weigh) {
    this.#context = context
    this.#make = make
    this.#weigh = weigh
    this.#reserve = new Reserve(all)
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = [...endpoints]
    this.#reserve.update(this.#endpoints)
    this.#group()
  }

  pick(key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    if (this.#context.topology !== this.#topology) this.#group()
    if (this.#context.now() >= this.#weighUntil) this.#weighZones()
    const endpoint = this.#draw(key)?.balancer.pick(key, tried)
    if (endpoint !== undefined && preferenceOf(endpoint, this.#context.gauge, tried) === READY) return endpoint
    return this.#reserve.pick(key, tried)
  }

  /** A key has its zone for as long as the shares stay. */
  #draw(key: number): Zone | undefined {
    let point = key === NO_KEY ? this.#context.random() : mix(key ^ SALT) / 2 ** 32
    for (const zone of this.#zones) {
      point -= zone.share
      if (point < 0) return zone
    }
    return undefined
  }

  #group(): void {
    this.#topology = this.#context.topology
    this.#grouped = zonesOf(this.#endpoints, this.#topology)
    this.#weighUntil = Number.NEGATIVE_INFINITY
    const { own = '', endpoints: groups = [] } = this.#grouped ?? {}
    // Our own zone is divided among its replicas, and no other.
    const known = new Map((own === this.#own ? this.#zones : []).map((zone) => [zone.name, zone]))
    this.#own = own
    const zones: Zone[] = []
    for (const [name, endpoints] of groups) {
      const zone = known.get(name) ?? this.#makeZone(name, name === own)
      zone.balancer.update(endpoints)
      zones.push(zone)
    }
    this.#zones = zones.sort((a, b) => (a.name === own ? -1 : b.name === own ? 1 : a.name < b.name ? -1 : 1))
  }

  #makeZone(name: string, own: boolean): Zone {
    const zone: Zone = {
      name,
      balancer: this.#make(
        this.#contextOf(() => zone.share),
        own,
      ),
      share: 0,
    }
    return zone
  }

  /** As the whole Backend has it, but for the requests, of which a zone has its share. */
  #contextOf(share: () => number): BalancerContext {
    const context = this.#context
    return {
      gauge: context.gauge,
      random: context.random,
      get topology() {
        return context.topology
      },
      now: () => context.now(),
      requests: () => context.requests() * share(),
    }
  }

  #weighZones(): void {
    this.#weighUntil = this.#context.now() + COUNTED_EVERY
    if (this.#grouped === null) return
    const weights = new Map<string, number>()
    for (const [name, endpoints] of this.#grouped.endpoints)
      weights.set(name, readyWeight(endpoints, this.#context.gauge, this.#weigh))
    const shares = zoneShares(this.#grouped, weights, this.#topology)
    for (const zone of this.#zones) zone.share = shares.get(zone.name) ?? 0
  }
}
