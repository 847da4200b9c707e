/**
 * DNS names of the load balancers in front of this gateway and of the API server. Such a name answers with some of its
 * addresses now and with others a minute later, so each address stays reserved for a while after the last answer that
 * had it.
 */
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { type Lookup, NameResolver } from './dns.ts'

/** From when an address was last among the answers. Load balancers of clouds change theirs within minutes. */
const KEPT: Milliseconds = 30 * 60_000
/** Addresses of one name that are kept, the newest. */
const MOST = 256

export interface ReservedNamesOptions {
  /** A name leads to what it did not before. */
  readonly changed: () => void
  readonly random: Random
  readonly time: TimerClock
  readonly lookup?: Lookup
  readonly interval?: Milliseconds
}

export class ReservedNames {
  readonly #resolver: NameResolver
  readonly #time: TimerClock
  /** With when each was last among the answers. */
  readonly #seen = new Map<string, Map<string, Milliseconds>>()
  readonly #last = new Map<string, readonly string[]>()

  constructor({ changed, random, time, lookup, interval }: ReservedNamesOptions) {
    this.#time = time
    const events = { changed: () => changed(), health: () => {} }
    this.#resolver = new NameResolver({
      events,
      random,
      time,
      ...(lookup && { lookup }),
      ...(interval !== undefined && { interval }),
    })
  }

  /** See `ReservedDestinationNames`. */
  addresses(name: string): readonly string[] {
    const seen = this.#seen.get(name) ?? new Map<string, Milliseconds>()
    this.#seen.set(name, seen)
    const now = this.#time.monotonic()
    // A resolver of its own: names of tenants do not wait in it.
    for (const address of this.#resolver.addresses(name, '')) {
      seen.delete(address)
      seen.set(address, now)
    }
    for (const [address, at] of seen) if (now - at > KEPT || seen.size > MOST) seen.delete(address)
    const last = this.#last.get(name)
    const addresses = [...seen.keys()].sort()
    if (last !== undefined && last.join() === addresses.join()) return last
    this.#last.set(name, addresses)
    return addresses
  }

  stop(): void {
    this.#resolver.stop()
  }
}
