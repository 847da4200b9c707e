import { GOLDEN, hashKey, mix } from '../lib/hash.ts'
import type { Endpoint } from './endpoint.ts'

/** Points of an endpoint of average weight or less. */
const POINTS = 8
/** Positions and indexes are sorted as one number of 53 bits: this many for the index. */
const INDEX_RANGE = 2 ** 21

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
    const indexes = new Map(endpoints.map((endpoint, i) => [endpoint, i]))
    const kept = new Uint8Array(endpoints.length)
    /** By the old index: the new one, or -1. */
    const moved = Int32Array.from(this.#endpoints, (endpoint, i) => {
      const index = indexes.get(endpoint)
      if (index === undefined || shares[index] !== this.#shares[i]) return -1
      kept[index] = 1
      return index
    })
    const fresh: number[] = []
    for (let i = 0; i < endpoints.length; i++)
      if (kept[i] === 0)
        for (const position of positionsOf(endpoints[i]!, shares[i]!)) fresh.push(position * INDEX_RANGE + i)
    this.#merge(moved, Float64Array.from(fresh).sort(), shares)
    this.#endpoints = [...endpoints]
    this.#shares = shares
    this.#index()
  }

  /** The first point at or after a position; the ring goes on at 0. Only while there is one. */
  find(position: number): number {
    let at = this.#starts[position >>> this.#shift]!
    while (at < this.#positions.length && this.#positions[at]! < position) at++
    return at === this.#positions.length ? 0 : at
  }

  /** Index of the endpoint that has the point. */
  owner(point: number): number {
    return this.#owners[point]!
  }

  position(point: number): number {
    return this.#positions[point]!
  }

  /** How many points an endpoint has, by its index. */
  share(index: number): number {
    return this.#shares[index]!
  }

  #merge(moved: Int32Array, fresh: Float64Array, shares: Uint32Array): void {
    const size = shares.reduce((sum, count) => sum + count, 0)
    const positions = new Uint32Array(size)
    const owners = new Uint32Array(size)
    let old = 0
    let next = 0
    for (let at = 0; at < size; at++) {
      while (old < this.#owners.length && moved[this.#owners[old]!] === -1) old++
      const added = next < fresh.length ? Math.floor(fresh[next]! / INDEX_RANGE) : Number.POSITIVE_INFINITY
      if (old < this.#owners.length && this.#positions[old]! <= added) {
        positions[at] = this.#positions[old]!
        owners[at] = moved[this.#owners[old++]!]!
      } else {
        positions[at] = added
        owners[at] = fresh[next++]! % INDEX_RANGE
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
  const mean = endpoints.reduce((sum, { weight }) => sum + weight, 0) / Math.max(endpoints.length, 1)
  const base = 2 ** Math.floor(Math.log2(mean))
  return Uint32Array.from(endpoints, ({ weight }) =>
    weight < 2 * base ? POINTS : POINTS * 2 ** Math.floor(Math.log2(weight / base)),
  )
}

function* positionsOf({ authority }: Endpoint, count: number): Generator<number> {
  const hash = hashKey(authority)
  for (let i = 1; i <= count; i++) yield mix(hash + Math.imul(i, GOLDEN))
}
