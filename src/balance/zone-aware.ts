import { mix } from '../lib/hash.ts'
import { type Balancer, type BalancerContext, NO_KEY } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import { preferenceOf, READY } from './preference.ts'
import { COUNTED_EVERY, readyWeight, type Weigh } from './ready-weight.ts'
import { Reserve } from './reserve.ts'
import { ALONE, type Topology } from './topology.ts'

/** Zones that are told apart, besides our own; of more, all others are one. */
const MOST_ZONES = 16
/** Name of that one: no zone has an empty name, and neither has this. */
const OTHERS = '\0others'
/** Hashes of zones and of endpoints have nothing in common. */
const SALT = 0x5bd1e995

/** Makes the balancer of one zone. @param own whether it is that of the gateway */
export type MakeZone = (context: BalancerContext, own: boolean) => Balancer

interface Zone {
  readonly name: string
  readonly balancer: Balancer
  endpoints: Endpoint[]
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
  readonly #zones = new Map<string, Zone>()
  /** By name, for the order in which a draw passes them. */
  #inOrder: readonly Zone[] = []
  /** Zones that are one, see {@link OTHERS}. */
  #joined = 0
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
    for (const zone of this.#inOrder) {
      point -= zone.share
      if (point < 0) return zone
    }
    return undefined
  }

  #group(): void {
    this.#topology = this.#context.topology
    const { zone, replicas } = this.#topology
    const own = zone ?? ''
    const groups = new Map<string, Endpoint[]>()
    // Without any knowledge of zones nothing is preferred.
    if (zone !== undefined || replicas.length > 0)
      for (const endpoint of this.#endpoints) addTo(groups, zoneOf(endpoint, own), endpoint)
    this.#joined = groups.size > MOST_ZONES + 1 ? joinOthers(groups, own) : 0
    for (const name of [...this.#zones.keys()]) if (!groups.has(name)) this.#zones.delete(name)
    for (const [name, endpoints] of groups) this.#useZone(name, endpoints, name === own)
    // Our own comes first: a draw that stays at home compares once.
    this.#inOrder = [...this.#zones.values()].sort((a, b) =>
      a.name === own ? -1 : b.name === own ? 1 : a.name < b.name ? -1 : 1,
    )
    this.#weighUntil = Number.NEGATIVE_INFINITY
  }

  #useZone(name: string, endpoints: Endpoint[], own: boolean): void {
    let zone = this.#zones.get(name)
    if (zone === undefined) {
      const made: Zone = {
        name,
        balancer: this.#make(
          this.#contextOf(() => made.share),
          own,
        ),
        endpoints,
        share: 0,
      }
      this.#zones.set(name, (zone = made))
    }
    zone.endpoints = endpoints
    zone.balancer.update(endpoints)
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
    const zones = this.#inOrder
    const own = this.#topology.zone ?? ''
    const weights = zones.map(({ endpoints }) => readyWeight(endpoints, this.#context.gauge, this.#weigh))
    const weight = sum(weights)
    const origins = this.#origins()
    const origin = sum(origins.values())
    const shares = zones.map((_, i) => (weight === 0 ? 0 : weights[i]! / weight))
    const rooms = zones.map(({ name }, i) => Math.max(shares[i]! - (origins.get(name) ?? 0) / origin, 0))
    const room = sum(rooms.filter((_, i) => zones[i]!.name !== own))
    const at = zones.findIndex(({ name }) => name === own)
    const kept = at === -1 ? 0 : Math.min((shares[at]! * origin) / origins.get(own)!, 1)
    for (const [i, zone] of zones.entries())
      if (i === at) zone.share = kept
      // Where nobody has room, which takes an error of rounding, it goes where endpoints are.
      else zone.share = (1 - kept) * (room > 0 ? rooms[i]! / room : weight === 0 ? 0 : shares[i]!)
  }

  /** Replicas by zone; where they are not known, as many for each zone that has endpoints, and for our own. */
  #origins(): Map<string, number> {
    const { zone = '', replicas } = this.#topology
    const origins = new Map<string, number>()
    for (const [name, count] of replicas.length > 0 ? replicas : this.#assumed()) {
      const known = this.#zones.has(name) || !this.#zones.has(OTHERS) ? name : OTHERS
      origins.set(known, (origins.get(known) ?? 0) + count)
    }
    if ((origins.get(zone) ?? 0) === 0) origins.set(zone, 1)
    return origins
  }

  #assumed(): (readonly [zone: string, count: number])[] {
    return this.#inOrder.map(({ name }) => [name, name === '' ? 0 : name === OTHERS ? this.#joined : 1])
  }
}

/** The zone whose clients an endpoint is meant for: our own if it is one of several. */
function zoneOf({ zone = '', serves }: Endpoint, own: string): string {
  if (serves === undefined) return zone
  const names = serves.split(',')
  return names.includes(own) ? own : names[0]!
}

/** @returns how many zones become one */
function joinOthers(groups: Map<string, Endpoint[]>, own: string): number {
  const others = [...groups].filter(([name]) => name !== own)
  for (const [name] of others) groups.delete(name)
  groups.set(
    OTHERS,
    others.flatMap(([, endpoints]) => endpoints),
  )
  return others.length
}

function addTo(groups: Map<string, Endpoint[]>, name: string, endpoint: Endpoint): void {
  const group = groups.get(name)
  if (group === undefined) groups.set(name, [endpoint])
  else group.push(endpoint)
}

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}
