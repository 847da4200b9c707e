import type { Random } from '../lib/clock.ts'
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
    const left = new Map<Endpoint, number>()
    for (let at = 0; at < this.#heap.length; at++) {
      const index = this.#heap[at]!
      left.set(this.#endpoints[index]!, Math.max(this.#due[at]! - this.#now, 0) / this.#periods[index]!)
    }
    const due = Float64Array.from(endpoints, (endpoint) => (left.get(endpoint) ?? random()) / endpoint.weight)
    this.#now = 0
    this.#periods = Float64Array.from(endpoints, ({ weight }) => 1 / weight)
    this.#endpoints = [...endpoints]
    // What is sorted is a heap.
    this.#heap = Uint32Array.from(endpoints, (_, i) => i).sort((a, b) => due[a]! - due[b]!)
    this.#due = Float64Array.from(this.#heap, (index) => due[index]!)
  }

  /** The endpoint whose turn it is; its next one is put off. Only while there are endpoints. */
  turn(): Endpoint {
    const index = this.#heap[0]!
    this.#now = this.#due[0]!
    this.#sink(index, this.#now + this.#periods[index]!)
    return this.#endpoints[index]!
  }

  /** The first endpoint of the heap goes down to where it belongs. */
  #sink(index: number, until: number): void {
    const heap = this.#heap
    const due = this.#due
    const size = heap.length
    let at = 0
    for (let child = 1; child < size; child = CHILDREN * at + 1) {
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
