import type { Random } from '../lib/clock.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * Earliest deadline first, as Envoy schedules weights: each endpoint is due every `1 / weight`, and the one that is due
 * first has the turn. Shares are as exact as with credits, to one pick each, and a turn takes O(log n).
 */
export class DeadlineRotation {
  #endpoints: readonly Endpoint[] = []
  /** By endpoint: when its next turn is due, in the time of the rotation. */
  #due = new Float64Array(0)
  /** Weights at the last update: they may change in place. */
  #weights = new Float64Array(0)
  /** Indexes of endpoints; the parent of each is due no later. */
  #heap = new Uint32Array(0)
  /** When the last turn was due. */
  #now = 0

  /** Endpoints that stay keep their place in the rotation, and new ones begin at random places. */
  update(endpoints: readonly Endpoint[], random: Random): void {
    const indexes = new Map(this.#endpoints.map((endpoint, i) => [endpoint, i]))
    const due = Float64Array.from(endpoints, (endpoint) => {
      const index = indexes.get(endpoint)
      // What is left until a turn, as a part of the way between two.
      const left = index === undefined ? random() : Math.max(this.#due[index]! - this.#now, 0) * this.#weights[index]!
      return left / endpoint.weight
    })
    this.#now = 0
    this.#due = due
    this.#weights = Float64Array.from(endpoints, ({ weight }) => weight)
    this.#endpoints = [...endpoints]
    this.#heap = Uint32Array.from(endpoints, (_, i) => i).sort((a, b) => due[a]! - due[b]!)
  }

  /** The endpoint whose turn it is; its next one is put off. Only while there are endpoints. */
  turn(): Endpoint {
    const index = this.#heap[0]!
    this.#now = this.#due[index]!
    this.#due[index] = this.#now + 1 / this.#weights[index]!
    this.#sink()
    return this.#endpoints[index]!
  }

  /** The first endpoint of the heap goes down to where it belongs. */
  #sink(): void {
    const heap = this.#heap
    const due = this.#due
    const index = heap[0]!
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && due[heap[child + 1]!]! < due[heap[child]!]!) child++
      if (due[heap[child]!]! >= due[index]!) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = index
  }
}
