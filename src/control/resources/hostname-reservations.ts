/**
 * Hostnames that outlive their Routes: in Strict the namespace that had one keeps it for a time, so that no other takes
 * it over between a deletion and a new creation, although it would be the older one then. Wall-clock time, since
 * reservations survive restarts.
 *
 * A hostname that two namespaces ask for has its record before anything happens to it: after a deletion that was not
 * seen, and after a restore that creates all objects anew in another order, the owner is known.
 */
import type { SettingsObject } from '../../api/settings.ts'
import type { HostnameOwner } from '../../compile/ownership.ts'
import { compareAge, type HostnameReservation } from '../../compile/resource-set.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { parseDuration } from '../../lib/quantity.ts'
import { isHostnamePattern } from '../../pattern/host.ts'
import { FrozenMap, FrozenMapBuilder } from '../../snapshot/frozen-map.ts'

/** Hostnames that a Route or an Ingress of a namespace does not name any more. */
export interface ReleasedHostnames {
  readonly namespace: string
  readonly hostnames: readonly string[]
}

/** A record to store for the next process, or to delete (`object` undefined). */
export interface ReservationChange {
  readonly kind: 'Hostname'
  readonly key: string
  readonly object: HostnameReservation | undefined
}

/** Reservations per namespace; beyond, the namespace's own that expire first are dropped. */
const MAX_OF_NAMESPACE = 256

export class HostnameReservations {
  readonly #wall: () => Milliseconds
  readonly #reservations = new FrozenMapBuilder<HostnameReservation>()
  /** Hostnames by namespace, in order of release. */
  readonly #ofNamespace = new Map<string, Set<string>>()
  #owners = new FrozenMap<HostnameOwner>()
  /** Hostnames of reservations that no compile has taken into account since they were made. */
  readonly #unsettled = new Set<string>()
  #changes = new Map<string, ReservationChange>()
  /** Whether one of the changes is the first record of its hostname, made after the fact. */
  #late = false
  #duration: Milliseconds = 0
  /** The earliest expiry. */
  #next = Number.POSITIVE_INFINITY
  /** The last reading of the clock. */
  #seen: Milliseconds = 0

  constructor(wall: () => Milliseconds, settings: SettingsObject) {
    this.#wall = wall
    this.useSettings(settings)
  }

  /** Restores the records of an earlier process or another replica. */
  restore(records: Iterable<{ readonly kind: string; readonly key: string; readonly object: unknown }>): void {
    for (const { kind, key, object } of records) {
      const reservation = kind === 'Hostname' && this.#duration > 0 ? reservationOf(key, object) : undefined
      if (reservation !== undefined) this.#put(key, this.#capped(reservation))
    }
  }

  /** Shared tenancy, or a duration of 0, disables reservations. */
  useSettings({ tenancy, hostnameHold }: SettingsObject): void {
    this.#duration = tenancy === 'Strict' ? parseDuration(hostnameHold) : 0
    for (const [hostname, reservation] of [...this.#reservations.freeze()])
      if (this.#duration === 0) this.#drop(hostname)
      else if (reservation !== this.#capped(reservation)) this.#put(hostname, this.#capped(reservation))
  }

  /** Caps the expiry by the current settings. */
  #capped(reservation: HostnameReservation): HostnameReservation {
    const latest = this.#wall() + this.#duration
    return reservation.until === undefined || reservation.until <= latest
      ? reservation
      : { ...reservation, until: latest }
  }

  /**
   * Before anything is compiled without those Routes: what their namespace owned by the last compile is kept for it.
   */
  release(released: Iterable<ReleasedHostnames>): void {
    if (this.#duration === 0) return
    const until = this.#wall() + this.#duration
    for (const { namespace, hostnames } of released)
      for (const hostname of hostnames) {
        const owner = this.#owners.get(hostname)
        if (owner?.namespace !== namespace) continue
        this.#late ||= !this.#reservations.has(hostname)
        this.#put(hostname, { ...owner.age, namespace, until })
      }
  }

  /**
   * A compile has determined the owners: a hostname that its namespace has again is kept without end, or not needed any
   * more, and one that another namespace asks for as well is recorded.
   *
   * @param compiled the reservations that it took into account. One that was made meanwhile belongs to Routes that this
   *   compile still has.
   */
  settle(owners: FrozenMap<HostnameOwner>, compiled: ReadonlyMap<string, HostnameReservation>): void {
    const moved = new Set(this.#unsettled)
    this.#unsettled.clear()
    if (this.#duration > 0)
      for (const { key, after } of this.#owners.changesTo(owners))
        if (this.#reservations.has(key) || after?.contested === true) moved.add(key)
    this.#owners = owners
    const until = this.#wall() + this.#duration
    for (const hostname of moved) {
      const reservation = this.#reservations.get(hostname)
      if (reservation === undefined) {
        this.#recordOwner(hostname, owners.get(hostname))
        continue
      }
      if (compiled.get(hostname) !== reservation) {
        this.#unsettled.add(hostname)
        continue
      }
      const owner = owners.get(hostname)
      const oldest = owner?.namespace === reservation.namespace ? owner.oldestRoute : undefined
      const older = oldest === undefined ? 1 : compareAge(oldest, reservation)
      if (oldest === undefined) {
        if (reservation.until === undefined) this.#put(hostname, { ...reservation, until })
      } else if (older <= 0 && owner?.contested !== true) this.#drop(hostname)
      else if (older < 0) this.#recordOwner(hostname, owner)
      else if (reservation.until !== undefined) this.#put(hostname, { ...reservation, until: undefined })
    }
  }

  #recordOwner(hostname: string, owner: HostnameOwner | undefined): void {
    if (owner?.contested !== true || owner.oldestRoute === undefined) return
    this.#put(hostname, { ...owner.oldestRoute, namespace: owner.namespace, until: undefined })
  }

  /** Removes expired reservations. */
  expire(): void {
    const now = this.#wall()
    // A clock that was ahead when they were made, and was set since, must not keep them for as long as it was ahead.
    if (now < this.#seen)
      for (const [hostname, reservation] of [...this.#reservations.freeze()])
        if (reservation !== this.#capped(reservation)) this.#put(hostname, this.#capped(reservation))
    this.#seen = now
    if (now < this.#next) return
    this.#next = Number.POSITIVE_INFINITY
    for (const [hostname, { until = Number.POSITIVE_INFINITY }] of [...this.#reservations.freeze()])
      if (until <= now) this.#drop(hostname)
      else this.#next = Math.min(this.#next, until)
  }

  /** The current reservations; the same object while nothing changes. */
  get current(): FrozenMap<HostnameReservation> {
    return this.#reservations.freeze()
  }

  /**
   * What is to be kept, or no longer, since the last call; and whether one must be on disk before tables without its
   * Route are published.
   */
  changes(): { readonly changes: readonly ReservationChange[]; readonly late: boolean } {
    const result = { changes: [...this.#changes.values()], late: this.#late }
    this.#changes = new Map()
    this.#late = false
    return result
  }

  #put(hostname: string, reservation: HostnameReservation): void {
    const before = this.#reservations.get(hostname)
    if (before !== undefined && before.namespace !== reservation.namespace) this.#drop(hostname)
    let own = this.#ofNamespace.get(reservation.namespace)
    if (own === undefined) this.#ofNamespace.set(reservation.namespace, (own = new Set()))
    own.delete(hostname)
    own.add(hostname)
    this.#reservations.set(hostname, reservation)
    this.#unsettled.add(hostname)
    this.#changes.set(hostname, { kind: 'Hostname', key: hostname, object: reservation })
    this.#next = Math.min(this.#next, reservation.until ?? Number.POSITIVE_INFINITY)
    if (own.size > MAX_OF_NAMESPACE) this.#drop(own.values().next().value!)
  }

  #drop(hostname: string): void {
    const reservation = this.#reservations.get(hostname)
    if (reservation === undefined) return
    this.#reservations.delete(hostname)
    const own = this.#ofNamespace.get(reservation.namespace)
    own?.delete(hostname)
    if (own?.size === 0) this.#ofNamespace.delete(reservation.namespace)
    this.#changes.set(hostname, { kind: 'Hostname', key: hostname, object: undefined })
  }
}

/** Validates a record, which others may have written. */
function reservationOf(hostname: string, object: unknown): HostnameReservation | undefined {
  if (typeof object !== 'object' || object === null || !isHostnamePattern(hostname)) return undefined
  const { namespace, key, created, until } = object as Readonly<Record<string, unknown>>
  if (typeof namespace !== 'string' || typeof key !== 'string' || !key.startsWith(`${namespace}/`)) return undefined
  if (created !== undefined && !Number.isFinite(created)) return undefined
  if (until !== undefined && !Number.isFinite(until)) return undefined
  return { namespace, key, created: created as number | undefined, until: until as number | undefined }
}
