/**
 * The endpoints of one Backend in one worker. An address that stays keeps its object across updates, and with it its
 * pooled connections, its position in a rotation and all other state keyed by it.
 */

import { joinHostPort } from '../pattern/host.ts'
import type { Endpoint } from './endpoint.ts'

/** One row of an update; identity is the Backend plus address and port. */
export interface EndpointUpdate {
  /** IPv4 or IPv6 literal in canonical form. */
  readonly address: string
  readonly port: number
  readonly weight: number
  readonly state: 'ready' | 'draining'
  readonly slot: number
  readonly zone?: string
  readonly serves?: string
  readonly hostname?: string
}

export interface EndpointChange {
  /** {@link EndpointSet.endpoints} differ: update the balancers. */
  readonly changed: boolean
  readonly added: readonly Endpoint[]
  /** Removed endpoints: pools close their idle connections now, and those in use after their exchange. */
  readonly removed: readonly Endpoint[]
}

type Mutable = { -readonly [Key in keyof Endpoint]: Endpoint[Key] }

const UNCHANGED: EndpointChange = Object.freeze({ changed: false, added: [], removed: [] })

export class EndpointSet {
  #byAuthority = new Map<string, Mutable>()
  #endpoints: readonly Endpoint[] = []

  /** In the order of the last update. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints
  }

  /**
   * Applies a complete new set; an empty one removes all. Weight, state, zone and host name change in place; a
   * different slot is a different endpoint, because the counts of the old slot belong to the old one. Of two rows with
   * the same identity the first wins.
   */
  apply(rows: readonly EndpointUpdate[]): EndpointChange {
    const next = new Map<string, Mutable>()
    const added: Endpoint[] = []
    let changed = false
    for (const row of rows) {
      const authority = joinHostPort(row.address, row.port)
      if (next.has(authority)) continue
      const known = this.#byAuthority.get(authority)
      if (known === undefined || known.slot !== row.slot) {
        const made = makeEndpoint(authority, row)
        next.set(authority, made)
        added.push(made)
        continue
      }
      if (revise(known, row)) changed = true
      next.set(authority, known)
    }
    const removed = this.#endpoints.filter((endpoint) => next.get(endpoint.authority) !== endpoint)
    const endpoints = [...next.values()]
    const moved = endpoints.some((endpoint, i) => this.#endpoints[i] !== endpoint)
    if (!changed && !moved && removed.length === 0) return UNCHANGED
    this.#byAuthority = next
    this.#endpoints = endpoints
    return { changed: true, added, removed }
  }
}

function makeEndpoint(authority: string, row: EndpointUpdate): Mutable {
  const { address, port, slot, weight, state, zone, serves, hostname } = row
  const endpoint: Mutable = { authority, address, port, slot, weight, state }
  if (zone !== undefined) endpoint.zone = zone
  if (serves !== undefined) endpoint.serves = serves
  if (hostname !== undefined) endpoint.hostname = hostname
  return endpoint
}

/** @returns whether anything differed */
function revise(endpoint: Mutable, row: EndpointUpdate): boolean {
  const { weight, state, zone, serves, hostname } = row
  const same =
    endpoint.weight === weight &&
    endpoint.state === state &&
    endpoint.zone === zone &&
    endpoint.serves === serves &&
    endpoint.hostname === hostname
  if (same) return false
  endpoint.weight = weight
  endpoint.state = state
  if (zone === undefined) delete endpoint.zone
  else endpoint.zone = zone
  if (serves === undefined) delete endpoint.serves
  else endpoint.serves = serves
  if (hostname === undefined) delete endpoint.hostname
  else endpoint.hostname = hostname
  return true
}
