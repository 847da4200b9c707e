/**
 * The endpoints of one Backend: what manifests list, the addresses that this leads to, and the rows that workers have.
 * Two names that lead to one address, or a name and an address, are one place. Changes are found by the identity of
 * what is listed, so that one pod of ten thousand costs a walk over the list and the work for that pod.
 */
import { listDifference } from '../../lib/origins.ts'
import type { EndpointAddress } from '../../snapshot/snapshot.ts'
import type { EndpointRow } from '../../thread/messages.ts'
import type { DialGuard } from '../../transport/dial-guard.ts'
import { isSrvName, parseSrv } from './srv.ts'

const MAX_WEIGHT = 1_000_000
const NO_NAMES: ReadonlySet<string> = new Set()

/** An address and port that is listed, once or more. */
export interface Place {
  readonly address: string
  readonly port: number
  /** All that lead to it; the first that is ready counts. */
  readonly entries: Set<EndpointAddress>
  /** As workers have it. */
  row: EndpointRow | undefined
  /** Why it must not be dialled. */
  refusal: string | undefined
  /** Its identity in the table, where it waits for a row. */
  digest?: bigint
}

/** The addresses of a name, as the resolver has them. */
export type Resolve = (name: string) => readonly string[]

export class BackendEndpoints {
  /** See `connectionKey`. */
  connects: string
  /** The guard that judged its places. */
  guard: DialGuard | undefined
  /** How many have no slot, and why. */
  shortage: string | undefined
  #listed: readonly EndpointAddress[] = []
  /** What listed names lead to. */
  readonly #ofNames = new Map<EndpointAddress, readonly EndpointAddress[]>()
  readonly #places = new Map<string, Place>()
  readonly #rows = new Map<number, EndpointRow>()
  readonly #refused = new Map<Place, string>()
  readonly #leftOut = new Set<Place>()
  #list: readonly EndpointRow[] | undefined = []
  #draining = 0

  constructor(connects: string) {
    this.connects = connects
  }

  get listed(): readonly EndpointAddress[] {
    return this.#listed
  }

  /** As workers have them, in the same order. */
  get rows(): readonly EndpointRow[] {
    this.#list ??= [...this.#rows.values()]
    return this.#list
  }

  get size(): number {
    return this.#rows.size
  }

  /** Rows that are draining. */
  get draining(): number {
    return this.#draining
  }

  get names(): ReadonlySet<string> {
    if (this.#ofNames.size === 0) return NO_NAMES
    return new Set([...this.#ofNames.keys()].map(({ address }) => address))
  }

  /** Each with the reason. */
  get refused(): readonly string[] {
    return [...this.#refused.values()]
  }

  /** Places for which there is no room in the table. */
  get leftOut(): ReadonlySet<Place> {
    return this.#leftOut
  }

  get places(): Iterable<Place> {
    return this.#places.values()
  }

  /** @returns places that are new, not listed any more, or listed otherwise */
  list(listed: readonly EndpointAddress[], resolve: Resolve): Set<Place> {
    const touched = new Set<Place>()
    const { gone, fresh } = listDifference(this.#listed, listed)
    this.#listed = listed
    for (const one of gone)
      if (!isName(one)) this.#release(one, touched)
      else {
        for (const found of this.#ofNames.get(one) ?? []) this.#release(found, touched)
        this.#ofNames.delete(one)
      }
    for (const one of fresh)
      if (isName(one)) this.#lead(one, resolve, touched)
      else this.#claim(one, touched)
    return touched
  }

  /** The addresses of a name are others. @returns as of {@link list} */
  renamed(name: string, resolve: Resolve): Set<Place> {
    const touched = new Set<Place>()
    for (const [one, before] of this.#ofNames) {
      if (one.address !== name) continue
      for (const found of before) this.#release(found, touched)
      this.#lead(one, resolve, touched)
    }
    return touched
  }

  /** What a place is to have; undefined when it is not listed any more. */
  wanted({ entries }: Place): EndpointAddress | undefined {
    let first: EndpointAddress | undefined
    for (const entry of entries) {
      if (entry.state === 'ready') return entry
      first ??= entry
    }
    return first
  }

  refuse(place: Place, refusal: string | undefined): void {
    place.refusal = refusal
    if (refusal === undefined) this.#refused.delete(place)
    else this.#refused.set(place, refusal)
  }

  leaveOut(place: Place): void {
    this.#leftOut.add(place)
  }

  /** @returns the new row; undefined when it is the same for workers as the one before */
  put(place: Place, wanted: EndpointAddress, slot: number): EndpointRow | undefined {
    const before = place.row
    this.#leftOut.delete(place)
    const row = { ...wanted, address: place.address, slot }
    if (before !== undefined && sameRow(before, row)) return undefined
    this.#draining += Number(row.state === 'draining') - Number(before?.state === 'draining')
    place.row = row
    this.#rows.set(slot, row)
    this.#list = undefined
    return row
  }

  /** The place has no row any more. */
  take(place: Place): void {
    const { row } = place
    this.#leftOut.delete(place)
    if (row !== undefined) {
      this.#rows.delete(row.slot)
      this.#list = undefined
      if (row.state === 'draining') this.#draining--
      place.row = undefined
    }
    if (place.entries.size === 0) this.#forget(place)
  }

  #forget(place: Place): void {
    this.#places.delete(keyOf(place))
    this.#refused.delete(place)
    this.#leftOut.delete(place)
  }

  #lead(one: EndpointAddress, resolve: Resolve, touched: Set<Place>): void {
    const found = resolve(one.address).map((text) => targetOf(one, text))
    this.#ofNames.set(one, found)
    for (const target of found) this.#claim(target, touched)
  }

  #claim(entry: EndpointAddress, touched: Set<Place>): void {
    const key = keyOf(entry)
    let place = this.#places.get(key)
    if (place === undefined) {
      const { address, port } = entry
      this.#places.set(key, (place = { address, port, entries: new Set(), row: undefined, refusal: undefined }))
    }
    place.entries.add(entry)
    touched.add(place)
  }

  #release(entry: EndpointAddress, touched: Set<Place>): void {
    const place = this.#places.get(keyOf(entry))
    if (place?.entries.delete(entry) === true) touched.add(place)
  }
}

/** A name is listed with itself as its host name. */
function isName({ address, hostname }: EndpointAddress): boolean {
  return hostname === address
}

/** What a name leads to; the targets of an SRV name have their own ports and weights. */
function targetOf(listed: EndpointAddress, text: string): EndpointAddress {
  if (!isSrvName(listed.address)) return { ...listed, address: text }
  const target = parseSrv(text)
  return { ...listed, ...target, weight: Math.min(MAX_WEIGHT, target.weight * listed.weight) }
}

function keyOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address} ${port}`
}

/** Whether workers would make the same of both. */
function sameRow(one: EndpointRow, other: EndpointRow): boolean {
  return (
    one.slot === other.slot &&
    one.weight === other.weight &&
    one.state === other.state &&
    one.zone === other.zone &&
    one.serves === other.serves &&
    one.hostname === other.hostname
  )
}
