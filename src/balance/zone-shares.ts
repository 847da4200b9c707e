import type { Endpoint } from './endpoint.ts'
import type { Topology } from './topology.ts'

/** Zones that are told apart, besides our own; of more, all others are one. */
const MOST_ZONES = 16
/** Name of that one: no zone has it. */
const OTHERS = '\0others'

/** The endpoints of a Backend by zone. */
export interface Zones {
  /** Of the gateway; '' where that is not known. */
  readonly own: string
  readonly endpoints: ReadonlyMap<string, Endpoint[]>
  /** How many zones are one, see {@link OTHERS}. */
  readonly joined: number
}

/** @returns null where nothing is known of zones, so that nothing is preferred */
export function zonesOf(endpoints: readonly Endpoint[], { zone, replicas }: Topology): Zones | null {
  if (zone === undefined && replicas.length === 0) return null
  const own = zone ?? ''
  const groups = new Map<string, Endpoint[]>()
  for (const endpoint of endpoints) {
    const name = zoneOf(endpoint, own)
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [endpoint])
    else group.push(endpoint)
  }
  if (groups.size <= MOST_ZONES + 1) return { own, endpoints: groups, joined: 0 }
  const home = groups.get(own)
  groups.delete(own)
  const joined = new Map([[OTHERS, [...groups.values()].flat()]])
  if (home !== undefined) joined.set(own, home)
  return { own, endpoints: joined, joined: groups.size }
}

/** The zone whose clients an endpoint is meant for: our own if it is one of several. */
function zoneOf({ zone = '', serves }: Endpoint, own: string): string {
  if (serves === undefined) return zone
  const names = serves.split(',')
  return names.includes(own) ? own : names[0]!
}

/**
 * The part of our requests that goes to each zone; none where nothing is ready.
 *
 * @param weights of the ready endpoints of each zone
 */
export function zoneShares(
  zones: Zones,
  weights: ReadonlyMap<string, number>,
  { replicas }: Topology,
): Map<string, number> {
  const weight = sum(weights.values())
  if (weight === 0) return new Map()
  const origins = originsIn(zones, replicas)
  const origin = sum(origins.values())
  const shares = new Map<string, number>()
  const kept = Math.min(((weights.get(zones.own) ?? 0) / weight) * (origin / origins.get(zones.own)!), 1)
  if (weights.has(zones.own)) shares.set(zones.own, kept)
  const rooms = new Map<string, number>()
  for (const [name, ready] of weights)
    if (name !== zones.own) rooms.set(name, Math.max(ready / weight - (origins.get(name) ?? 0) / origin, 0))
  const room = sum(rooms.values())
  // Where nobody has room, which takes an error of rounding, all stays.
  if (room === 0) return new Map([[zones.own, 1]])
  for (const [name, one] of rooms) shares.set(name, ((1 - kept) * one) / room)
  return shares
}

/** Replicas by zone; where they are not known, as many for each zone that has endpoints, and for our own. */
function originsIn({ own, endpoints, joined }: Zones, replicas: Topology['replicas']): Map<string, number> {
  const origins = new Map<string, number>()
  if (replicas.length === 0)
    for (const name of endpoints.keys()) origins.set(name, name === '' ? 0 : name === OTHERS ? joined : 1)
  for (const [name, count] of replicas) {
    const known = joined === 0 || name === own ? name : OTHERS
    origins.set(known, (origins.get(known) ?? 0) + count)
  }
  if ((origins.get(own) ?? 0) === 0) origins.set(own, 1)
  return origins
}

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}
