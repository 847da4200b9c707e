/**
 * The graph of references between objects, by identity. It determines what a source reads, what readiness waits for,
 * which objects a change affects and which payloads are delivered. Updates cost as much as what changes.
 *
 * A Service that a rule names directly is represented by an implicit Backend, so users of a Service are Backends only.
 */
import { KINDS, type KindTable } from '../api/kinds.ts'
import type { Reference } from '../api/references.ts'
import { serviceBackendId } from './backend-service.ts'

/** `newest`: the version last read, valid or not. `served`: the version in force. References of both are needed. */
export type UserVersion = 'newest' | 'served'

/** Changes of the references of served objects, as {@link nodeId}. */
export interface GraphChange {
  /** Targets that are newly referenced, and targets that are no longer referenced. */
  readonly gained: readonly string[]
  readonly lost: readonly string[]
  /** Targets whose requirements have changed. */
  readonly requirementsChanged: readonly string[]
}

interface Changes {
  readonly gained: string[]
  readonly lost: string[]
  readonly requirementsChanged: string[]
}

interface GraphNode {
  readonly id: string
  readonly kind: string
  readonly key: string
  /** Users by identity, with the number of their references. */
  readonly users: Map<string, number>
  /** Distinct references of served objects to it, with the number of objects. */
  readonly requirements: Map<string, { readonly reference: Reference; count: number }>
  /** References of newest versions. */
  newest: number
}

interface GraphEdge {
  readonly node: GraphNode
  readonly reference: Reference
  readonly requirement: string
  /** The implicit Backend between user and Service. */
  readonly via: GraphNode | undefined
}

const NOTHING: GraphChange = { gained: [], lost: [], requirementsChanged: [] }

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
  readonly #nodes = new Map<string, GraphNode>()
  readonly #edges: Readonly<Record<UserVersion, Map<string, ReadonlyMap<string, GraphEdge>>>> = {
    newest: new Map(),
    served: new Map(),
  }
  /** Of kinds that are read only when something refers to them. */
  readonly #interest = new Map<string, Set<string>>()
  /** Added to the interest since the last {@link takeInterest}. */
  #added = new Set<string>()
  #moved = false

  /** @param table tests bring tables with kinds of their own */
  constructor(table: KindTable = KINDS) {
    this.#table = table
  }

  /**
   * Replaces the references of an object; without references it is removed.
   *
   * @param user its {@link nodeId}
   */
  set(user: string, references: readonly Reference[], version: UserVersion = 'served'): GraphChange {
    const all = this.#edges[version]
    const before = all.get(user)
    if (before === undefined && references.length === 0) return NOTHING
    const after = new Map<string, GraphEdge>()
    const changes: Changes = { gained: [], lost: [], requirementsChanged: [] }
    for (const reference of references) {
      const key = `${reference.namespace}/${reference.name}`
      const { port = '', type = '', sharedWith = '', purpose } = reference
      const requirement = `${port} ${reference.key ?? ''} ${type} ${sharedWith} ${purpose}`
      const id = `${reference.kind} ${key} ${requirement}`
      if (after.has(id)) continue
      const known = before?.get(id)
      after.set(id, known ?? this.#link(user, reference, key, requirement, version, changes))
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

  /** Distinct references of served objects to it. */
  *requirements(kind: string, key: string): Generator<Reference> {
    for (const { reference } of this.#nodes.get(nodeId(kind, key))?.requirements.values() ?? []) yield reference
  }

  /** The objects that a source has to read: a live view. */
  get interest(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#interest
  }

  /** Whether the interest has changed since {@link takeInterest}. */
  get interestChanged(): boolean {
    return this.#moved
  }

  /**
   * The additions to the interest since the last call, as {@link nodeId}; undefined = the interest has not changed.
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
    requirement: string,
    version: UserVersion,
    { gained, requirementsChanged }: Changes,
  ): GraphEdge {
    const node = this.#nodeOf(reference.kind, key)
    if (version === 'newest') {
      node.newest++
      this.#prune(node)
      return { node, reference, requirement, via: undefined }
    }
    const via = this.#inlineBackend(reference)
    const known = node.requirements.get(requirement)
    if (known !== undefined) known.count++
    else {
      node.requirements.set(requirement, { reference, count: 1 })
      requirementsChanged.push(node.id)
    }
    if (via !== undefined) addUser(via, user, gained)
    addUser(node, via?.id ?? user, gained)
    this.#prune(node)
    return { node, reference, requirement, via }
  }

  #unlink(
    user: string,
    { node, requirement, via }: GraphEdge,
    version: UserVersion,
    { lost, requirementsChanged }: Changes,
  ): void {
    if (version === 'newest') node.newest--
    else {
      const known = node.requirements.get(requirement)!
      if (--known.count === 0) {
        node.requirements.delete(requirement)
        requirementsChanged.push(node.id)
      }
      if (via !== undefined) {
        removeUser(via, user, lost)
        this.#prune(via)
      }
      removeUser(node, via?.id ?? user, lost)
    }
    this.#prune(node)
  }

  /** The implicit Backend of a Service that is named directly. */
  #inlineBackend({ kind, namespace, name, port, purpose }: Reference): GraphNode | undefined {
    if (kind !== 'Service' || purpose !== 'Traffic') return undefined
    return this.#nodeOf('Backend', serviceBackendId(namespace, { name, port: port ?? '' }))
  }

  #nodeOf(kind: string, key: string): GraphNode {
    const id = nodeId(kind, key)
    let node = this.#nodes.get(id)
    if (node === undefined) {
      node = { id, kind, key, users: new Map(), requirements: new Map(), newest: 0 }
      this.#nodes.set(id, node)
    }
    return node
  }

  /** Updates the interest, and removes a node without references. */
  #prune(node: GraphNode): void {
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

function addUser(node: GraphNode, user: string, gained: string[]): void {
  const count = node.users.get(user)
  if (node.users.size === 0) gained.push(node.id)
  node.users.set(user, (count ?? 0) + 1)
}

function removeUser(node: GraphNode, user: string, lost: string[]): void {
  const count = node.users.get(user)! - 1
  if (count > 0) node.users.set(user, count)
  else node.users.delete(user)
  if (node.users.size === 0) lost.push(node.id)
}
