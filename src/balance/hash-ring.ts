import { GOLDEN, hashKey, mix } from '../lib/hash.ts'
import { destinationsOf, originsOf } from '../lib/origins.ts'
import type { Endpoint } from './endpoint.ts'
import { radixSort } from './radix-sort.ts'

/** Points of an endpoint of average weight or less. */
const POINTS = 8

/**
 * Points of endpoints on a ring of 2³² positions. A change takes out the points of what has left and merges those of
 * what is new; all others stay where they are.
 */
export class HashRing {
  #endpoints: readonly Endpoint[] = []
  /** Points of each endpoint. */
  #shares = new Uint32Array(0)
  /** In ascending order. */
  #positions = new Uint32Array(0)
  /** Index of the endpoint of each point. */
  #owners = new Uint32Array(0)
  /** The first point at or after the beginning of each part of the ring: a look-up begins there. */
  #starts = new Uint32Array(1)
  #shift = 31

  /** Points. */
  get size(): number {
    return this.#positions.length
  }

  update(endpoints: readonly Endpoint[]): void {
    const shares = pointsOf(endpoints)
    const origins = originsOf(this.#endpoints, endpoints)
    // One with more points than before, or fewer, is as good as new.
    for (let i = 0; i < origins.length; i++) if (shares[i] !== this.#shares[origins[i]!]) origins[i] = -1
    /** By the old index: the new one, or -1. */
    const moved = destinationsOf(origins, this.#endpoints.length)
    this.#merge(moved, freshPoints(endpoints, origins, shares), sum(shares))
    this.#endpoints = [...endpoints]
    this.#shares = shares
    this.#index()
  }

  /**
   * Finds the first point at or after each place; the ring goes on at 0. Only while there is a point. In passes, of
   * which each reads what the one before has found out: memory is waited for once a pass and not once a place.
   *
   * @param places on return how far it is to their points
   * @param owners receives the index of the endpoint of each point
   */
  find(places: Uint32Array, owners: Uint32Array): void {
    const count = places.length
    const positions = this.#positions
    const size = positions.length
    const starts = this.#starts
    const shift = this.#shift
    for (let i = 0; i < count; i++) owners[i] = starts[places[i]! >>> shift]!
    for (let i = 0; i < count; i++) {
      const place = places[i]!
      let at = owners[i]!
      while (at < size && positions[at]! < place) at++
      if (at === size) at = 0
      owners[i] = at
      places[i] = positions[at]! - place
    }
    const owned = this.#owners
    for (let i = 0; i < count; i++) owners[i] = owned[owners[i]!]!
  }

  /** How many points an endpoint has, by its index. */
  share(index: number): number {
    return this.#shares[index]!
  }

  #merge(moved: Int32Array, fresh: Points, size: number): void {
    const added = fresh.positions
    const positions = new Uint32Array(size)
    const owners = new Uint32Array(size)
    let old = 0
    let next = 0
    for (let at = 0; at < size; at++) {
      while (old < this.#owners.length && moved[this.#owners[old]!] === -1) old++
      const isOld = old < this.#owners.length && (next === added.length || this.#positions[old]! <= added[next]!)
      if (isOld) {
        positions[at] = this.#positions[old]!
        owners[at] = moved[this.#owners[old++]!]!
      } else {
        positions[at] = added[next]!
        owners[at] = fresh.owners[next++]!
      }
    }
    this.#positions = positions
    this.#owners = owners
  }

  /** About one point for each part of the ring. */
  #index(): void {
    const bits = Math.max(Math.ceil(Math.log2(Math.max(this.size, 2))), 1)
    this.#shift = 32 - bits
    this.#starts = new Uint32Array(2 ** bits)
    let at = 0
    for (let part = 0; part < this.#starts.length; part++) {
      while (at < this.size && this.#positions[at]! >>> this.#shift < part) at++
      this.#starts[part] = at
    }
  }
}

/**
 * Points in proportion to powers of two of the weights, against a power of two too: so a change of one weight seldom
 * changes the points of others. At most 24 for each endpoint on average.
 */
function pointsOf(endpoints: readonly Endpoint[]): Uint32Array<ArrayBuffer> {
  let total = 0
  for (const { weight } of endpoints) total += weight
  const base = 2 ** Math.floor(Math.log2(total / Math.max(endpoints.length, 1)))
  const shares = new Uint32Array(endpoints.length).fill(POINTS)
  for (let i = 0; i < shares.length; i++) {
    const { weight } = endpoints[i]!
    if (weight >= 2 * base) shares[i] = POINTS * 2 ** Math.floor(Math.log2(weight / base))
  }
  return shares
}

function sum(counts: Uint32Array): number {
  let total = 0
  for (let i = 0; i < counts.length; i++) total += counts[i]!
  return total
}

interface Points {
  readonly positions: Uint32Array<ArrayBuffer>
  readonly owners: Uint32Array<ArrayBuffer>
}

/** The points of endpoints without an origin, in ascending order. */
function freshPoints(endpoints: readonly Endpoint[], origins: Int32Array, shares: Uint32Array): Points {
  let size = 0
  for (let i = 0; i < origins.length; i++) if (origins[i] === -1) size += shares[i]!
  const positions = new Uint32Array(size)
  const owners = new Uint32Array(size)
  let at = 0
  for (let i = 0; i < origins.length; i++) {
    if (origins[i] !== -1) continue
    const hash = hashKey(endpoints[i]!.authority)
    for (let point = 1; point <= shares[i]!; point++, at++) {
      positions[at] = mix(hash + Math.imul(point, GOLDEN))
      owners[at] = i
    }
  }
  radixSort(positions, owners)
  return { positions, owners }
}
