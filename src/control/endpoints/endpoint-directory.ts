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
import { EndpointQuota } from './endpoint-quota.ts'
import { differenceOf } from './endpoint-rows.ts'
import { LeavingSlots } from './leaving-slots.ts'
import { isSrvName, parseSrv } from './srv.ts'

/** The part of the resolver that the directory uses. */
export interface Names {
  /** @param namespace the namespace that uses the name */
  addresses(name: string, namespace: string): readonly string[]
  /** Why it currently cannot be resolved. */
  failure(name: string): string | undefined
  /** The name is not needed any more. */
  forget(name: string): void
}

export interface DirectoryEvents {
  send(message: ToWorker): void
  /** Reported to the log once per endpoint until it recovers. */
  problem(backend: string, message: string): void
}

interface DirectoryEntry {
  /** The endpoints of the manifests, before name resolution. */
  readonly addresses: readonly EndpointAddress[]
  /** How they are connected to, see `connectionKey`. */
  readonly connects: string
  readonly rows: readonly EndpointRow[]
  /** The guard that admitted the rows. */
  readonly guard: DialGuard | undefined
  readonly names: readonly string[]
  /** Endpoints that the dial guard refuses, with the reason. */
  readonly refused: readonly string[]
  /** How many of its endpoints have no slot, and why. */
  readonly leftOut: string | undefined
  /** Number of draining rows. */
  readonly draining: number
}

/** An endpoint that may be dialled. */
interface WantedRow {
  readonly entry: EndpointAddress
  readonly address: string
  /** Its existing slot. */
  readonly slot: number | undefined
}

export class EndpointDirectory {
  readonly #table: EndpointTable
  readonly #reclaimer: SlotReclaimer
  readonly #names: Names
  readonly #events: DirectoryEvents
  /** Undefined before the first settings: nothing may be dialled. */
  #guard: DialGuard | undefined
  readonly #backends = new Map<string, DirectoryEntry>()
  readonly #ownSlots = new Map<string, number>()
  readonly #leaving = new LeavingSlots()
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
    return (this.#backends.get(backend)?.names ?? NONE).flatMap((name) => {
      const failure = this.#names.failure(name)
      return failure === undefined ? [] : [`${name} cannot be resolved (${failure})`]
    })
  }

  /** All known Backends. */
  ids(): Iterable<string> {
    return this.#backends.keys()
  }

  /** Facts that determine whether the Backend can be reached. */
  facts(backend: string): EndpointFacts {
    const { rows, refused, names } = this.#backends.get(backend) ?? UNKNOWN
    const unanswered = names.filter(
      (name) =>
        this.#names.failure(name) === undefined && this.#names.addresses(name, namespaceOf(backend)).length === 0,
    )
    return { usable: rows.length, refused, unresolved: this.unresolved(backend), unanswered }
  }

  /** How many of its endpoints are left out, and why; undefined when none is. */
  leftOut(backend: string): string | undefined {
    return this.#backends.get(backend)?.leftOut
  }

  /** Row of the Backend itself, for its limits; undefined when the table is full. */
  slotOf(backend: string): number | undefined {
    return this.#ownSlots.get(backend)
  }

  /** Slots in use by all that is known, for {@link SlotReclaimer.adopt}. */
  inUse(): Set<number> {
    const slots = new Set(this.#ownSlots.values())
    for (const { rows } of this.#backends.values()) for (const row of rows) slots.add(row.slot)
    for (const slot of this.#leaving.all()) slots.add(slot)
    return slots
  }

  /** Replaces the guard and applies it to the sets already sent. */
  guardBy(guard: DialGuard): void {
    this.#guard = guard
    for (const [id, { addresses, connects }] of this.#backends) this.#update(id, addresses, connects)
  }

  /** Why an address must not be dialled; undefined when it may. */
  refusal(address: string, port: number): string | undefined {
    return this.#guard === undefined ? 'waits for the settings' : this.#guard.refuses(address, port)
  }

  /** Sets the endpoints of a Backend, and sends the difference. @param connects see `connectionKey` */
  set(backend: string, addresses: readonly EndpointAddress[], connects: string): void {
    if (!this.#ownSlots.has(backend)) {
      const slot = this.#slot(backend, 'backend', 0)
      if (slot === undefined) this.#reportLeftOut(backend, `Backend ${backend}`)
      else this.#ownSlots.set(backend, slot)
    }
    const before = this.#backends.get(backend)
    if (before?.addresses !== addresses || before.connects !== connects) this.#update(backend, addresses, connects)
  }

  /**
   * Unused slots were freed; they are assigned to endpoints that were left out.
   * @returns Backends whose endpoints have changed
   */
  tend(): string[] {
    this.#reclaimer.sweep((slot) => this.#shares.freed(slot))
    const changed: string[] = []
    for (let looks = Math.min(this.#short.size, LOOKS); looks > 0; looks--) {
      const { group, key } = this.#short.take()!
      const before = this.#backends.get(key)!
      if (this.#shares.admits(group)) this.#update(key, before.addresses, before.connects)
      else this.#short.add(group, key)
      if (this.#backends.get(key)!.leftOut !== before.leftOut) changed.push(key)
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
      const { addresses, connects } = this.#backends.get(id)!
      this.#update(id, addresses, connects)
    }
  }

  /**
   * Tables serve everywhere in which Backends are connected to in this way: of those whose newest endpoints are meant
   * for it, the former ones are in use nowhere.
   *
   * @param connects key of a Backend in the tables; undefined when it is in none
   */
  settle(connects: (backend: string) => string | undefined): void {
    for (const id of this.#leaving.backends) {
      const served = connects(id)
      if (served === undefined || served === this.#backends.get(id)?.connects) this.#retireLeaving(id)
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
    const own = this.#ownSlots.get(id)
    if (own !== undefined) this.#retire(namespace, own)
    this.#ownSlots.delete(id)
    this.#shares.drain(namespace, -known.draining)
    this.#short.delete(namespace, id)
    this.#useNames(id, known.names, [])
    this.#events.send(withdrawnSet(id))
  }

  #update(backend: string, addresses: readonly EndpointAddress[], connects: string): void {
    const before = this.#backends.get(backend)
    const namespace = namespaceOf(backend)
    const names: string[] = []
    const refused: string[] = []
    const guard = this.#guard
    const wanted = this.#wanted(namespace, addresses, before, names, refused)
    // Removals first, since they free capacity for the others.
    for (const { address, port, slot } of before?.rows ?? []) {
      if (wanted.has(`${address} ${port}`)) continue
      if (before?.connects === connects) this.#retire(namespace, slot)
      else this.#leaving.add(backend, slot)
    }
    let draining = 0
    for (const { entry, slot } of wanted.values()) if (entry.state === 'draining' && slot !== undefined) draining++
    this.#shares.drain(namespace, draining - (before?.draining ?? 0))
    const { rows, leftOut } = this.#rows(backend, wanted)
    this.#backends.set(backend, {
      addresses,
      connects,
      guard,
      rows,
      names,
      refused: refused.length === 0 ? NONE : refused,
      leftOut,
      draining,
    })
    if (leftOut === undefined) this.#short.delete(namespace, backend)
    else this.#short.add(namespace, backend)
    if (this.#shares.isWell(namespace)) this.#reported.delete(namespace)
    this.#reportRefused(backend, new Set(before?.refused), refused)
    this.#useNames(backend, before?.names ?? [], names)
    const difference = differenceOf(before?.rows ?? NONE, rows)
    if (before === undefined) this.#events.send(wholeSet(backend, rows, connects))
    else if (difference !== undefined || before.connects !== connects)
      this.#events.send(changedSet(backend, difference ?? { gone: NONE, rows: NONE }, connects))
  }

  /** Admitted endpoints by address and port: names that resolve to one address are one endpoint. */
  #wanted(
    namespace: string,
    addresses: readonly EndpointAddress[],
    before: DirectoryEntry | undefined,
    names: string[],
    refused: string[],
  ): Map<string, WantedRow> {
    // Checking an address and finding its slot takes ten times as long as all the rest: of thousands only the new ones
    // are looked up.
    const slots = new Map<string, number>()
    for (const { address, port, slot } of before?.rows ?? []) slots.set(`${address} ${port}`, slot)
    const judged = before?.guard === this.#guard
    const wanted = new Map<string, WantedRow>()
    for (const listed of addresses)
      for (const entry of this.#resolved(listed, namespace, names)) {
        const { address, port } = entry
        const place = `${address} ${port}`
        const slot = slots.get(place)
        if (wanted.has(place) || (!(judged && slot !== undefined) && this.#refuses(address, port, refused))) continue
        wanted.set(place, { entry, address, slot })
      }
    return wanted
  }

  #rows(backend: string, wanted: ReadonlyMap<string, WantedRow>): Pick<DirectoryEntry, 'rows' | 'leftOut'> {
    const rows: EndpointRow[] = []
    let left = 0
    for (const { entry, address, slot: had } of wanted.values()) {
      const slot = had ?? this.#slot(backend, address, entry.port)
      if (slot !== undefined) rows.push({ ...entry, address, slot })
      else if (++left <= MAX_REPORTED)
        this.#reportLeftOut(backend, `endpoint ${address} port ${entry.port} of Backend ${backend}`)
    }
    const leftOut = left === 0 ? undefined : `${left} of its endpoints are left out, since ${this.#whyLeftOut(backend)}`
    return { rows, leftOut }
  }

  #reportRefused(backend: string, known: ReadonlySet<string>, refused: readonly string[]): void {
    const fresh = refused.filter((refusal) => !known.has(refusal))
    for (const refusal of fresh.slice(0, MAX_REPORTED))
      this.#events.problem(backend, `Backend ${backend}: ${refusal}; it is not used`)
    if (fresh.length > MAX_REPORTED)
      this.#events.problem(backend, `Backend ${backend}: ${fresh.length - MAX_REPORTED} more are not used like this`)
  }

  #useNames(backend: string, before: readonly string[], now: readonly string[]): void {
    const still = new Set(now)
    for (const name of still) {
      const users = this.#users.get(name)
      if (users === undefined) this.#users.set(name, new Set([backend]))
      else users.add(backend)
    }
    for (const name of before) {
      if (still.has(name)) continue
      const users = this.#users.get(name)
      users?.delete(backend)
      if (users?.size !== 0) continue
      this.#users.delete(name)
      this.#names.forget(name)
    }
  }

  /** What is listed, once for each address of its name; the targets of an SRV name have their own ports and weights. */
  #resolved(listed: EndpointAddress, namespace: string, names: string[]): readonly EndpointAddress[] {
    const { address: name, hostname } = listed
    if (hostname !== name) return [listed]
    names.push(name)
    const found = this.#names.addresses(name, namespace)
    if (!isSrvName(name)) return found.map((address) => ({ ...listed, address }))
    return found.map((text) => {
      const target = parseSrv(text)
      return { ...listed, ...target, weight: Math.min(MAX_WEIGHT, target.weight * listed.weight) }
    })
  }

  #refuses(address: string, port: number, refused: string[]): boolean {
    const refusal = this.refusal(address, port)
    if (refusal === undefined) return false
    refused.push(`${address} port ${port} ${refusal}`)
    return true
  }

  #slot(backend: string, address: string, port: number): number | undefined {
    const { identities } = this.#table
    const namespace = namespaceOf(backend)
    const digest = identityDigest(backend, address, port)
    let slot = identities.find(digest)
    // It has been in use all the time.
    if (this.#leaving.keep(backend, slot)) return slot
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

const MAX_WEIGHT = 1_000_000
const NONE: readonly never[] = Object.freeze([])
const UNKNOWN: Pick<DirectoryEntry, 'rows' | 'names' | 'refused'> = { rows: NONE, names: NONE, refused: NONE }

/** Bounds the endpoints reported to the log. */
const MAX_REPORTED = 8
/** Backends retried per turn: each may have thousands of endpoints. */
const LOOKS = 4
