/**
 * Memory of a thread that holds bodies: what has come and nobody takes at the moment, in either direction and whatever
 * protocols are at the two ends. One account for all of it. Where it is over its limit, the source that holds most
 * gives up something first, of it the connection that holds most, of that the largest: so whoever lets many wait takes
 * nothing from others.
 */
import { networkOf } from '../policy/client-network.ts'

/** Who holds bytes of one message, and can be told to let them go. */
export interface Holder {
  /** Gives up all that it holds: its message fails with `MemoryLimit`. */
  relieve(): void
}

/** Whose bytes they are: the connection of a client, as an identity. */
export interface HeldFor {
  readonly address: string
}

/** Of an IPv6 address, what a site has for itself. */
const SITE_BITS = 64
/** Until a thread has one of its own. */
const DEFAULT_LIMIT = 32 * 1024 * 1024

interface Source {
  readonly name: string
  bytes: number
  readonly connections: Set<Connection>
}

interface Connection {
  readonly source: Source
  readonly of: HeldFor
  bytes: number
  readonly holdings: Set<Holding>
}

/** Holds for the gateway itself: its own calls. */
const NOBODY: HeldFor = { address: '' }

export class HeldMemory {
  bytes = 0
  #limit = DEFAULT_LIMIT
  #nextTurn: ((run: () => void) => void) | null = null
  readonly #sources = new Map<string, Source>()
  readonly #connections = new Map<HeldFor, Connection>()
  #scheduled = false

  /**
   * @param limit bytes
   * @param nextTurn runs a function in the next turn of the event loop: no message fails within a call of another
   */
  use(limit: number, nextTurn: (run: () => void) => void): void {
    this.#limit = limit
    this.#nextTurn = nextTurn
  }

  /** So much is held that what can do without holds no more: half of it. */
  get pressed(): boolean {
    return this.bytes * 2 > this.#limit
  }

  /** So much has come within one turn that whoever holds more than others must not wait for its end. */
  get overrun(): boolean {
    return this.bytes > 2 * this.#limit
  }

  /** Bytes that are dropped by themselves under pressure. */
  countDroppable(by: number): void {
    this.bytes += by
  }

  /** @param connection as it was returned before */
  count(holding: Holding, known: Connection | null, of: HeldFor | null, by: number): Connection | null {
    this.bytes += by
    const connection = known ?? this.#connectionOf(of ?? NOBODY)
    connection.bytes += by
    connection.source.bytes += by
    if (holding.bytes === 0) this.leave(connection, holding)
    else if (!holding.relieved) connection.holdings.add(holding)
    if (by > 0 && this.bytes > this.#limit) this.#schedule()
    return holding.bytes > 0 ? connection : null
  }

  /** Whether it belongs to those that hold most. */
  isLarge({ bytes, source }: Connection): boolean {
    return source.bytes * 2 >= this.#limit && bytes * source.connections.size >= source.bytes
  }

  #connectionOf(of: HeldFor): Connection {
    let connection = this.#connections.get(of)
    if (connection !== undefined) return connection
    const name = networkOf(of.address, SITE_BITS)
    let source = this.#sources.get(name)
    if (source === undefined) this.#sources.set(name, (source = { name, bytes: 0, connections: new Set() }))
    connection = { source, of, bytes: 0, holdings: new Set() }
    source.connections.add(connection)
    this.#connections.set(of, connection)
    return connection
  }

  /** It is not asked to give up anything. */
  leave(connection: Connection, holding: Holding): void {
    const { source, of, holdings } = connection
    holdings.delete(holding)
    if (holdings.size > 0) return
    if (this.#connections.get(of) === connection) this.#connections.delete(of)
    source.connections.delete(connection)
    if (source.connections.size === 0 && this.#sources.get(source.name) === source) this.#sources.delete(source.name)
  }

  #schedule(): void {
    if (this.#scheduled || this.#nextTurn === null) return
    this.#scheduled = true
    this.#nextTurn(() => {
      this.#scheduled = false
      this.#relieve()
    })
  }

  #relieve(): void {
    while (this.bytes > this.#limit) {
      const source = largest(this.#sources.values())
      const connection = source && largest(source.connections)
      const holding = connection && largest(connection.holdings)
      if (holding === undefined) return
      holding.relieve()
    }
  }
}

function largest<T extends { readonly bytes: number }>(all: Iterable<T>): T | undefined {
  let found: T | undefined
  for (const one of all) if (found === undefined || one.bytes > found.bytes) found = one
  return found
}

/** What one message holds. */
export class Holding {
  readonly #memory: HeldMemory
  readonly #for: HeldFor | null
  readonly #holder: Holder
  #connection: Connection | null = null
  bytes = 0
  relieved = false

  /** @param of the connection of the client; null = the gateway's own */
  constructor(memory: HeldMemory, of: HeldFor | null, holder: Holder) {
    this.#memory = memory
    this.#for = of
    this.#holder = holder
  }

  /** @param by bytes; negative where they are let go */
  count(by: number): void {
    if (by === 0) return
    this.bytes += by
    this.#connection = this.#memory.count(this, this.#connection, this.#for, by)
  }

  /** Whether no more may be added, even in this turn. */
  get excessive(): boolean {
    return this.#memory.overrun && this.#connection !== null && this.#memory.isLarge(this.#connection)
  }

  /** Once: whatever the holder makes of it. */
  relieve(): void {
    this.relieved = true
    if (this.#connection !== null) this.#memory.leave(this.#connection, this)
    this.#holder.relieve()
  }
}

/** Of the thread. */
export const HELD_BODIES = new HeldMemory()
