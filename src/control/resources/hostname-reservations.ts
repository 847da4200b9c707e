/**
 * Hostnames that outlive their Routes: in Strict the namespace that had one keeps it for a time, so that nobody takes
 * it over between a deletion and what is created again, be that by being the older one then. Wall-clock time, since it
 * is kept over restarts.
 *
 * A hostname that somebody else asks for as well has its record before anything happens to it: a deletion that nobody
 * saw, and a restore that creates all objects anew in another order, find the owner written down.
 */
import type { SettingsObject } from '../../api/settings.ts'
import type { Owner } from '../../compile/ownership.ts'
import { compareAge, type HostnameReservation } from '../../compile/resource-set.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { parseDuration } from '../../lib/quantity.ts'
import { isHostnamePattern } from '../../pattern/host.ts'
import { FrozenMap, FrozenMapBuilder } from '../../snapshot/frozen-map.ts'

/** Hostnames that a Route or an Ingress of a namespace does not name any more. */
export interface Released {
  readonly namespace: string
  readonly hostnames: readonly string[]
}

/** To be kept for the next process, or no longer (`object` undefined). */
export interface ReservationChange {
  readonly kind: 'Hostname'
  readonly key: string
  readonly object: HostnameReservation | undefined
}

/** Of one namespace; beyond, its own that would end first go. No other namespace pays for it. */
const MAX_OF_NAMESPACE = 256

export class HostnameReservations {
  readonly #wall: () => Milliseconds
  readonly #holds = new FrozenMapBuilder<HostnameReservation>()
  /** Hostnames by namespace, those last released at the end. */
  readonly #ofNamespace = new Map<string, Set<string>>()
  #owners = new FrozenMap<Owner>()
  /** Hostnames of holds that no compile has told of since they were made. */
  readonly #unsettled = new Set<string>()
  #changes = new Map<string, ReservationChange>()
  /** Whether one of the changes is the first record of its hostname, made after the fact. */
  #late = false
  #duration: Milliseconds = 0
  /** Nothing ends before. */
  #next = Number.POSITIVE_INFINITY
  /** What the clock said last. */
  #seen: Milliseconds = 0

  constructor(wall: () => Milliseconds, settings: SettingsObject) {
    this.#wall = wall
    this.useSettings(settings)
  }

  /** What an earlier process, or another replica, has kept. */
  restore(records: Iterable<{ readonly kind: string; readonly key: string; readonly object: unknown }>): void {
    for (const { kind, key, object } of records) {
      const hold = kind === 'Hostname' && this.#duration > 0 ? holdOf(key, object) : undefined
      if (hold !== undefined) this.#put(key, this.#capped(hold))
    }
  }

  /** In Shared, and with a duration of 0, nothing is kept. */
  useSettings({ tenancy, hostnameHold }: SettingsObject): void {
    this.#duration = tenancy === 'Strict' ? parseDuration(hostnameHold) : 0
    for (const [hostname, hold] of [...this.#holds.freeze()])
      if (this.#duration === 0) this.#drop(hostname)
      else if (hold !== this.#capped(hold)) this.#put(hostname, this.#capped(hold))
  }

  /** For no longer than the settings say now. */
  #capped(hold: HostnameReservation): HostnameReservation {
    const latest = this.#wall() + this.#duration
    return hold.until === undefined || hold.until <= latest ? hold : { ...hold, until: latest }
  }

  /**
   * Before anything is compiled without those Routes: what their namespace owned by the last compile is kept for it.
   */
  release(released: Iterable<Released>): void {
    if (this.#duration === 0) return
    const until = this.#wall() + this.#duration
    for (const { namespace, hostnames } of released)
      for (const hostname of hostnames) {
        const owner = this.#owners.get(hostname)
        if (owner?.namespace !== namespace) continue
        this.#late ||= !this.#holds.has(hostname)
        this.#put(hostname, { ...owner.age, namespace, until })
      }
  }

  /**
   * A compile has told who owns what: what its namespace has again is kept without end, or not needed any more, and
   * what somebody else asks for is written down.
   *
   * @param compiled the holds that it knew of. One that was made meanwhile belongs to Routes that this compile still
   *   has.
   */
  settle(owners: FrozenMap<Owner>, compiled: ReadonlyMap<string, HostnameReservation>): void {
    const moved = new Set(this.#unsettled)
    this.#unsettled.clear()
    if (this.#duration > 0)
      for (const { key, after } of this.#owners.changesTo(owners))
        if (this.#holds.has(key) || after?.contested === true) moved.add(key)
    this.#owners = owners
    const until = this.#wall() + this.#duration
    for (const hostname of moved) {
      const hold = this.#holds.get(hostname)
      if (hold === undefined) {
        this.#recordOwner(hostname, owners.get(hostname))
        continue
      }
      if (compiled.get(hostname) !== hold) {
        this.#unsettled.add(hostname)
        continue
      }
      const owner = owners.get(hostname)
      const oldest = owner?.namespace === hold.namespace ? owner.oldest : undefined
      const older = oldest === undefined ? 1 : compareAge(oldest, hold)
      if (oldest === undefined) {
        if (hold.until === undefined) this.#put(hostname, { ...hold, until })
      } else if (older <= 0 && owner?.contested !== true) this.#drop(hostname)
      else if (older < 0) this.#recordOwner(hostname, owner)
      else if (hold.until !== undefined) this.#put(hostname, { ...hold, until: undefined })
    }
  }

  #recordOwner(hostname: string, owner: Owner | undefined): void {
    if (owner?.contested !== true || owner.oldest === undefined) return
    this.#put(hostname, { ...owner.oldest, namespace: owner.namespace, until: undefined })
  }

  /** Lets go of what has been kept long enough. */
  expire(): void {
    const now = this.#wall()
    // A clock that was ahead when they were made, and was set since, must not keep them for as long as it was ahead.
    if (now < this.#seen)
      for (const [hostname, hold] of [...this.#holds.freeze()])
        if (hold !== this.#capped(hold)) this.#put(hostname, this.#capped(hold))
    this.#seen = now
    if (now < this.#next) return
    this.#next = Number.POSITIVE_INFINITY
    for (const [hostname, { until = Number.POSITIVE_INFINITY }] of [...this.#holds.freeze()])
      if (until <= now) this.#drop(hostname)
      else this.#next = Math.min(this.#next, until)
  }

  /** As of now; the same object as long as nothing changes. */
  get holds(): FrozenMap<HostnameReservation> {
    return this.#holds.freeze()
  }

  /**
   * What is to be kept, or no longer, since the last call; and whether one must be on disk before tables without its
   * Route are published.
   */
  changes(): { readonly changes: readonly ReservationChange[]; readonly late: boolean } {
    const told = { changes: [...this.#changes.values()], late: this.#late }
    this.#changes = new Map()
    this.#late = false
    return told
  }

  #put(hostname: string, hold: HostnameReservation): void {
    const before = this.#holds.get(hostname)
    if (before !== undefined && before.namespace !== hold.namespace) this.#drop(hostname)
    let own = this.#ofNamespace.get(hold.namespace)
    if (own === undefined) this.#ofNamespace.set(hold.namespace, (own = new Set()))
    own.delete(hostname)
    own.add(hostname)
    this.#holds.set(hostname, hold)
    this.#unsettled.add(hostname)
    this.#changes.set(hostname, { kind: 'Hostname', key: hostname, object: hold })
    this.#next = Math.min(this.#next, hold.until ?? Number.POSITIVE_INFINITY)
    if (own.size > MAX_OF_NAMESPACE) this.#drop(own.values().next().value!)
  }

  #drop(hostname: string): void {
    const hold = this.#holds.get(hostname)
    if (hold === undefined) return
    this.#holds.delete(hostname)
    const own = this.#ofNamespace.get(hold.namespace)
    own?.delete(hostname)
    if (own?.size === 0) this.#ofNamespace.delete(hold.namespace)
    this.#changes.set(hostname, { kind: 'Hostname', key: hostname, object: undefined })
  }
}

/** A record is read without trust: it has been where others may write. */
function holdOf(hostname: string, object: unknown): HostnameReservation | undefined {
  if (typeof object !== 'object' || object === null || !isHostnamePattern(hostname)) return undefined
  const { namespace, key, created, until } = object as Readonly<Record<string, unknown>>
  if (typeof namespace !== 'string' || typeof key !== 'string' || !key.startsWith(`${namespace}/`)) return undefined
  if (created !== undefined && !Number.isFinite(created)) return undefined
  if (until !== undefined && !Number.isFinite(until)) return undefined
  return { namespace, key, created: created as number | undefined, until: until as number | undefined }
}
