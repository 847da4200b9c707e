/**
 * Delivers the payloads of ConfigMaps and Secrets to workers, by identity and apart from tables: only what a served
 * object refers to, only from an object of the type that is asked for, and within bounds. A change acts in the turn
 * that brings it; what tables still in force may refer to stays until newer ones serve everywhere.
 */
import { KINDS, type KindTable, type Payload } from '../../api/kinds.ts'
import type { KubeObject } from '../../api/object.ts'
import { payloadKeys, payloadSummaryOf } from '../../compile/payload-summary.ts'
import { nodeId, type ReferenceGraph } from '../../compile/reference-graph.ts'
import type { PayloadSummary } from '../../compile/resource-set.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type ContentChange, type ContentRef, contentId } from '../../policy/contents.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { type ContentBudget, MAX_OBJECT_BYTES } from './content-budget.ts'

export interface ContentFeedOptions {
  readonly graph: ReferenceGraph
  readonly budget: ContentBudget
  readonly send: (message: ToWorker) => void
  /** Default: the table of kinds. */
  readonly table?: KindTable
}

/** A content delivered to workers. */
interface Delivered {
  readonly node: string
  readonly namespace: string
  /** The encoded value. */
  readonly source: string
  readonly bytes: Uint8Array
}

/** A content that only older tables may still refer to. */
interface WithdrawnLater {
  /** The first generation of tables that do not refer to it, once there is one. */
  by: number | 'noted' | 'compiling'
  /** When it is withdrawn, set once those tables serve everywhere. */
  until?: Milliseconds
}

/** Time for requests that started with older tables. */
const GRACE: Milliseconds = 60_000

type StringMap = Readonly<Record<string, Readonly<Record<string, string>> | undefined>>

/** Objects without room that are retried per turn. */
const RETRIES = 16

export class ContentFeed {
  readonly #options: ContentFeedOptions
  readonly #table: KindTable
  readonly #delivered = new Map<string, Delivered>()
  /** Content ids by object. */
  readonly #ofNode = new Map<string, Set<string>>()
  readonly #unneeded = new Map<string, WithdrawnLater>()
  readonly #changes = new Map<string, ContentChange>()
  /** Objects with contents that exceed the budget. */
  readonly #withoutRoom = new Set<string>()
  #scheduled = false

  constructor(options: ContentFeedOptions) {
    this.#options = options
    this.#table = options.table ?? KINDS
  }

  /** What an earlier control thread had sent and is no content any more is withdrawn. */
  adopt(): void {
    this.flush()
    this.#options.send({ type: 'content-ids', ids: [...this.#delivered.keys()] })
  }

  /**
   * Brings in line what is delivered of an object: it, or what is wanted of it, may be another.
   *
   * @param object undefined where there is none, or none that may be served
   */
  update(kind: string, key: string, object: KubeObject | undefined): PayloadSummary | undefined {
    const node = nodeId(kind, key)
    const wanted = this.#requiredContents(kind, key, object)
    const refused = this.#deliverContents(node, namespaceOf(key), wanted)
    for (const id of this.#ofNode.get(node) ?? [])
      if (!wanted.has(id) && !this.#unneeded.has(id)) this.#unneeded.set(id, { by: 'noted' })
    if (refused.size > 0) this.#withoutRoom.add(node)
    else this.#withoutRoom.delete(node)
    return object === undefined ? undefined : payloadSummaryOf(this.#payload(kind), object, refused)
  }

  /** Some of the objects to retry, by kind and key. */
  *pendingObjects(): Generator<string> {
    let count = 0
    for (const node of [...this.#withoutRoom]) {
      if (++count > RETRIES) return
      // Moved to the end: the next retry begins with others.
      this.#withoutRoom.delete(node)
      this.#withoutRoom.add(node)
      yield node
    }
  }

  /** A compile begins: its tables refer to none of the contents that are unneeded now. */
  compiling(): void {
    for (const unneeded of this.#unneeded.values()) if (unneeded.by === 'noted') unneeded.by = 'compiling'
  }

  /** The result of the last compile was published as this generation. */
  published(generation: number): void {
    for (const unneeded of this.#unneeded.values()) if (unneeded.by === 'compiling') unneeded.by = generation
  }

  /**
   * These tables, or newer ones, serve everywhere: what only older ones refer to is withdrawn when requests that began
   * with them have had time to end. Called regularly.
   */
  served(generation: number, now: Milliseconds): void {
    for (const [id, unneeded] of this.#unneeded) {
      if (typeof unneeded.by !== 'number' || unneeded.by > generation) continue
      unneeded.until ??= now + GRACE
      if (now >= unneeded.until) this.#withdraw(id)
    }
  }

  /** Sends pending changes. */
  flush(): void {
    this.#scheduled = false
    if (this.#changes.size === 0) return
    const contents = [...this.#changes.values()]
    this.#changes.clear()
    this.#options.send({ type: 'contents', contents })
  }

  /** By id: where the content is written down; undefined where the object has none. */
  #requiredContents(kind: string, key: string, object: KubeObject | undefined): Map<string, ContentField | undefined> {
    const wanted = new Map<string, ContentField | undefined>()
    for (const reference of this.#options.graph.requirements(kind, key)) {
      const { namespace, name, type } = reference
      const keys =
        reference.key !== undefined
          ? [reference.key]
          : object === undefined
            ? []
            : payloadKeys(this.#payload(kind), object)
      for (const one of keys) {
        const ref: ContentRef = {
          kind: kind as ContentRef['kind'],
          namespace,
          name,
          key: one,
          ...(type === undefined ? {} : { type }),
        }
        const usable = object !== undefined && (type === undefined || (object as Typed).type === type)
        wanted.set(contentId(ref), usable ? this.#written(kind, object, one) : undefined)
      }
    }
    return wanted
  }

  /** @returns keys whose content exceeds the budget, with the cause */
  #deliverContents(
    node: string,
    namespace: string,
    wanted: ReadonlyMap<string, ContentField | undefined>,
  ): Map<string, string> {
    const refused = new Map<string, string>()
    let size = 0
    for (const [id, written] of wanted) {
      this.#unneeded.delete(id)
      const before = this.#delivered.get(id)
      if (written === undefined) {
        this.#withdraw(id)
        continue
      }
      const { key, text, base64 } = written
      if (before?.source === text) {
        size += before.bytes.length
        continue
      }
      const bytes = Buffer.byteLength(text, base64 ? 'base64' : 'utf8')
      size += bytes
      const why =
        size > MAX_OBJECT_BYTES
          ? `more than ${MAX_OBJECT_BYTES} bytes of it are referred to`
          : this.#options.budget.refusal(namespace, bytes - (before?.bytes.length ?? 0))
      if (why === undefined) this.#put(id, { node, namespace, source: text, bytes: decoded(written) })
      else {
        // The previous content is outdated and must not be used.
        this.#withdraw(id)
        refused.set(key, why)
      }
    }
    return refused
  }

  #put(id: string, content: Delivered): void {
    const { node, namespace, bytes } = content
    this.#options.budget.take(namespace, bytes.length - (this.#delivered.get(id)?.bytes.length ?? 0))
    this.#delivered.set(id, content)
    const ids = this.#ofNode.get(node)
    if (ids === undefined) this.#ofNode.set(node, new Set([id]))
    else ids.add(id)
    this.#change({ id, bytes })
  }

  #withdraw(id: string): void {
    const content = this.#delivered.get(id)
    if (content === undefined) return
    this.#delivered.delete(id)
    this.#unneeded.delete(id)
    this.#options.budget.take(content.namespace, -content.bytes.length)
    const ids = this.#ofNode.get(content.node)
    ids?.delete(id)
    if (ids?.size === 0) this.#ofNode.delete(content.node)
    this.#change({ id, bytes: null })
  }

  /** Batches the changes of one turn, so that a replaced object is never absent in between. */
  #change(change: ContentChange): void {
    this.#changes.set(change.id, change)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => this.flush())
  }

  #written(kind: string, object: KubeObject, key: string): ContentField | undefined {
    const { base64, text } = this.#payload(kind)
    const fields = object as unknown as StringMap
    const plain = text === undefined ? undefined : own(fields[text], key)
    if (plain !== undefined) return { key, text: plain, base64: false }
    const encoded = own(fields[base64], key)
    return encoded === undefined ? undefined : { key, text: encoded, base64: true }
  }

  #payload(kind: string): Payload {
    return this.#table[kind]!.payload!
  }
}

type Typed = KubeObject & { readonly type?: string }

/** One content as encoded in its object. */
interface ContentField {
  readonly key: string
  readonly text: string
  readonly base64: boolean
}

/** Decoded into shared memory, so it exists once for all threads. */
function decoded({ text, base64 }: ContentField): Uint8Array {
  const bytes = Buffer.from(text, base64 ? 'base64' : 'utf8')
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}

/** Own properties only: keys may equal names of the prototype. */
function own(fields: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined
}
