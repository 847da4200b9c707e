import type { Balancer } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'

/**
 * All endpoints of a Backend, for when the part that is preferred has none that is ready. Most never need it, so it is
 * made, and brought up to date, when it is asked.
 */
export class Reserve {
  readonly #make: () => Balancer
  #endpoints: readonly Endpoint[] = []
  #balancer: Balancer | null = null
  #outdated = true

  constructor(make: () => Balancer) {
    this.#make = make
  }

  /** @param endpoints not changed any more */
  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints
    this.#outdated = true
    if (endpoints.length === 0) this.#balancer = null
  }

  pick(key: number, tried: readonly Endpoint[] | null): Endpoint | undefined {
    if (this.#endpoints.length === 0) return undefined
    this.#balancer ??= this.#make()
    if (this.#outdated) this.#balancer.update(this.#endpoints)
    this.#outdated = false
    return this.#balancer.pick(key, tried)
  }
}
