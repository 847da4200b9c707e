/**
 * The registrations of all Backends with their leases. Leases are counted by the monotonic clock, so a wall clock that
 * jumps ends none; and time in which this thread did not run counts for nobody, since heartbeats waited as well.
 */
import { type KeptRegistration, MAX_REGISTERED, type RegisteredEndpoint } from '../../api/registration.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { type Rate, TokenBucket } from '../../lib/token-bucket.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

export interface Lease extends RegisteredEndpoint {
  readonly id: string
  readonly state: 'ready' | 'draining'
  /** Monotonic. */
  readonly until: Milliseconds
}

/** Heartbeats of one endpoint: a client that sends more is at fault. */
const HEARTBEATS: Rate = { perSecond: 2, burst: 20 }
/** The shortest time between two looks for expired leases. */
const LOOK: Milliseconds = 50
/** A look that comes later than this means that the thread stood still; so long heartbeats then have to be read. */
const STILL: Milliseconds = 500

export interface LeaseBookEvents {
  /** A lease has ended. */
  expired(backend: string, lease: Lease): void
}

interface Entry {
  lease: Lease
  readonly heartbeats: TokenBucket
}

export class LeaseBook {
  readonly #time: Pick<TimerClock, 'monotonic' | 'after'>
  readonly #events: LeaseBookEvents
  readonly #backends = new Map<string, Map<string, Entry>>()
  /** By Backend: the id at each `address port`. */
  readonly #places = new Map<string, Map<string, string>>()
  readonly #counts = new Map<string, number>()
  #size = 0
  #lookAt: Milliseconds = Number.POSITIVE_INFINITY
  #cancel = (): void => {}

  constructor(time: Pick<TimerClock, 'monotonic' | 'after'>, events: LeaseBookEvents) {
    this.#time = time
    this.#events = events
  }

  get size(): number {
    return this.#size
  }

  get(backend: string, id: string): Lease | undefined {
    return this.#backends.get(backend)?.get(id)?.lease
  }

  *leases(backend: string): Generator<Lease> {
    for (const { lease } of this.#backends.get(backend)?.values() ?? []) yield lease
  }

  backends(): Iterable<string> {
    return this.#backends.keys()
  }

  /** The id at an address of a Backend. */
  holder(backend: string, address: string, port: number): string | undefined {
    return this.#places.get(backend)?.get(`${address} ${port}`)
  }

  /** @returns why there is no room for one more; undefined when there is */
  full(backend: string): string | undefined {
    const namespace = namespaceOf(backend)
    if ((this.#backends.get(backend)?.size ?? 0) >= MAX_REGISTERED.backend)
      return `Backend ${backend} has ${MAX_REGISTERED.backend} registrations, the most that one may have`
    if ((this.#counts.get(namespace) ?? 0) >= MAX_REGISTERED.namespace)
      return `Namespace ${namespace} has ${MAX_REGISTERED.namespace} registrations, the most that one may have`
    if (this.#size >= MAX_REGISTERED.process)
      return `There are ${MAX_REGISTERED.process} registrations, the most that this process keeps`
    return undefined
  }

  /** @returns 0, or the time after which the endpoint may send the next heartbeat */
  admitHeartbeat(backend: string, id: string): Milliseconds {
    return this.#backends.get(backend)?.get(id)?.heartbeats.take() ?? 0
  }

  set(backend: string, lease: Lease): void {
    let entries = this.#backends.get(backend)
    if (entries === undefined) this.#backends.set(backend, (entries = new Map()))
    let places = this.#places.get(backend)
    if (places === undefined) this.#places.set(backend, (places = new Map()))
    const entry = entries.get(lease.id)
    if (entry === undefined) {
      const heartbeats = new TokenBucket(HEARTBEATS, () => this.#time.monotonic())
      entries.set(lease.id, { lease, heartbeats })
      this.#count(backend, 1)
    } else {
      places.delete(placeOf(entry.lease))
      entry.lease = lease
    }
    places.set(placeOf(lease), lease.id)
    this.#lookBefore(lease.until)
  }

  delete(backend: string, id: string): Lease | undefined {
    const entries = this.#backends.get(backend)
    const entry = entries?.get(id)
    if (entries === undefined || entry === undefined) return undefined
    entries.delete(id)
    this.#places.get(backend)?.delete(placeOf(entry.lease))
    if (entries.size === 0) {
      this.#backends.delete(backend)
      this.#places.delete(backend)
    }
    this.#count(backend, -1)
    return entry.lease
  }

  stop(): void {
    this.#cancel()
  }

  #count(backend: string, more: 1 | -1): void {
    const namespace = namespaceOf(backend)
    const count = (this.#counts.get(namespace) ?? 0) + more
    if (count === 0) this.#counts.delete(namespace)
    else this.#counts.set(namespace, count)
    this.#size += more
  }

  #lookBefore(until: Milliseconds): void {
    if (until >= this.#lookAt) return
    this.#cancel()
    const now = this.#time.monotonic()
    this.#lookAt = Math.max(until, now + LOOK)
    this.#cancel = this.#time.after(this.#lookAt - now, () => this.#look())
  }

  #look(): void {
    const now = this.#time.monotonic()
    const late = now - this.#lookAt
    this.#lookAt = Number.POSITIVE_INFINITY
    let next = Number.POSITIVE_INFINITY
    const expired: [string, Lease][] = []
    for (const [backend, entries] of this.#backends)
      for (const entry of entries.values()) {
        if (late > STILL) entry.lease = { ...entry.lease, until: entry.lease.until + late + STILL }
        if (entry.lease.until <= now) expired.push([backend, entry.lease])
        else next = Math.min(next, entry.lease.until)
      }
    for (const [backend, lease] of expired) {
      this.delete(backend, lease.id)
      this.#events.expired(backend, lease)
    }
    if (next !== Number.POSITIVE_INFINITY) this.#lookBefore(next)
  }
}

function placeOf({ address, port }: Pick<Lease, 'address' | 'port'>): string {
  return `${address} ${port}`
}

/**
 * What is left of a kept lease; 0 or less: it has ended. By the uptime within one boot, else by the wall clock, which
 * may have been set: no lease is ever longer than a whole one.
 */
export function remainingOf(
  kept: KeptRegistration,
  now: { readonly boot: string; readonly uptime: Milliseconds; readonly wall: number },
): Milliseconds {
  const sameBoot = kept.boot !== '' && kept.boot === now.boot
  return Math.min(kept.lease, sameBoot ? kept.endUptime - now.uptime : kept.endWall - now.wall)
}
