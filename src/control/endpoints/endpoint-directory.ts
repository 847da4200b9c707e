/**
 * The endpoints of every Backend as sent to workers: names resolved, refused addresses removed, each with a slot in
 * shared memory. Slots are found by identity, so endpoints keep them across builds and control threads. Namespaces
 * share the slots; an endpoint without a slot is left out and retried when slots are freed.
 */

import type { EndpointFacts } from '../../compile/unreachable.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import type { EndpointTable } from '../../shared-memory/endpoint-table.ts'
import { identityDigest } from '../../shared-memory/identity-table.ts'
import type { SlotReclaimer } from '../../shared-memory/slot-reclaimer.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { EndpointAddress } from '../../snapshot/snapshot.ts'
import { changedSet, wholeSet, withdrawnSet } from '../../thread/endpoint-rows.ts'
import type { EndpointRow, ToWorker } from '../../thread/messages.ts'
import type { DialGuard } from '../../transport/dial-guard.ts'
import { BackendEndpoints, type Place } from './backend-endpoints.ts'
import { EndpointQuota } from './endpoint-quota.ts'
import { LeavingSlots } from './leaving-slots.ts'
import { OwnRows } from './own-rows.ts'

/** The part of the resolver that the directory uses. */
export interface Names {
  /** @param namespace the namespace that uses the name */
  addresses(name: string, namespace: string): readonly string[]
  /** Why it currently cannot be resolved. */
  failure(name: string): string | undefined
  /** What is said of one with more addresses than are used. */
  excess?(name: string): string | undefined
  /** The name is not needed any more. */
  forget(name: string): void
}

export interface DirectoryEvents {
  send(message: ToWorker): void
  /** Backends that were left out have rows of their own: tables do not name these yet. */
  ownRows?(backends: readonly string[]): void
  /** Reported to the log once per endpoint until it recovers. */
  problem(backend: string, message: string): void
}

export class EndpointDirectory {
  readonly #table: EndpointTable
  readonly #reclaimer: SlotReclaimer
  readonly #names: Names
  readonly #events: DirectoryEvents
  /** Undefined before the first settings: nothing may be dialled. */
  #guard: DialGuard | undefined
  readonly #backends = new Map<string, BackendEndpoints>()
  readonly #own: OwnRows
  readonly #leaving = new LeavingSlots()
  /** Backends whose newest set waits for the tables with another protocol. */
  readonly #unsettled = new Set<string>()
  /** Workers may have sets of an earlier control thread in use, by another protocol. */
  #adopting = true
  /** Backends by the names among their endpoints. */
  readonly #users = new Map<string, Set<string>>()
  readonly #shares: EndpointQuota
  /** Backends with endpoints without a slot, by namespace. */
  readonly #short = new FairQueue()
  /** By namespace, how many were reported to be left out since it was last far from its limit. */
  readonly #reported = new Map<string, number>()

  constructor(table: EndpointTable, reclaimer: SlotReclaimer, names: Names, events: DirectoryEvents) {
    this.#table = table
    this.#reclaimer = reclaimer
    this.#names = names
    this.#events = events
    this.#shares = new EndpointQuota(table.identities)
    this.#own = new OwnRows((backend) => this.#slot(backend, { address: 'backend', port: 0 }))
  }

  /** The endpoints of a Backend as sent to workers; empty for an unknown one. */
  rows(backend: string): readonly EndpointRow[] {
    return this.#backends.get(backend)?.rows ?? []
  }

  /** Refused endpoints of a Backend, each with the reason. */
  refused(backend: string): readonly string[] {
    return this.#backends.get(backend)?.refused ?? NONE
  }

  /** Unresolved names of a Backend, each with the reason. */
  unresolved(backend: string): readonly string[] {
    return [...(this.#backends.get(backend)?.names ?? NONE)].flatMap((name) => {
      const failure = this.#names.failure(name)
      return failure === undefined ? [] : [`${name} cannot be resolved (${failure})`]
    })
  }

  /** Its names with more addresses than are used. */
  excess(backend: string): readonly string[] {
    return [...(this.#backends.get(backend)?.names ?? NONE)].flatMap((name) => this.#names.excess?.(name) ?? [])
  }

  /** All known Backends. */
  ids(): Iterable<string> {
    return this.#backends.keys()
  }

  /** Facts that determine whether the Backend can be reached. */
  facts(backend: string): EndpointFacts {
    const known = this.#backends.get(backend)
    if (known === undefined) return { usable: 0, refused: NONE, unresolved: NONE, unanswered: NONE }
    const unanswered = [...known.names].filter(
      (name) => this.#names.failure(name) === undefined && this.#resolve(backend, name).length === 0,
    )
    return { usable: known.size, refused: known.refused, unresolved: this.unresolved(backend), unanswered }
  }

  /** How many of its endpoints are left out, and why; undefined when none is. */
  leftOut(backend: string): string | undefined {
    return this.#backends.get(backend)?.shortage
  }

  /** Whether something of the namespace waits for rows, or hardly any are left. */
  isShort(namespace: string): boolean {
    const { capacity, size } = this.#table.identities
    return size > capacity * FULL || this.#own.isShort(namespace) || this.#short.sizeOf(namespace) > 0
  }

  /** Row of the Backend itself, for its limits; undefined when the table is full. */
  slotOf(backend: string): number | undefined {
    return this.#own.get(backend)
  }

  /** Slots in use by all that is known, for {@link SlotReclaimer.adopt}. */
  inUse(): Set<number> {
    const slots = new Set(this.#own.slots)
    for (const { rows } of this.#backends.values()) for (const row of rows) slots.add(row.slot)
    for (const slot of this.#leaving.all()) slots.add(slot)
    return slots
  }

  /** Replaces the guard and applies it to the sets already sent. */
  guardBy(guard: DialGuard): void {
    this.#guard = guard
    for (const [id, known] of this.#backends) this.#update(id, known, known.places)
  }

  /** Why an address must not be dialled; undefined when it may. */
  refusal(address: string, port: number): string | undefined {
    return this.#guard === undefined ? 'waits for the settings' : this.#guard.refuses(address, port)
  }

  /** Sets the endpoints of a Backend, and sends the difference. @param connects see `connectionKey` */
  set(backend: string, addresses: readonly EndpointAddress[], connects: string): void {
    if (!this.#own.add(backend)) this.#reportLeftOut(backend, `Backend ${backend}`)
    const known = this.#backends.get(backend) ?? new BackendEndpoints(connects)
    if (this.#backends.has(backend) && known.listed === addresses && known.connects === connects) return
    const names = known.names
    const touched = known.list(addresses, (name) => this.#resolve(backend, name))
    this.#useNames(backend, names, known.names)
    this.#update(backend, known, touched, connects)
  }

  /**
   * Unused slots were freed; they are assigned to endpoints that were left out.
   * @returns Backends whose endpoints have changed
   */
  tend(): string[] {
    this.#reclaimer.sweep((slot) => this.#shares.freed(slot))
    const changed: string[] = []
    const full = (namespace: string): boolean => !this.#shares.admits(namespace)
    const found = this.#own.retry(PLACES_AT_ONCE, full)
    if (found.length > 0) this.#events.ownRows?.(found)
    for (let left = PLACES_AT_ONCE; left > 0; ) {
      const next = this.#short.take(1, full)
      if (next === undefined) break
      const known = this.#backends.get(next.key)!
      const before = known.shortage
      const places = new Set(known.leftOut.values().take(left))
      left -= places.size
      this.#update(next.key, known, places)
      if (known.shortage !== before) changed.push(next.key)
    }
    return changed
  }

  /** The Backends with a name among their endpoints. */
  usersOf(name: string): readonly string[] {
    return [...(this.#users.get(name) ?? [])]
  }

  /** The addresses of a name have changed. */
  renamed(name: string): void {
    for (const id of this.usersOf(name)) {
      const known = this.#backends.get(id)!
      this.#update(
        id,
        known,
        known.renamed(name, (one) => this.#resolve(id, one)),
      )
    }
  }

  /**
   * Tables serve everywhere in which Backends are connected to in this way: of those whose newest endpoints are meant
   * for it, the former ones are in use nowhere.
   *
   * @param connects key of a Backend in the tables; undefined when it is in none
   */
  settle(connects: (backend: string) => string | undefined): void {
    this.#adopting = false
    for (const id of new Set([...this.#leaving.backends, ...this.#unsettled])) {
      const served = connects(id)
      if (served !== undefined && served !== this.#backends.get(id)?.connects) continue
      this.#unsettled.delete(id)
      this.#retireLeaving(id)
    }
  }

  /** Removes a Backend. Must be called after tables without it were published. */
  withdraw(id: string): void {
    const known = this.#backends.get(id)
    if (known === undefined) return
    this.#backends.delete(id)
    const namespace = namespaceOf(id)
    for (const row of known.rows) this.#retire(namespace, row.slot)
    this.#retireLeaving(id)
    const own = this.#own.delete(id)
    if (own !== undefined) this.#retire(namespace, own)
    this.#unsettled.delete(id)
    this.#shares.drain(namespace, -known.draining)
    this.#short.delete(namespace, id)
    this.#useNames(id, known.names, NO_NAMES)
    this.#events.send(withdrawnSet(id))
  }

  /** Brings places in line with what is listed, and sends the difference. */
  #update(backend: string, known: BackendEndpoints, touched: Iterable<Place>, connects = known.connects): void {
    const first = !this.#backends.has(backend)
    this.#backends.set(backend, known)
    const namespace = namespaceOf(backend)
    const gone: number[] = []
    const rows: EndpointRow[] = []
    const fresh: Place[] = []
    const refused: string[] = []
    const { draining } = known
    // Removals first, since they free capacity for the others.
    for (const place of touched) {
      const wanted = known.wanted(place)
      if (wanted === undefined || this.#refuses(known, place, refused)) {
        if (place.row !== undefined) gone.push(this.#leave(backend, known.connects === connects, place.row.slot))
        known.take(place)
      } else if (place.row === undefined) fresh.push(place)
      else addTo(rows, known.put(place, wanted, place.row.slot))
    }
    known.guard = this.#guard
    this.#shares.drain(namespace, known.draining - draining)
    this.#admit(backend, known, fresh, rows)
    this.#noteShortage(backend, known)
    if (this.#shares.isWell(namespace)) this.#reported.delete(namespace)
    this.#reportRefused(backend, refused)
    const differs = known.connects !== connects
    if (differs || (first && this.#adopting)) this.#unsettled.add(backend)
    known.connects = connects
    if (first) this.#events.send(wholeSet(backend, rows, connects))
    else if (differs || gone.length > 0 || rows.length > 0)
      this.#events.send(changedSet(backend, { gone, rows }, connects))
  }

  /** Gives slots to places that have none, as far as there are some for the namespace. */
  #admit(backend: string, known: BackendEndpoints, places: readonly Place[], rows: EndpointRow[]): void {
    const { draining } = known
    let reported = 0
    for (const place of places) {
      const slot = this.#slot(backend, place)
      if (slot !== undefined) addTo(rows, known.put(place, known.wanted(place)!, slot))
      else {
        known.leaveOut(place)
        place.digest ??= identityDigest(backend, place.address, place.port)
        if (++reported <= MAX_REPORTED)
          this.#reportLeftOut(backend, `endpoint ${place.address} port ${place.port} of Backend ${backend}`)
      }
    }
    this.#shares.drain(namespaceOf(backend), known.draining - draining)
  }

  #noteShortage(backend: string, known: BackendEndpoints): void {
    const left = known.leftOut.size
    known.shortage =
      left === 0 ? undefined : `${left} of its endpoints are left out, since ${this.#whyLeftOut(backend)}`
    const namespace = namespaceOf(backend)
    if (left === 0) this.#short.delete(namespace, backend)
    else this.#short.add(namespace, backend)
  }

  /** @param connected as in the newest set before: what goes must not be used any more @returns the slot */
  #leave(backend: string, connected: boolean, slot: number): number {
    if (connected && !this.#unsettled.has(backend)) this.#retire(namespaceOf(backend), slot)
    else {
      // Workers have it in the set of their tables, where the slot must not become another endpoint.
      this.#leaving.add(backend, slot)
      if (connected) this.#table.retire(slot)
    }
    return slot
  }

  #resolve(backend: string, name: string): readonly string[] {
    return this.#names.addresses(name, namespaceOf(backend))
  }

  #reportRefused(backend: string, fresh: readonly string[]): void {
    for (const refusal of fresh.slice(0, MAX_REPORTED))
      this.#events.problem(backend, `Backend ${backend}: ${refusal}; it is not used`)
    if (fresh.length > MAX_REPORTED)
      this.#events.problem(backend, `Backend ${backend}: ${fresh.length - MAX_REPORTED} more are not used like this`)
  }

  #useNames(backend: string, before: ReadonlySet<string>, now: ReadonlySet<string>): void {
    for (const name of now) {
      const users = this.#users.get(name)
      if (users === undefined) this.#users.set(name, new Set([backend]))
      else users.add(backend)
    }
    for (const name of before) {
      if (now.has(name)) continue
      const users = this.#users.get(name)
      users?.delete(backend)
      if (users?.size !== 0) continue
      this.#users.delete(name)
      this.#names.forget(name)
    }
  }

  /** Checking an address takes ten times as long as all the rest: what has a row was judged by the guard before. */
  #refuses(known: BackendEndpoints, place: Place, fresh: string[]): boolean {
    if (place.row !== undefined && known.guard === this.#guard) return false
    const { address, port } = place
    const reason = this.refusal(address, port)
    const refusal = reason === undefined ? undefined : `${address} port ${port} ${reason}`
    if (refusal !== undefined && refusal !== place.refusal) fresh.push(refusal)
    known.refuse(place, refusal)
    return refusal !== undefined
  }

  #slot(backend: string, place: Pick<Place, 'address' | 'port' | 'digest'>): number | undefined {
    const { identities } = this.#table
    const namespace = namespaceOf(backend)
    const digest = place.digest ?? identityDigest(backend, place.address, place.port)
    let slot = identities.find(digest)
    // It has been in use all the time.
    if (this.#leaving.keep(backend, slot)) {
      this.#reclaimer.enlist(slot)
      return slot
    }
    if (slot !== -1) this.#shares.adopt(namespace, slot)
    else {
      if (!this.#shares.admits(namespace)) return undefined
      this.#shares.admit(namespace)
      slot = identities.insertExclusive(digest)
    }
    this.#reclaimer.enlist(slot)
    return slot
  }

  #retireLeaving(backend: string): void {
    for (const slot of this.#leaving.take(backend)) this.#retire(namespaceOf(backend), slot)
  }

  #retire(namespace: string, slot: number): void {
    this.#reclaimer.retire(slot)
    this.#shares.leave(namespace, slot)
  }

  #whyLeftOut(backend: string): string {
    const { capacity, size } = this.#table.identities
    const namespace = namespaceOf(backend)
    return size >= capacity
      ? `the table of endpoints holds ${capacity}, Backends among them, and is full`
      : `namespace ${namespace} holds ${this.#shares.held(namespace)} of the ${capacity} places in the table of endpoints, Backends among them, and what is free is kept for others`
  }

  #reportLeftOut(backend: string, what: string): void {
    const namespace = namespaceOf(backend)
    const count = (this.#reported.get(namespace) ?? 0) + 1
    if (count > MAX_REPORTED) return
    this.#reported.set(namespace, count)
    this.#events.problem(
      backend,
      `${what} is left out: ${this.#whyLeftOut(backend)}. Use fewer endpoints, or divide the Routes over several installations.`,
    )
  }
}

const NONE: readonly never[] = Object.freeze([])
const NO_NAMES: ReadonlySet<string> = new Set()

/** Bounds the endpoints reported to the log. */
const MAX_REPORTED = 8
/** Of the table: more than a namespace can have in use without others. */
const FULL = 15 / 16
/** Places without a row that are retried in one turn. */
const PLACES_AT_ONCE = 512

function addTo<T>(list: T[], one: T | undefined): void {
  if (one !== undefined) list.push(one)
}
