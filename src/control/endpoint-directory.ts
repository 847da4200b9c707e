/**
 * Every Backend's endpoints as the workers know them: names resolved, forbidden addresses left out, each with its slot in shared
 * memory. A slot is found by identity, so a rebuild, and even a new control thread, gives every endpoint the slot it has.
 */
import type { EndpointFacts } from '../compile/unreachable.ts'
import type { DialGuard } from '../link/dial-guard.ts'
import type { EndpointRow, ToWorker } from '../link/messages.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { SlotReclaimer } from '../shared-memory/epoch.ts'
import { identityDigest } from '../shared-memory/identity-table.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'

/** What the directory asks of the resolver. */
export interface Names {
  addresses(name: string): readonly string[]
  /** Why it cannot be resolved just now. */
  failure(name: string): string | undefined
  /** Nobody needs the name any more. */
  forget(name: string): void
}

export interface DirectoryEvents {
  send(message: ToWorker): void
  /** For the log; said once for each endpoint until it is well again. */
  problem(message: string): void
}

interface Known {
  /** As the manifests say, names unresolved. */
  readonly addresses: readonly EndpointAddress[]
  readonly rows: readonly EndpointRow[]
  /** By which the rows were admitted. */
  readonly guard: DialGuard | undefined
  readonly names: readonly string[]
  /** What of them the dial guard refuses, and why. */
  readonly refused: readonly string[]
}

export class EndpointDirectory {
  readonly #table: EndpointTable
  readonly #reclaimer: SlotReclaimer
  readonly #names: Names
  readonly #events: DirectoryEvents
  /** None yet: nothing may be dialled. */
  #guard: DialGuard | undefined
  readonly #backends = new Map<string, Known>()
  readonly #ownSlots = new Map<string, number>()
  /** Backends by the names they have among their endpoints. */
  readonly #users = new Map<string, Set<string>>()
  /** How many have been left out since the table was last known to have room; the first are told. */
  #leftOut = 0

  constructor(table: EndpointTable, reclaimer: SlotReclaimer, names: Names, events: DirectoryEvents) {
    this.#table = table
    this.#reclaimer = reclaimer
    this.#names = names
    this.#events = events
  }

  /** Endpoints of a Backend as workers have them; empty for one that is not known. */
  rows(backend: string): readonly EndpointRow[] {
    return this.#backends.get(backend)?.rows ?? []
  }

  /** Which of its endpoints may not be dialled, each with the reason. */
  refused(backend: string): readonly string[] {
    return this.#backends.get(backend)?.refused ?? NONE
  }

  /** Which of the names among its endpoints cannot be resolved, each with the reason. */
  unresolved(backend: string): readonly string[] {
    return (this.#backends.get(backend)?.names ?? NONE).flatMap((name) => {
      const failure = this.#names.failure(name)
      return failure === undefined ? [] : [`${name} cannot be resolved (${failure})`]
    })
  }

  /** Every Backend that is known. */
  ids(): Iterable<string> {
    return this.#backends.keys()
  }

  /** What says whether it can be reached at all. */
  facts(backend: string): EndpointFacts {
    const { rows, refused, names } = this.#backends.get(backend) ?? UNKNOWN
    const unanswered = names.filter(
      (name) => this.#names.failure(name) === undefined && this.#names.addresses(name).length === 0,
    )
    return { usable: rows.length, refused, unresolved: this.unresolved(backend), unanswered }
  }

  /** Row of the Backend itself, for its limits; undefined when the table is full. */
  slotOf(backend: string): number | undefined {
    return this.#ownSlots.get(backend)
  }

  /** Slots in use by all that is known, for {@link SlotReclaimer.adopt}. */
  inUse(): Set<number> {
    const slots = new Set(this.#ownSlots.values())
    for (const { rows } of this.#backends.values()) for (const row of rows) slots.add(row.slot)
    return slots
  }

  /** Another guard from now on; sets already sent are brought in line with it. */
  guardBy(guard: DialGuard): void {
    this.#guard = guard
    for (const [id, { addresses }] of this.#backends) this.#update(id, addresses)
  }

  /** The endpoints of a Backend are these. Sends what differs. */
  set(backend: string, addresses: readonly EndpointAddress[]): void {
    if (!this.#ownSlots.has(backend)) {
      const slot = this.#slot(backend, 'backend', 0, backend)
      if (slot !== undefined) this.#ownSlots.set(backend, slot)
    }
    if (this.#backends.get(backend)?.addresses !== addresses) this.#update(backend, addresses)
  }

  /** The Backends that have a name among their endpoints. */
  usersOf(name: string): readonly string[] {
    return [...(this.#users.get(name) ?? [])]
  }

  /** A name resolves to something else now. */
  renamed(name: string): void {
    for (const id of this.usersOf(name)) this.#update(id, this.#backends.get(id)!.addresses)
  }

  /** Nobody needs the Backend any more. Call behind the tables that do not name it. */
  withdraw(id: string): void {
    const known = this.#backends.get(id)
    if (known === undefined) return
    this.#backends.delete(id)
    for (const row of known.rows) this.#reclaimer.retire(row.slot)
    const own = this.#ownSlots.get(id)
    if (own !== undefined) this.#reclaimer.retire(own)
    this.#ownSlots.delete(id)
    this.#useNames(id, known.names, [])
    this.#events.send({ type: 'endpoints', backend: id, endpoints: [] })
  }

  #update(backend: string, addresses: readonly EndpointAddress[]): void {
    const before = this.#backends.get(backend)
    const names: string[] = []
    const rows: EndpointRow[] = []
    const refused: string[] = []
    const taken = new Set<number>()
    const guard = this.#guard
    // To judge an address and to find its slot takes ten times as long as all the rest: of thousands only the new ones are looked up.
    const admitted = new Map<string, number>()
    if (before?.guard === guard)
      for (const { address, port, slot } of before?.rows ?? []) admitted.set(`${address} ${port}`, slot)
    for (const entry of addresses) {
      const literals = entry.hostname === entry.address ? this.#resolve(entry.address, names) : [entry.address]
      for (const address of literals) {
        const slot = admitted.get(`${address} ${entry.port}`) ?? this.#admit(backend, address, entry.port, refused)
        // Two names may lead to one address; it is one endpoint all the same.
        if (slot === undefined || taken.has(slot)) continue
        taken.add(slot)
        rows.push({ ...entry, address, slot })
      }
    }
    this.#backends.set(backend, { addresses, guard, rows, names, refused: refused.length === 0 ? NONE : refused })
    this.#tellRefused(backend, new Set(before?.refused), refused)
    this.#useNames(backend, before?.names ?? [], names)
    for (const row of before?.rows ?? []) if (!taken.has(row.slot)) this.#reclaimer.retire(row.slot)
    if (before === undefined || !sameRows(before.rows, rows))
      this.#events.send({ type: 'endpoints', backend, endpoints: rows })
  }

  #tellRefused(backend: string, told: ReadonlySet<string>, refused: readonly string[]): void {
    const news = refused.filter((refusal) => !told.has(refusal))
    for (const refusal of news.slice(0, TOLD)) this.#events.problem(`Backend ${backend}: ${refusal}; it is not used`)
    if (news.length > TOLD)
      this.#events.problem(`Backend ${backend}: ${news.length - TOLD} more are not used like this`)
  }

  #useNames(backend: string, before: readonly string[], now: readonly string[]): void {
    for (const name of now) {
      const users = this.#users.get(name)
      if (users === undefined) this.#users.set(name, new Set([backend]))
      else users.add(backend)
    }
    for (const name of before) {
      if (now.includes(name)) continue
      const users = this.#users.get(name)
      users?.delete(backend)
      if (users?.size !== 0) continue
      this.#users.delete(name)
      this.#names.forget(name)
    }
  }

  #resolve(name: string, names: string[]): readonly string[] {
    names.push(name)
    return this.#names.addresses(name)
  }

  #admit(backend: string, address: string, port: number, refused: string[]): number | undefined {
    const refusal = this.#guard === undefined ? 'waits for the settings' : this.#guard.refuses(address, port)
    if (refusal === undefined)
      return this.#slot(backend, address, port, `endpoint ${address} port ${port} of Backend ${backend}`)
    refused.push(`${address} port ${port} ${refusal}`)
    return undefined
  }

  #slot(backend: string, address: string, port: number, what: string): number | undefined {
    const slot = this.#table.identities.insertOwned(identityDigest(backend, address, port))
    const { capacity, size } = this.#table.identities
    if (slot !== -1) {
      this.#reclaimer.enlist(slot)
      // A place that becomes free now and then among thousands that are left out is no news.
      if (size < capacity * WELL) this.#leftOut = 0
      return slot
    }
    if (++this.#leftOut > TOLD) return undefined
    this.#events.problem(
      `${what} is left out: the table of endpoints holds ${capacity}, Backends among them, and is full. Divide the Routes over several installations.`,
    )
    return undefined
  }
}

const NONE: readonly never[] = Object.freeze([])
const UNKNOWN: Known = { addresses: NONE, rows: NONE, guard: undefined, names: NONE, refused: NONE }

/** Whoever writes endpoints must not fill the log with them. */
const TOLD = 8
/** Of the table's capacity: below, whoever is left out next is told of again. */
const WELL = 0.9

function sameRows(a: readonly EndpointRow[], b: readonly EndpointRow[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, i) => {
      const other = b[i]!
      return (
        one.slot === other.slot && one.weight === other.weight && one.state === other.state && one.zone === other.zone
      )
    })
  )
}
