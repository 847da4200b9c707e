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
  #bySlot = new Map<number, Mutable>()
  #endpoints: readonly Endpoint[] = []
  /** Of endpoints that are not in the set yet. */
  readonly #made = new Map<number, Mutable>()

  /** In the order in which they came. */
  get endpoints(): readonly Endpoint[] {
    return this.#endpoints
  }

  /** Makes the objects of rows that {@link apply} or {@link change} will bring, which is most of their work. */
  prepare(rows: Iterable<EndpointUpdate>): void {
    for (const row of rows) if (!isOf(this.#bySlot.get(row.slot), row)) this.#made.set(row.slot, makeEndpoint(row))
  }

  /**
   * Applies a complete new set; an empty one removes all. Weight, state, zone and host name change in place; another
   * address in the same slot is a different endpoint, and so is the same address in a different slot, because the
   * counts of a slot belong to it. Of two rows with the same slot the first wins.
   */
  apply(rows: Iterable<EndpointUpdate>): EndpointChange {
    const before = this.#bySlot
    const next = new Map<number, Mutable>()
    const added: Endpoint[] = []
    let revised = false
    for (const row of rows) {
      if (next.has(row.slot)) continue
      const known = before.get(row.slot)
      if (known !== undefined && isOf(known, row)) {
        if (revise(known, row)) revised = true
        next.set(row.slot, known)
        continue
      }
      const made = this.#make(row)
      next.set(row.slot, made)
      added.push(made)
    }
    this.#bySlot = next
    return this.#changed(
      added,
      this.#endpoints.filter((endpoint) => next.get(endpoint.slot) !== endpoint),
      revised,
    )
  }

  /** Applies a difference. @param gone slots @param rows new endpoints, and others in the place of those there are */
  change(gone: readonly number[], rows: Iterable<EndpointUpdate>): EndpointChange {
    const bySlot = this.#bySlot
    const added: Endpoint[] = []
    const removed: Endpoint[] = []
    let revised = false
    const remove = (slot: number, known: Endpoint): void => {
      bySlot.delete(slot)
      removed.push(known)
    }
    for (const slot of gone) {
      const known = bySlot.get(slot)
      if (known !== undefined) remove(slot, known)
    }
    for (const row of rows) {
      const known = bySlot.get(row.slot)
      if (known !== undefined && isOf(known, row)) {
        if (revise(known, row)) revised = true
        continue
      }
      if (known !== undefined) remove(row.slot, known)
      const made = this.#make(row)
      bySlot.set(row.slot, made)
      added.push(made)
    }
    return this.#changed(added, removed, revised)
  }

  #make(row: EndpointUpdate): Mutable {
    const made = this.#made.get(row.slot)
    if (!isOf(made, row)) return makeEndpoint(row)
    revise(made, row)
    return made
  }

  #changed(added: readonly Endpoint[], removed: readonly Endpoint[], revised: boolean): EndpointChange {
    this.#made.clear()
    const before = this.#endpoints
    const endpoints = [...this.#bySlot.values()]
    const moved = removed.length > 0 || added.length > 0 || endpoints.some((endpoint, i) => before[i] !== endpoint)
    if (moved) this.#endpoints = endpoints
    return moved || revised ? { changed: true, added, removed } : UNCHANGED
  }
}

function isOf(endpoint: Endpoint | undefined, { address, port }: EndpointUpdate): endpoint is Mutable {
  return endpoint !== undefined && endpoint.address === address && endpoint.port === port
}

function makeEndpoint(row: EndpointUpdate): Mutable {
  const { address, port, slot, weight, state, zone, serves, hostname } = row
  const endpoint: Mutable = { authority: joinHostPort(address, port), address, port, slot, weight, state }
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
