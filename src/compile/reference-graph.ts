/**
 * Who refers to what, by identity. One graph answers what a source has to read, what is waited for, whom a change
 * concerns and which payloads are delivered; it costs what changes, whatever there is.
 *
 * A Service that a rule names directly is a Backend that nobody wrote, so it stands between the two: users of the
 * Service are Backends only.
 */
import { KINDS, type KindTable } from '../api/kinds.ts'
import type { Reference } from '../api/references.ts'
import { serviceBackendId } from './endpoints.ts'

/** `newest`: as it was read, valid or not. `served`: as it is in force. What either refers to is needed. */
export type UserVersion = 'newest' | 'served'

/** Of served objects, as {@link nodeId}. */
export interface GraphChange {
  /** What is referred to now and was not before, and the other way round. */
  readonly gained: readonly string[]
  readonly lost: readonly string[]
  /** Of which something is wanted that was not before, or not any more. */
  readonly wanted: readonly string[]
}

interface Changes {
  readonly gained: string[]
  readonly lost: string[]
  readonly wanted: string[]
}

interface Node {
  readonly id: string
  readonly kind: string
  readonly key: string
  /** By identity, with the number of references. */
  readonly users: Map<string, number>
  /** What served objects want of it: one reference of each sort, with the number of objects. */
  readonly wants: Map<string, { readonly reference: Reference; count: number }>
  /** References of newest versions. */
  newest: number
}

interface Edge {
  readonly node: Node
  readonly reference: Reference
  readonly want: string
  /** The Backend between the two. */
  readonly through: Node | undefined
}

const NOTHING: GraphChange = { gained: [], lost: [], wanted: [] }

/** Of an object or a target: `Route a/shop`, `Backend service:a/api:80`. */
export function nodeId(kind: string, key: string): string {
  return `${kind} ${key}`
}

/** `namespace/name` of a node. */
export function keyOfNode(id: string): string {
  return id.slice(id.indexOf(' ') + 1)
}

export function kindOfNode(id: string): string {
  return id.slice(0, id.indexOf(' '))
}

export class ReferenceGraph {
  readonly #table: KindTable
  readonly #nodes = new Map<string, Node>()
  readonly #edges: Readonly<Record<UserVersion, Map<string, ReadonlyMap<string, Edge>>>> = {
    newest: new Map(),
    served: new Map(),
  }
  /** Of kinds that are read only when something refers to them. */
  readonly #interest = new Map<string, Set<string>>()
  /** Named since the last look. */
  #added = new Set<string>()
  #moved = false

  /** @param table tests bring tables with kinds of their own */
  constructor(table: KindTable = KINDS) {
    this.#table = table
  }

  /**
   * Replaces what an object refers to; with no references it is forgotten.
   *
   * @param user its {@link nodeId}
   */
  set(user: string, references: readonly Reference[], version: UserVersion = 'served'): GraphChange {
    const all = this.#edges[version]
    const before = all.get(user)
    if (before === undefined && references.length === 0) return NOTHING
    const after = new Map<string, Edge>()
    const changes: Changes = { gained: [], lost: [], wanted: [] }
    for (const reference of references) {
      const key = `${reference.namespace}/${reference.name}`
      const want = `${reference.port ?? ''} ${reference.key ?? ''} ${reference.type ?? ''} ${reference.purpose}`
      const id = `${reference.kind} ${key} ${want}`
      if (after.has(id)) continue
      const known = before?.get(id)
      after.set(id, known ?? this.#link(user, reference, key, want, version, changes))
    }
    for (const [id, edge] of before ?? []) if (!after.has(id)) this.#unlink(user, edge, version, changes)
    if (after.size > 0) all.set(user, after)
    else all.delete(user)
    return changes
  }

  /** Whether a served object refers to it. */
  has(kind: string, key: string): boolean {
    return (this.#nodes.get(nodeId(kind, key))?.users.size ?? 0) > 0
  }

  /** The served objects that refer to it, as {@link nodeId}. */
  users(kind: string, key: string): Iterable<string> {
    return this.#nodes.get(nodeId(kind, key))?.users.keys() ?? []
  }

  /** How many served objects refer to it. */
  count(kind: string, key: string): number {
    return this.#nodes.get(nodeId(kind, key))?.users.size ?? 0
  }

  /** Everything of a kind that a served object refers to. */
  *targets(kind: string): Generator<string> {
    for (const node of this.#nodes.values()) if (node.kind === kind && node.users.size > 0) yield node.key
  }

  /** What served objects want of it: one reference of each sort. */
  *wants(kind: string, key: string): Generator<Reference> {
    for (const { reference } of this.#nodes.get(nodeId(kind, key))?.wants.values() ?? []) yield reference
  }

  /** What a source has to read, as of now: the same object, which changes. */
  get interest(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#interest
  }

  /** Whether the interest is another since {@link takeInterest}. */
  get moved(): boolean {
    return this.#moved
  }

  /**
   * Whether the interest is another since the last call, and what is new in it, as {@link nodeId}; undefined = it is
   * not.
   */
  takeInterest(): ReadonlySet<string> | undefined {
    if (!this.#moved) return undefined
    const added = this.#added
    this.#added = new Set()
    this.#moved = false
    return added
  }

  #link(
    user: string,
    reference: Reference,
    key: string,
    want: string,
    version: UserVersion,
    { gained, wanted }: Changes,
  ): Edge {
    const node = this.#nodeOf(reference.kind, key)
    if (version === 'newest') {
      node.newest++
      this.#settle(node)
      return { node, reference, want, through: undefined }
    }
    const through = this.#between(reference)
    const known = node.wants.get(want)
    if (known !== undefined) known.count++
    else {
      node.wants.set(want, { reference, count: 1 })
      wanted.push(node.id)
    }
    if (through !== undefined) addUser(through, user, gained)
    addUser(node, through?.id ?? user, gained)
    this.#settle(node)
    return { node, reference, want, through }
  }

  #unlink(user: string, { node, want, through }: Edge, version: UserVersion, { lost, wanted }: Changes): void {
    if (version === 'newest') node.newest--
    else {
      const known = node.wants.get(want)!
      if (--known.count === 0) {
        node.wants.delete(want)
        wanted.push(node.id)
      }
      if (through !== undefined) {
        removeUser(through, user, lost)
        this.#settle(through)
      }
      removeUser(node, through?.id ?? user, lost)
    }
    this.#settle(node)
  }

  /** The Backend that stands for a Service which is named directly. */
  #between({ kind, namespace, name, port, purpose }: Reference): Node | undefined {
    if (kind !== 'Service' || purpose !== 'Traffic') return undefined
    return this.#nodeOf('Backend', serviceBackendId(namespace, { name, port: port ?? '' }))
  }

  #nodeOf(kind: string, key: string): Node {
    const id = nodeId(kind, key)
    let node = this.#nodes.get(id)
    if (node === undefined) {
      node = { id, kind, key, users: new Map(), wants: new Map(), newest: 0 }
      this.#nodes.set(id, node)
    }
    return node
  }

  /** Brings the interest in line, and drops what nobody refers to. */
  #settle(node: Node): void {
    const needed = node.users.size > 0 || node.newest > 0
    if (!needed) this.#nodes.delete(node.id)
    const read = this.#table[node.kind]?.read
    if (read === undefined || read === 'always') return
    let keys = this.#interest.get(node.kind)
    if (keys === undefined) this.#interest.set(node.kind, (keys = new Set()))
    if (needed === keys.has(node.key)) return
    this.#moved = true
    if (needed) {
      keys.add(node.key)
      this.#added.add(node.id)
    } else {
      keys.delete(node.key)
      this.#added.delete(node.id)
    }
  }
}

function addUser(node: Node, user: string, gained: string[]): void {
  const count = node.users.get(user)
  if (node.users.size === 0) gained.push(node.id)
  node.users.set(user, (count ?? 0) + 1)
}

function removeUser(node: Node, user: string, lost: string[]): void {
  const count = node.users.get(user)! - 1
  if (count > 0) node.users.set(user, count)
  else node.users.delete(user)
  if (node.users.size === 0) lost.push(node.id)
}
