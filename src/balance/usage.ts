import { EndpointRing, type Part, partsOf } from './aperture.ts'
import { type Algorithm, type Spread, sizeOf, weighOf } from './create-balancer.ts'
import type { Endpoint, EndpointGauge } from './endpoint.ts'
import { preferenceOf, READY } from './preference.ts'
import { readyWeight } from './ready-weight.ts'
import type { Place, Topology } from './topology.ts'
import { zoneShares, zonesOf } from './zone-shares.ts'

/**
 * What part of its requests a replica sends to each endpoint, for people: what balancers would do whose picks follow
 * the weights exactly. Endpoints that get nothing are missing.
 */
export function usageOf(
  endpoints: readonly Endpoint[],
  algorithm: Algorithm,
  spread: Spread,
  topology: Topology,
  gauge: EndpointGauge,
): Map<Endpoint, number> {
  const weigh = weighOf(algorithm)
  const size = sizeOf(algorithm, spread)
  const usage = new Map<Endpoint, number>()
  /** A part of the requests goes to those of these that are ready, in proportion. */
  const send = (share: number, parts: readonly Part[]): void => {
    const ready = parts.filter(({ endpoint }) => preferenceOf(endpoint, gauge, null) === READY)
    const total = ready.reduce((sum, { weight }) => sum + weight, 0)
    for (const { endpoint, weight } of ready) usage.set(endpoint, (usage.get(endpoint) ?? 0) + (share * weight) / total)
  }
  const narrow = (all: readonly Endpoint[], place: Place): Part[] => {
    if (size === 0) return all.map((endpoint) => ({ endpoint, weight: weigh(endpoint) }))
    const ring = new EndpointRing(weigh)
    ring.update(all)
    return partsOf(ring, size, place, gauge)
  }
  const zones = spread.zoneAware ? zonesOf(endpoints, topology) : null
  if (zones === null) {
    send(1, narrow(endpoints, topology.place))
    return usage
  }
  const weights = new Map<string, number>()
  for (const [name, all] of zones.endpoints) weights.set(name, readyWeight(all, gauge, weigh))
  for (const [name, share] of zoneShares(zones, weights, topology))
    if (share > 0)
      send(share, narrow(zones.endpoints.get(name) ?? [], name === zones.own ? topology.placeInZone : topology.place))
  return usage
}
