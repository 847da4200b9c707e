/**
 * Delivers the payloads of ConfigMaps and Secrets to workers, by identity and apart from tables: only what a served
 * object refers to, only from an object of the type that is asked for, and within bounds. A change acts in the turn
 * that brings it; what tables still in force may refer to stays until newer ones serve everywhere.
 */
import { KINDS, type KindTable, type Payload } from '../../api/kinds.ts'
import type { Secret } from '../../api/kubernetes.ts'
import type { KubeObject } from '../../api/object.ts'
import type { Reference } from '../../api/references.ts'
import type { OidcClient } from '../../auth/oidc-client.ts'
import { payloadKeys, payloadSummaryOf, sharedNamespaces } from '../../compile/payload-summary.ts'
import { nodeId, type ReferenceGraph } from '../../compile/reference-graph.ts'
import type { PayloadSummary } from '../../compile/resource-set.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { KEY_SET, KEY_SET_PART, keySetContent } from '../../policy/auth/key-set.ts'
import { type ContentChange, type ContentRef, contentId } from '../../policy/contents.ts'
import { secretKeysOf } from '../../policy/secret-types.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { type ContentBudget, MAX_OBJECT_BYTES } from './content-budget.ts'
import type { KeySetVersion } from './key-set-demand.ts'
import { type ProviderFault, SecretReadings } from './secrets.ts'

export interface ContentFeedOptions {
  readonly graph: ReferenceGraph
  readonly budget: ContentBudget
  readonly send: (message: ToWorker) => void
  /** Milliseconds since the epoch: certificates have their time. */
  readonly wall: () => number
  readonly providerFault?: ProviderFault
  /** Default: the table of kinds. */
  readonly table?: KindTable
}

/** A content delivered to workers. */
interface Delivered {
  readonly node: string
  readonly namespace: string
  /** As it was found: text, encoded or not, or bytes. */
  readonly source: string | Uint8Array
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
  readonly #secrets: SecretReadings
  /** Of key sets that are not known yet: what an earlier control thread had sent of them goes on. */
  readonly #awaited = new Set<string>()
  #scheduled = false

  constructor(options: ContentFeedOptions) {
    this.#options = options
    this.#table = options.table ?? KINDS
    this.#secrets = new SecretReadings(options.wall, options.providerFault)
  }

  /** What an earlier control thread had sent and is no content any more is withdrawn. */
  adopt(): void {
    this.flush()
    this.#options.send({ type: 'content-ids', ids: [...this.#delivered.keys(), ...this.#awaited] })
  }

  /**
   * Brings in line what is delivered of an object: it, or what is wanted of it, may be another.
   *
   * @param object undefined where there is none, or none that may be served
   */
  update(kind: string, key: string, object: KubeObject | undefined): PayloadSummary | undefined {
    const node = nodeId(kind, key)
    const secret = kind === 'Secret' ? this.#secrets.read(node, object as Secret | undefined) : undefined
    const wanted = this.#requiredContents(kind, key, object, secret?.contents)
    const refused = this.#bringInLine(node, namespaceOf(key), wanted)
    return object === undefined ? undefined : payloadSummaryOf(this.#payload(kind), object, refused, secret?.summary)
  }

  /**
   * The same for a key set.
   *
   * @param set undefined where nothing is known of it yet
   * @param mayUse namespaces that do
   */
  updateKeySet(
    url: string,
    set: KeySetVersion | undefined,
    mayUse: (namespace: string) => boolean,
  ): PayloadSummary | undefined {
    const node = nodeId(KEY_SET, `/${url}`)
    const { bytes, issuer, fault, owner = '' } = set ?? {}
    const wanted = new Map<string, ContentField | undefined>()
    for (const { type, sharedWith = '' } of this.#options.graph.requirements(KEY_SET, `/${url}`)) {
      const id = keySetContent(url, type, sharedWith)
      const usable = bytes !== undefined && (type === undefined || type === issuer) && mayUse(sharedWith)
      wanted.set(id, usable ? { key: KEY_SET_PART, source: bytes, base64: false } : undefined)
      if (!usable && set?.void !== true && mayUse(sharedWith) && bytes === undefined) this.#awaited.add(id)
      else if (this.#awaited.delete(id) && !usable) this.#change({ id, bytes: null })
    }
    const refused = this.#bringInLine(node, owner, wanted)
    if (set === undefined || wanted.size === 0) return undefined
    return {
      keys: new Set(bytes === undefined ? [] : [KEY_SET_PART]),
      refused,
      keySet: { ...(issuer === undefined ? {} : { issuer }), ...(fault === undefined ? {} : { fault }) },
    }
  }

  /** @returns keys whose content exceeds the budget, with the cause */
  #bringInLine(
    node: string,
    namespace: string,
    wanted: ReadonlyMap<string, ContentField | undefined>,
  ): Map<string, string> {
    const refused = this.#deliverContents(node, namespace, wanted)
    for (const id of this.#ofNode.get(node) ?? [])
      if (!wanted.has(id) && !this.#unneeded.has(id)) this.#unneeded.set(id, { by: 'noted' })
    if (refused.size > 0) this.#withoutRoom.add(node)
    else this.#withoutRoom.delete(node)
    return refused
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

  /** The client of a provider that a Secret describes. @param key `namespace/name` */
  oidcClient(key: string): OidcClient | undefined {
    return this.#secrets.oidcClient(nodeId('Secret', key))
  }

  /** Secrets whose time has come or ended, by kind and key. */
  turnedSecrets(): Iterable<string> {
    return this.#secrets.turned()
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
  #requiredContents(
    kind: string,
    key: string,
    object: KubeObject | undefined,
    secret: ReadonlyMap<string, Uint8Array> | undefined,
  ): Map<string, ContentField | undefined> {
    const wanted = new Map<string, ContentField | undefined>()
    for (const reference of this.#options.graph.requirements(kind, key)) {
      const { namespace, name, type, sharedWith } = reference
      const usable = object !== undefined && mayUse(object, reference)
      for (const one of this.#keysOf(reference, object)) {
        const ref: ContentRef = {
          kind: kind as ContentRef['kind'],
          namespace,
          name,
          key: one,
          ...(type === undefined ? {} : { type }),
          ...(sharedWith === undefined ? {} : { sharedWith }),
        }
        wanted.set(contentId(ref), usable ? this.#written(kind, object, one, secret) : undefined)
      }
    }
    return wanted
  }

  /** Without one in the reference: those that are read of its type, there or not; else all there are. */
  #keysOf({ kind, key, type }: Reference, object: KubeObject | undefined): readonly string[] {
    if (key !== undefined) return [key]
    const keys = secretKeysOf(type)
    if (keys !== undefined) return [...keys.required, ...keys.optional]
    return object === undefined ? [] : payloadKeys(this.#payload(kind), object)
  }

  /** @returns keys whose content exceeds the budget, with the cause */
  #deliverContents(
    node: string,
    namespace: string,
    wanted: ReadonlyMap<string, ContentField | undefined>,
  ): Map<string, string> {
    const refused = new Map<string, string>()
    const counted = new Set<ContentField['source']>()
    let size = 0
    for (const [id, written] of wanted) {
      this.#unneeded.delete(id)
      const before = this.#delivered.get(id)
      if (written === undefined) {
        this.#withdraw(id)
        continue
      }
      const { key, source } = written
      // What several namespaces share is one content.
      if (!counted.has(source)) size += byteLength(written)
      counted.add(source)
      if (before?.source === source) continue
      const bytes = this.#sharedBytes(node, source)
      const more = (bytes === undefined ? byteLength(written) : 0) - this.#soleBytes(before)
      const why =
        size > MAX_OBJECT_BYTES
          ? `more than ${MAX_OBJECT_BYTES} bytes of it are referred to`
          : this.#options.budget.refusal(namespace, more)
      if (why === undefined) this.#put(id, { node, namespace, source, bytes: bytes ?? decoded(written) })
      else {
        // The previous content is outdated and must not be used.
        this.#withdraw(id)
        refused.set(key, why)
      }
    }
    return refused
  }

  /** What is delivered of the same source under another identity. */
  #sharedBytes(node: string, source: ContentField['source']): Uint8Array | undefined {
    for (const id of this.#ofNode.get(node) ?? []) {
      const content = this.#delivered.get(id)
      if (content?.source === source) return content.bytes
    }
    return undefined
  }

  /** Bytes that are not needed any more without this content. */
  #soleBytes(content: Delivered | undefined): number {
    if (content === undefined) return 0
    for (const id of this.#ofNode.get(content.node) ?? []) {
      const other = this.#delivered.get(id)
      if (other !== content && other?.bytes === content.bytes) return 0
    }
    return content.bytes.length
  }

  #put(id: string, content: Delivered): void {
    const { node, namespace, source, bytes } = content
    const more = this.#sharedBytes(node, source) === undefined ? bytes.length : 0
    this.#options.budget.take(namespace, more - this.#soleBytes(this.#delivered.get(id)))
    this.#delivered.set(id, content)
    const ids = this.#ofNode.get(node)
    if (ids === undefined) this.#ofNode.set(node, new Set([id]))
    else ids.add(id)
    this.#change({ id, bytes })
  }

  #withdraw(id: string): void {
    const content = this.#delivered.get(id)
    if (content === undefined) return
    this.#options.budget.take(content.namespace, -this.#soleBytes(content))
    this.#delivered.delete(id)
    this.#unneeded.delete(id)
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

  #written(
    kind: string,
    object: KubeObject,
    key: string,
    secret: ReadonlyMap<string, Uint8Array> | undefined,
  ): ContentField | undefined {
    if (secret !== undefined) {
      const bytes = secret.get(key)
      return bytes && { key, source: bytes, base64: false }
    }
    const { base64, text } = this.#payload(kind)
    const fields = object as unknown as StringMap
    const plain = text === undefined ? undefined : own(fields[text], key)
    if (plain !== undefined) return { key, source: plain, base64: false }
    const encoded = own(fields[base64], key)
    return encoded === undefined ? undefined : { key, source: encoded, base64: true }
  }

  #payload(kind: string): Payload {
    return this.#table[kind]!.payload!
  }
}

/** A Secret of the type that is asked for, of the namespace that asks or shared with it. */
function mayUse(object: KubeObject, { type, sharedWith }: Reference): boolean {
  if (type !== undefined && (object as KubeObject & { readonly type?: string }).type !== type) return false
  return sharedWith === undefined || sharedNamespaces(object).has(sharedWith)
}

/** One content as it stands in its object, or as it was read from it. */
interface ContentField {
  readonly key: string
  readonly source: string | Uint8Array
  readonly base64: boolean
}

function byteLength({ source, base64 }: ContentField): number {
  return typeof source === 'string' ? Buffer.byteLength(source, base64 ? 'base64' : 'utf8') : source.length
}

/** Decoded into shared memory, so it exists once for all threads. */
function decoded({ source, base64 }: ContentField): Uint8Array {
  if (typeof source !== 'string') return source
  const bytes = Buffer.from(source, base64 ? 'base64' : 'utf8')
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}

/** Own properties only: keys may equal names of the prototype. */
function own(fields: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined
}
