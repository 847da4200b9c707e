/**
 * Sessions of browsers that are over before their time: what a session holds is in its cookie, so whoever kept a copy
 * is told from the others by this list alone. It forgets nothing that still matters: what has no room any more ends all
 * sessions of the same client that are as old.
 */
import { hash } from 'node:crypto'

export interface SignOut {
  /** See {@link signOutId}. */
  readonly id: string
  /** Sessions that began then or earlier are over; seconds since the epoch, by the clock of the provider. */
  readonly before: number
  /** Until when there may be such sessions: milliseconds since the epoch. */
  readonly until: number
}

/** `session`: one of ours. `sid`: all of a session at the provider. `sub`: all of a user. */
export function signOutId(kind: 'session' | 'sid' | 'sub', value: string): string {
  return hash('sha256', `${kind} ${value}`, 'base64url').slice(0, ID_LENGTH)
}

const ID_LENGTH = 22
/** In the place of one session: all of the client. */
const ALL = ''
/** Of all clients; each takes some 150 bytes. */
const MAX_ENTRIES = 65_536

interface Client {
  readonly owner: string
  /** All sessions that began then or earlier are over. */
  floor: number
  readonly ended: Map<string, SignOut>
}

export class SignOuts {
  readonly #max: number
  readonly #clients = new Map<string, Client>()
  /** By owner. */
  readonly #counts = new Map<string, number>()
  #size = 0

  constructor(max = MAX_ENTRIES) {
    this.#max = max
  }

  get size(): number {
    return this.#size
  }

  /**
   * @param owner the namespace; who has most loses first
   * @param client whose sessions
   */
  add(owner: string, client: string, entry: SignOut): void {
    let known = this.#clients.get(client)
    if (known === undefined) this.#clients.set(client, (known = { owner, floor: -1, ended: new Map() }))
    if (entry.id === ALL) {
      known.floor = Math.max(known.floor, entry.before)
      return
    }
    const before = known.ended.get(entry.id)
    if (before === undefined) this.#count(known.owner, 1)
    // The newest at the end.
    known.ended.delete(entry.id)
    known.ended.set(entry.id, {
      id: entry.id,
      before: Math.max(entry.before, before?.before ?? -1),
      until: Math.max(entry.until, before?.until ?? 0),
    })
    while (this.#size > this.#max) this.#shrink()
  }

  /** @param began seconds since the epoch */
  isOver(client: string, ids: readonly string[], began: number): boolean {
    const known = this.#clients.get(client)
    if (known === undefined) return false
    return began <= known.floor || ids.some((id) => began <= (known.ended.get(id)?.before ?? -1))
  }

  /** Forgets what no session can be any more. @param now milliseconds since the epoch */
  sweep(now: number): void {
    for (const { owner, ended } of this.#clients.values())
      for (const [id, { until }] of ended) {
        if (until > now) continue
        ended.delete(id)
        this.#count(owner, -1)
      }
  }

  /** All there are, for a thread that begins: what has no room any more is told by an entry of nobody. */
  *byClient(): Generator<readonly [string, { readonly owner: string; readonly entries: readonly SignOut[] }]> {
    for (const [client, { owner, floor, ended }] of this.#clients) {
      const entries = [...ended.values()]
      if (floor >= 0) entries.unshift({ id: ALL, before: floor, until: Number.POSITIVE_INFINITY })
      if (entries.length > 0) yield [client, { owner, entries }]
    }
  }

  #count(owner: string, change: 1 | -1): void {
    this.#size += change
    const count = (this.#counts.get(owner) ?? 0) + change
    if (count === 0) this.#counts.delete(owner)
    else this.#counts.set(owner, count)
  }

  #shrink(): void {
    let largest = ''
    for (const [owner, count] of this.#counts) if (count > (this.#counts.get(largest) ?? 0)) largest = owner
    for (const client of this.#clients.values()) {
      const [oldest] = client.ended.values()
      if (client.owner !== largest || oldest === undefined) continue
      client.ended.delete(oldest.id)
      client.floor = Math.max(client.floor, oldest.before)
      this.#count(largest, -1)
      return
    }
  }
}
