/**
 * A fake API server with one global revision, consistent paginated lists, a cache for `resourceVersion=0`, watches with
 * selectors, bookmarks, timeouts and compaction, roles, CRDs that can be removed, and tokens. Tests may intercept any
 * request to return faulty responses.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { Manifest } from '../../suite/source.ts'

interface Stored extends Manifest {
  metadata: Manifest['metadata'] & {
    namespace?: string
    uid: string
    resourceVersion: string
    generation: number
    creationTimestamp: string
    managedFields: unknown[]
    annotations?: Record<string, string>
  }
}

interface Change {
  readonly revision: number
  readonly collection: string
  /** Before and after; undefined = absent. */
  readonly before: Stored | undefined
  readonly after: Stored | undefined
}

/** One parsed request. */
export interface Asked {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete'
  readonly collection: string
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly status: boolean
  readonly query: URLSearchParams
  readonly request: IncomingMessage
}

export interface FakeApiOptions {
  /** Length of a second in `timeoutSeconds`. */
  readonly secondMs?: number
  readonly bookmarkMs?: number
  readonly tls?: { readonly cert: string; readonly key: string }
}

const COLLECTIONS: Readonly<Record<string, { root: string; kind: string; namespaced: boolean }>> = {
  routes: { root: '/apis/headgate.dev/v1alpha1', kind: 'Route', namespaced: true },
  backends: { root: '/apis/headgate.dev/v1alpha1', kind: 'Backend', namespaced: true },
  secrets: { root: '/api/v1', kind: 'Secret', namespaced: true },
  services: { root: '/api/v1', kind: 'Service', namespaced: true },
  configmaps: { root: '/api/v1', kind: 'ConfigMap', namespaced: true },
  namespaces: { root: '/api/v1', kind: 'Namespace', namespaced: false },
  pods: { root: '/api/v1', kind: 'Pod', namespaced: true },
  endpointslices: { root: '/apis/discovery.k8s.io/v1', kind: 'EndpointSlice', namespaced: true },
  ingresses: { root: '/apis/networking.k8s.io/v1', kind: 'Ingress', namespaced: true },
  events: { root: '/apis/events.k8s.io/v1', kind: 'Event', namespaced: true },
  leases: { root: '/apis/coordination.k8s.io/v1', kind: 'Lease', namespaced: true },
  // Fictional, for tests that add rows to the table of kinds.
  machines: { root: '/apis/test.example/v1', kind: 'Machine', namespaced: true },
  gadgets: { root: '/apis/test.example/v1', kind: 'Gadget', namespaced: true },
}

export class FakeApi {
  readonly asked: Asked[] = []
  /** Returns true when it has sent the response itself. */
  intercept: ((asked: Asked, response: ServerResponse) => boolean) | undefined
  /** Rights that the role lacks. */
  denied: (asked: Asked) => boolean = () => false
  /** Valid bearer tokens; undefined = no authentication. */
  tokens: Set<string> | undefined
  readonly #options: FakeApiOptions
  readonly #objects = new Map<string, Map<string, Stored>>()
  readonly #served = new Set(Object.keys(COLLECTIONS))
  readonly #watches = new Set<Watch>()
  readonly #pages = new Map<string, { items: Stored[]; revision: number }>()
  readonly #sockets = new Set<Socket>()
  readonly #history: Change[] = []
  #server: Server
  #revision = 1_000
  #compacted = 0
  #port = 0

  constructor(options: FakeApiOptions = {}) {
    this.#options = options
    this.#server = this.#create()
  }

  get url(): string {
    return `${this.#options.tls ? 'https' : 'http'}://127.0.0.1:${this.#port}`
  }

  get connections(): number {
    return this.#sockets.size
  }

  get openWatches(): Asked[] {
    return [...this.#watches].map((watch) => watch.asked)
  }

  async listen(): Promise<this> {
    this.#server.listen(this.#port, '127.0.0.1')
    await new Promise((resolve, reject) => this.#server.once('listening', resolve).once('error', reject))
    this.#port = (this.#server.address() as AddressInfo).port
    return this
  }

  /** Simulates a crash: resets every connection and keeps the stored objects. */
  async kill(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const watch of this.#watches) watch.stop()
    this.#watches.clear()
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await closed
  }

  async restart(): Promise<void> {
    this.#server = this.#create()
    await this.listen()
  }

  /** Creates or replaces; a write without a change has no effect. */
  put(manifest: Manifest): void {
    const { collection, key } = place(manifest)
    const objects = this.#collection(collection)
    const before = objects.get(key)
    const { metadata, ...rest } = structuredClone(manifest)
    if (before !== undefined) {
      const { metadata: old, ...oldRest } = before
      const own = { name: old.name, ...(old.namespace && { namespace: old.namespace }) }
      const labels = (value: object) => ('labels' in value ? value.labels : undefined)
      if (
        isDeepStrictEqual(oldRest, rest) &&
        isDeepStrictEqual(labels(old), labels(metadata)) &&
        own.name === metadata.name
      )
        return
    }
    // By default all objects have the same creation time.
    const given = (metadata as { creationTimestamp?: string }).creationTimestamp
    const specDiffers = !isDeepStrictEqual(before?.spec, rest.spec)
    const after: Stored = {
      ...rest,
      metadata: {
        ...metadata,
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(manifest), note: 'kept' },
        uid: before?.metadata.uid ?? randomUUID(),
        creationTimestamp: before?.metadata.creationTimestamp ?? given ?? '2026-01-01T00:00:00Z',
        generation: (before?.metadata.generation ?? 0) + (specDiffers ? 1 : 0),
        resourceVersion: String(++this.#revision),
        managedFields: [{ manager: 'kubectl', operation: 'Apply', fieldsV1: { 'f:spec': { 'f:rules': {} } } }],
      },
    } as Stored
    objects.set(key, after)
    this.#commit({ revision: this.#revision, collection, before, after })
  }

  remove(manifest: Manifest): void {
    const { collection, key } = place(manifest)
    this.#delete(collection, key)
  }

  get(manifest: Manifest): Stored | undefined {
    const { collection, key } = place(manifest)
    return this.#collection(collection).get(key)
  }

  /** Raises the revision, as a change of another object would. */
  elsewhere(): void {
    this.#revision++
  }

  /** Compaction: older versions expire. */
  compact(): void {
    this.#compacted = this.#revision
    this.#pages.clear()
  }

  /** Deletes the CRD, and its objects first. */
  unserve(collection: string): void {
    for (const key of [...this.#collection(collection).keys()]) this.#delete(collection, key)
    this.#served.delete(collection)
    for (const watch of this.#watches) if (watch.asked.collection === collection) watch.end()
  }

  serve(collection: string): void {
    this.#served.add(collection)
  }

  bookmark(): void {
    for (const watch of this.#watches) watch.bookmark(this.#revision)
  }

  /** Ends every watch regularly, as a server does on shutdown. */
  endWatches(): void {
    for (const watch of this.#watches) watch.end()
  }

  /** The open watches, for tests that write invalid events. */
  send(collection: string, line: string | Buffer): void {
    for (const watch of this.#watches) if (watch.asked.collection === collection) watch.write(line)
  }

  #create(): Server {
    const { tls } = this.#options
    const handle = (request: IncomingMessage, response: ServerResponse): void => {
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error))
    }
    const server = tls ? createTlsServer(tls, handle) : createServer(handle)
    server.keepAliveTimeout = 60_000
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    return server
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = understand(request)
    if (asked === undefined) return fail(response, 404, 'NotFound', 'page not found')
    this.asked.push(asked)
    if (this.intercept?.(asked, response) === true) return
    const token = request.headers.authorization?.replace('Bearer ', '')
    if (this.tokens !== undefined && !this.tokens.has(token ?? ''))
      return fail(response, 401, 'Unauthorized', 'Unauthorized')
    if (!this.#served.has(asked.collection)) {
      response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('404 page not found\n')
      return
    }
    if (this.denied(asked)) {
      const where = asked.namespace === undefined ? 'at the cluster scope' : `in the namespace "${asked.namespace}"`
      const user = 'system:serviceaccount:headgate:headgate'
      const text = `${asked.collection} is forbidden: User "${user}" cannot ${asked.verb} resource "${asked.collection}" ${where}`
      return fail(response, 403, 'Forbidden', text)
    }
    if (asked.verb === 'list') return this.#list(asked, response)
    if (asked.verb === 'watch') return this.#watch(asked, response)
    await this.#write(asked, response)
  }

  #list(asked: Asked, response: ServerResponse): void {
    const { query, collection } = asked
    const limit = Number(query.get('limit') ?? 0)
    const token = query.get('continue')
    let items: Stored[]
    let revision = this.#revision
    if (token !== null) {
      const rest = this.#pages.get(token)
      if (rest === undefined)
        return fail(response, 410, 'Expired', 'The provided continue parameter is too old to display a consistent list')
      items = rest.items
      revision = rest.revision
    } else items = [...this.#collection(collection).values()].filter((object) => matches(asked, object))
    const metadata: Record<string, string> = { resourceVersion: String(revision) }
    // Like the real server, whose cache ignores limits.
    if (limit > 0 && query.get('resourceVersion') !== '0' && items.length > limit) {
      const next = randomUUID()
      this.#pages.set(next, { items: items.slice(limit), revision })
      metadata.continue = next
      items = items.slice(0, limit)
    }
    const { kind, root } = COLLECTIONS[collection]!
    const own = root.startsWith('/apis/headgate')
    const body = {
      kind: `${kind}List`,
      apiVersion: root.replace(/^\/apis?\//, ''),
      metadata,
      // Items of built-in kinds carry no apiVersion and kind.
      items: items.map(({ kind, apiVersion, ...rest }) => (own ? { apiVersion, kind, ...rest } : rest)),
    }
    send(response, 200, body)
  }

  #watch(asked: Asked, response: ServerResponse): void {
    const { query } = asked
    const { secondMs = 1_000, bookmarkMs } = this.#options
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    const watch = new Watch(asked, response, () => this.#watches.delete(watch))
    const since = query.get('resourceVersion') ?? ''
    if (query.get('sendInitialEvents') === 'true') {
      for (const object of this.#collection(asked.collection).values())
        if (matches(asked, object)) watch.event('ADDED', object)
      watch.bookmark(this.#revision, true)
    } else if (Number(since) < this.#compacted) {
      const message = `too old resource version: ${since} (${this.#compacted})`
      watch.write(`${JSON.stringify({ type: 'ERROR', object: statusOf(410, 'Expired', message) })}\n`)
      watch.end()
      return
    } else for (const change of this.#history) if (change.revision > Number(since)) watch.tell(change)
    this.#watches.add(watch)
    watch.last(Number(query.get('timeoutSeconds') ?? 1_800) * secondMs)
    if (bookmarkMs !== undefined) watch.bookmarks(bookmarkMs, () => this.#revision)
  }

  async #write(asked: Asked, response: ServerResponse): Promise<void> {
    const { verb, collection, namespace, name, request } = asked
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>)
    const metadata = (body.metadata ?? {}) as Record<string, unknown>
    const key = `${namespace ?? ''}/${name ?? String(metadata.name)}`
    const before = this.#collection(collection).get(key)
    const creates = verb === 'create' || (verb === 'patch' && isApply(request) && !asked.status)
    if (before === undefined && !creates) return fail(response, 404, 'NotFound', `${collection} "${name}" not found`)
    if (before !== undefined && verb === 'create')
      return fail(response, 409, 'AlreadyExists', `${collection} "${name}" already exists`)
    if (verb === 'get') return send(response, 200, before)
    if (verb === 'delete') {
      this.#delete(collection, key)
      return send(response, 200, statusOf(200, 'Success', ''))
    }
    const version = metadata.resourceVersion
    if (before !== undefined && version !== undefined && version !== before.metadata.resourceVersion)
      return fail(
        response,
        409,
        'Conflict',
        'the object has been modified; please apply your changes to the latest version',
      )
    const { root, kind } = COLLECTIONS[collection]!
    const base = { apiVersion: root.replace(/^\/apis?\//, ''), kind, ...before }
    const { metadata: _, ...rest } = body
    const merged = verb === 'update' ? { ...base, ...rest } : merge(base, asked.status ? { status: body.status } : rest)
    const labels = (metadata.labels ?? before?.metadata.labels) as Record<string, string> | undefined
    this.put({
      ...(merged as unknown as Manifest),
      metadata: {
        name: key.slice(key.indexOf('/') + 1),
        ...(namespace !== undefined && { namespace }),
        ...(labels && { labels }),
      },
    })
    send(response, before === undefined ? 201 : 200, this.#collection(collection).get(key))
  }

  #delete(collection: string, key: string): void {
    const before = this.#collection(collection).get(key)
    if (before === undefined) return
    this.#collection(collection).delete(key)
    this.#commit({ revision: ++this.#revision, collection, before, after: undefined })
  }

  #commit(change: Change): void {
    this.#history.push(change)
    for (const watch of this.#watches) watch.tell(change)
  }

  #collection(name: string): Map<string, Stored> {
    let objects = this.#objects.get(name)
    if (objects === undefined) this.#objects.set(name, (objects = new Map()))
    return objects
  }
}

class Watch {
  readonly asked: Asked
  readonly #response: ServerResponse
  readonly #timers: NodeJS.Timeout[] = []
  readonly #gone: () => void

  constructor(asked: Asked, response: ServerResponse, gone: () => void) {
    this.asked = asked
    this.#response = response
    this.#gone = gone
    response.on('close', () => this.stop())
  }

  tell({ collection, revision, before, after }: Change): void {
    if (collection !== this.asked.collection) return
    const was = before !== undefined && matches(this.asked, before)
    const is = after !== undefined && matches(this.asked, after)
    if (is) this.event(was ? 'MODIFIED' : 'ADDED', after)
    else if (was)
      this.event('DELETED', { ...before, metadata: { ...before.metadata, resourceVersion: String(revision) } })
  }

  event(type: string, object: unknown): void {
    this.write(`${JSON.stringify({ type, object })}\n`)
  }

  bookmark(revision: number, initial = false): void {
    const { kind } = COLLECTIONS[this.asked.collection]!
    const annotations = initial ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}
    const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...annotations }
    this.event('BOOKMARK', { kind, metadata })
  }

  bookmarks(every: number, revision: () => number): void {
    this.#timers.push(setInterval(() => this.bookmark(revision()), every))
  }

  last(milliseconds: number): void {
    this.#timers.push(setTimeout(() => this.end(), milliseconds))
  }

  write(data: string | Buffer): void {
    this.#response.write(data)
  }

  end(): void {
    this.stop()
    this.#response.end()
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#gone()
  }
}

export function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`)
}

export function fail(
  response: ServerResponse,
  status: number,
  reason: string,
  message: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(`${JSON.stringify(statusOf(status, reason, message))}\n`)
}

export function statusOf(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }
}

function understand(request: IncomingMessage): Asked | undefined {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://fake')
  for (const [collection, { root }] of Object.entries(COLLECTIONS)) {
    const pattern = new RegExp(`^${root}(?:/namespaces/([^/]+))?/${collection}(?:/([^/]+))?(/status)?$`)
    const match = pattern.exec(pathname)
    if (match === null) continue
    const [, namespace, name, status] = match
    const verb = verbOf(request.method ?? '', name, query)
    return { verb, collection, namespace, name, status: status !== undefined, query, request }
  }
  return undefined
}

function verbOf(method: string, name: string | undefined, query: URLSearchParams): Asked['verb'] {
  if (method === 'GET') return query.get('watch') === 'true' ? 'watch' : name === undefined ? 'list' : 'get'
  if (method === 'POST') return 'create'
  if (method === 'PUT') return 'update'
  return method === 'PATCH' ? 'patch' : 'delete'
}

function place(manifest: Manifest): { collection: string; key: string } {
  const [collection, { namespaced }] = Object.entries(COLLECTIONS).find(([, { kind }]) => kind === manifest.kind)!
  const { namespace = 'default', name } = manifest.metadata
  return { collection, key: `${namespaced ? namespace : ''}/${name}` }
}

function matches({ namespace, query }: Asked, { metadata }: Stored): boolean {
  if (namespace !== undefined && metadata.namespace !== namespace) return false
  const field = query.get('fieldSelector')
  if (field !== null && field !== `metadata.name=${metadata.name}`) return false
  const [label, value] = query.get('labelSelector')?.split('=') ?? []
  if (label === undefined) return true
  const actual = metadata.labels?.[label]
  return value === undefined ? actual !== undefined : actual === value
}

function isApply(request: IncomingMessage): boolean {
  return request.headers['content-type'] === 'application/apply-patch+yaml'
}

/** RFC 7396. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const result: Record<string, unknown> = { ...(typeof target === 'object' ? target : {}) }
  for (const [key, value] of Object.entries(patch))
    if (value === null) delete result[key]
    else result[key] = merge(result[key], value)
  return result
}
