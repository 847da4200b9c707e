/**
 * Names under which a load balancer in front of us, or the API server, is reached. Such a name answers with some of its
 * addresses now and others a minute later, so what it has led to of late stays closed to dialling for a while.
 */
import type { Milliseconds, Random } from '../../lib/clock.ts'
import { type Lookup, NameResolver } from './dns.ts'

/** From when an address was last among the answers. Load balancers of clouds change theirs within minutes. */
const KEPT: Milliseconds = 30 * 60_000
/** Addresses of one name that are kept, the newest. */
const MOST = 256

export interface FrontNamesOptions {
  /** A name leads to what it did not before. */
  readonly changed: () => void
  readonly random: Random
  /** Monotonic. */
  readonly now: () => Milliseconds
  readonly lookup?: Lookup
  readonly interval?: Milliseconds
}

export class FrontNames {
  readonly #resolver: NameResolver
  readonly #now: () => Milliseconds
  /** With when each was last among the answers. */
  readonly #seen = new Map<string, Map<string, Milliseconds>>()
  readonly #told = new Map<string, readonly string[]>()

  constructor({ changed, random, now, lookup, interval }: FrontNamesOptions) {
    this.#now = now
    const events = { changed: () => changed(), health: () => {} }
    this.#resolver = new NameResolver(events, random, lookup, interval)
  }

  /** See `FrontResolver`. */
  addresses(name: string): readonly string[] {
    const seen = this.#seen.get(name) ?? new Map<string, Milliseconds>()
    this.#seen.set(name, seen)
    const now = this.#now()
    // Its own resolver: nobody else's names wait in it.
    for (const address of this.#resolver.addresses(name, '')) {
      seen.delete(address)
      seen.set(address, now)
    }
    for (const [address, at] of seen) if (now - at > KEPT || seen.size > MOST) seen.delete(address)
    const told = this.#told.get(name)
    const addresses = [...seen.keys()].sort()
    if (told !== undefined && told.join() === addresses.join()) return told
    this.#told.set(name, addresses)
    return addresses
  }

  stop(): void {
    this.#resolver.stop()
  }
}
