/**
 * Who the client is stands in header fields that a backend believes: claims of a token, the name of a consumer. A field
 * that one rule states for a Backend is taken out of the requests of all other rules to it, or a client would only have
 * to choose another path to be whoever it likes.
 *
 * Backends that have one Service are one here, since they have the same pods. In Strict tenancy the fields of a
 * namespace hold for its own rules and, where the Backend is its own, for everybody's: else whoever may use a Backend
 * of others could name any field and take it away from them.
 */
import type { BackendSpec } from '../api/backend.ts'
import { looseName } from '../message/fields.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import { isIdentityField, isIdentityValue } from '../policy/identity-headers/filter.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { inlineService } from './backend-service.ts'

/** Fields that rules of a namespace state for Backends. */
export interface IdentityUse {
  readonly namespace: string
  /** Ids. */
  readonly backends: readonly string[]
  readonly names: readonly string[]
}

export interface IdentityFields {
  /** All that the policies state. */
  readonly stated: readonly string[]
  /** Those of them that the policies remove from the request themselves. */
  readonly removed: ReadonlySet<string>
}

const NOTHING: IdentityFields = { stated: [], removed: new Set() }
const FIELDS = new WeakMap<PolicySet, IdentityFields>()

/** The fields by which a rule with these policies tells its Backends who the client is. */
export function identityFieldsOf(set: PolicySet, rows: readonly PolicyDefinition[]): IdentityFields {
  let fields = FIELDS.get(set)
  if (fields === undefined) FIELDS.set(set, (fields = findFields(set, rows)))
  return fields
}

function findFields({ policies = {}, requestHeaders }: PolicySet, rows: readonly PolicyDefinition[]): IdentityFields {
  const removed = new Set<string>()
  for (const { key, identityFields } of rows)
    if (identityFields !== undefined && policies[key] !== undefined)
      for (const name of identityFields(policies[key])) removed.add(looseName(name))
  const stated = new Set(removed)
  for (const { name, value } of requestHeaders?.add ?? []) if (isIdentityValue(value)) stated.add(looseName(name))
  for (const { name, value } of requestHeaders?.set ?? []) {
    if (isIdentityValue(value)) stated.add(looseName(name))
    removed.add(looseName(name))
  }
  const names = [...stated].filter(isIdentityField).sort()
  return names.length + removed.size === 0 ? NOTHING : { stated: names, removed }
}

/** What the Backends of a Service, or one that has no Service, are told by anybody. */
interface Receiver {
  readonly backends: Set<string>
  /** Those of them for which rules state something. */
  readonly stating: Set<string>
  /** By namespace, `''` for all; sorted. Filled when it is asked for. */
  readonly names: Map<string, readonly string[]>
}

type Counts = Map<string, number>

/** Lists that are kept to be found again; they are made anew when there were more. */
const MAX_LISTS = 4_096

export class IdentityHeaders {
  /** By id of a Backend that rules use. */
  readonly #receiverOf = new Map<string, string>()
  readonly #receivers = new Map<string, Receiver>()
  /** By id of the Backend and namespace: how many rules state a field. */
  readonly #stated = new Map<string, Map<string, Counts>>()
  readonly #uses = new Map<string, readonly IdentityUse[]>()
  readonly #lists = new Map<string, readonly string[]>()
  /** Receivers of which other fields are stated than their users last heard of. */
  readonly changed = new Set<string>()

  /** @param backend undefined when no rule uses the id any more */
  place(id: string, backend: { readonly service: BackendSpec['service'] | undefined } | undefined): void {
    const before = this.#receiverOf.get(id)
    const now = backend === undefined ? undefined : receiverOf(id, backend.service)
    if (before === now) return
    const had = before !== undefined && this.#leave(id, before)
    if (now === undefined) {
      this.#receiverOf.delete(id)
      return
    }
    this.#receiverOf.set(id, now)
    const receiver = this.#receivers.get(now) ?? { backends: new Set(), stating: new Set(), names: new Map() }
    this.#receivers.set(now, receiver)
    receiver.backends.add(id)
    if (this.#stated.has(id)) receiver.stating.add(id)
    // Of most Backends nothing is stated, and an Ingress alone may name 17,000.
    if (had || receiver.stating.size > 0) this.#change(now)
  }

  /** @returns whether it was told something there */
  #leave(id: string, key: string): boolean {
    const receiver = this.#receivers.get(key)
    if (receiver === undefined) return false
    const had = receiver.stating.size > 0
    receiver.backends.delete(id)
    if (receiver.stating.delete(id)) this.#change(key)
    if (receiver.backends.size === 0) this.#receivers.delete(key)
    return had
  }

  /** Takes what the rules of a hostname state in place of what they did. */
  use(hostname: string, uses: readonly IdentityUse[]): void {
    const before = this.#uses.get(hostname) ?? []
    if (sameUses(before, uses)) return
    for (const use of uses) this.#count(use, 1)
    for (const use of before) this.#count(use, -1)
    if (uses.length === 0) this.#uses.delete(hostname)
    else this.#uses.set(hostname, uses)
  }

  #count({ namespace, backends, names }: IdentityUse, by: 1 | -1): void {
    for (const id of backends) {
      const namespaces = this.#stated.get(id) ?? new Map<string, Counts>()
      const counts = namespaces.get(namespace) ?? new Map<string, number>()
      this.#stated.set(id, namespaces.set(namespace, counts))
      let turned = false
      for (const name of names) {
        const count = (counts.get(name) ?? 0) + by
        if (count === 0) counts.delete(name)
        else counts.set(name, count)
        if (count === 0 || (count === 1 && by === 1)) turned = true
      }
      if (counts.size === 0) namespaces.delete(namespace)
      if (namespaces.size === 0) this.#stated.delete(id)
      const key = this.#receiverOf.get(id) ?? id
      const stating = this.#receivers.get(key)?.stating
      if (namespaces.size === 0) stating?.delete(id)
      else stating?.add(id)
      if (turned) this.#change(key)
    }
  }

  #change(receiver: string): void {
    this.#receivers.get(receiver)?.names.clear()
    this.changed.add(receiver)
  }

  /** The Backends of a receiver, whose users have to be looked at. */
  backendsOf(receiver: string): Iterable<string> {
    return this.#receivers.get(receiver)?.backends ?? []
  }

  /**
   * The fields that a client may not send to any of these Backends; the same list for the same fields, undefined for
   * none.
   *
   * @param namespace of the rule; undefined where that makes no difference
   * @param removed by the policies of the rule anyway
   */
  withheldFrom(
    ids: readonly string[],
    namespace: string | undefined,
    removed: ReadonlySet<string>,
  ): readonly string[] | undefined {
    const names = new Set<string>()
    for (const receiver of new Set(ids.map((id) => this.#receiverOf.get(id) ?? id)))
      for (const name of this.#statedAt(receiver, namespace)) if (!removed.has(name)) names.add(name)
    if (names.size === 0) return undefined
    const list = [...names].sort()
    const key = list.join()
    const known = this.#lists.get(key)
    if (known !== undefined) return known
    if (this.#lists.size >= MAX_LISTS) this.#lists.clear()
    this.#lists.set(key, list)
    return list
  }

  #statedAt(receiver: string, namespace: string | undefined): readonly string[] {
    const place = this.#receivers.get(receiver)
    if (place === undefined) return []
    const known = place.names.get(namespace ?? '')
    if (known !== undefined) return known
    const all = new Set<string>()
    for (const id of place.backends)
      for (const [from, counts] of this.#stated.get(id) ?? [])
        if (namespace === undefined || from === namespace || from === namespaceOf(id))
          for (const name of counts.keys()) all.add(name)
    const names = [...all]
    place.names.set(namespace ?? '', names)
    return names
  }
}

function receiverOf(id: string, service: BackendSpec['service'] | undefined): string {
  const direct = inlineService(id)?.service ?? (service && `${namespaceOf(id)}/${service.name}`)
  return direct === undefined ? id : `Service ${direct}`
}

function sameUses(a: readonly IdentityUse[], b: readonly IdentityUse[]): boolean {
  return a.length === b.length && a.every((use, i) => sameUse(use, b[i]!))
}

function sameUse(a: IdentityUse, b: IdentityUse): boolean {
  return a.namespace === b.namespace && sameList(a.backends, b.backends) && sameList(a.names, b.names)
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((one, i) => one === b[i]))
}
