import type { Random } from '../lib/clock.ts'
import { originsOf } from '../lib/origins.ts'
import type { Endpoint } from './endpoint.ts'

/** Children of a place of the heap: four deadlines are half a cache line, and 10,000 endpoints seven places deep. */
const CHILDREN = 4

/**
 * Earliest deadline first, as Envoy schedules weights: each endpoint is due every `1 / weight`, and the one that is due
 * first has the turn. Shares are as exact as with credits, to one pick each, and a turn takes O(log n).
 */
export class DeadlineRotation {
  #endpoints: readonly Endpoint[] = []
  /** By endpoint: the time from turn to turn, by the weights at the last update, which may change in place. */
  #periods = new Float64Array(0)
  /** Indexes of endpoints as a heap: the parent of each is due no later. */
  #heap = new Uint32Array(0)
  /** By place in the heap: when the next turn is due, in the time of the rotation. */
  #due = new Float64Array(0)
  /** When the last turn was due. */
  #now = 0

  /** Endpoints that stay keep their place in the rotation, and new ones begin at random places. */
  update(endpoints: readonly Endpoint[], random: Random): void {
    /** What is left until a turn, as a part of the way between two. */
    const left = new Float64Array(this.#heap.length)
    for (let at = 0; at < left.length; at++) {
      const index = this.#heap[at]!
      left[index] = Math.max(this.#due[at]! - this.#now, 0) / this.#periods[index]!
    }
    const origins = originsOf(this.#endpoints, endpoints)
    const count = endpoints.length
    this.#now = 0
    this.#periods = new Float64Array(count)
    this.#heap = new Uint32Array(count)
    this.#due = new Float64Array(count)
    for (let i = 0; i < count; i++) {
      const { weight } = endpoints[i]!
      this.#periods[i] = 1 / weight
      this.#heap[i] = i
      this.#due[i] = (origins[i] === -1 ? random() : left[origins[i]!]!) / weight
    }
    this.#endpoints = [...endpoints]
    for (let at = Math.floor((count - 2) / CHILDREN); at >= 0; at--) this.#sink(at, this.#heap[at]!, this.#due[at]!)
  }

  /** The endpoint whose turn it is; its next one is put off. Only while there are endpoints. */
  turn(): Endpoint {
    const index = this.#heap[0]!
    this.#now = this.#due[0]!
    this.#sink(0, index, this.#now + this.#periods[index]!)
    return this.#endpoints[index]!
  }

  /** An endpoint goes down from a place of the heap to where it belongs. */
  #sink(from: number, index: number, until: number): void {
    const heap = this.#heap
    const due = this.#due
    const size = heap.length
    let at = from
    for (let child = CHILDREN * at + 1; child < size; child = CHILDREN * at + 1) {
      let soonest = due[child]!
      const end = Math.min(child + CHILDREN, size)
      for (let other = child + 1; other < end; other++)
        if (due[other]! < soonest) {
          soonest = due[other]!
          child = other
        }
      if (soonest >= until) break
      heap[at] = heap[child]!
      due[at] = soonest
      at = child
    }
    heap[at] = index
    due[at] = until
  }
}
