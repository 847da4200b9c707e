/** The client of an API server: get, list, watch and writes, over one pool of connections. */
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Dispatcher, Pool, ProxyAgent } from 'undici'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { ApiError } from './api-error.ts'
import { type ApiRequest, brokeBeforeResponse, type ResponseReceiver, sendRequest } from './api-request.ts'
import type { Access, Credentials } from './credentials.ts'
import { parseJson } from './ingest.ts'
import { LineSplitter } from './line-splitter.ts'
import { type ListMetadata, ListReader } from './list-reader.ts'
import { Semaphore } from './semaphore.ts'
import { TurnBudget } from './turn-budget.ts'

export interface ClientTimes {
  readonly connect: Milliseconds
  /** Until the response's head has arrived. */
  readonly head: Milliseconds
  /** Longest silence within the body of a response that is not a watch. */
  readonly body: Milliseconds
  /** For the whole response, unless it is a watch. Bounds a response that trickles. */
  readonly response: Milliseconds
}

export interface ClientOptions {
  readonly times?: Partial<ClientTimes>
  /** Identifies this client in the API server's audit log. */
  readonly userAgent?: string
  /** Concurrent lists; further ones wait, so that a start with hundreds of references does not flood the server. */
  readonly lists?: number
}

export interface Selection {
  readonly fieldSelector?: string
  readonly labelSelector?: string
}

export interface ListQuery extends Selection {
  /** `0`: any version from the server's cache; absent: the most recent one. */
  readonly resourceVersion?: string
  readonly limit?: number
  readonly continue?: string
}

export interface WatchQuery extends Selection {
  readonly resourceVersion: string
  readonly timeoutSeconds: number
  /** The watch begins with events for the existing objects, in place of a list. */
  readonly sendInitialEvents?: boolean
}

export interface ListSink {
  /** Receives the JSON of one item. An exception ends the list. */
  item(json: Buffer): void
  /** Called after every chunk; the list waits for the promise before it reads on. */
  pause?(): Promise<void> | undefined
}

export interface WatchSink {
  /** Its events are processed before those of other watches. */
  readonly urgent?: boolean
  /** The server has accepted the watch. */
  opened?(): void
  /** Receives the JSON of one event. An exception ends the watch. */
  line(json: Buffer): void
}

/** The part of the client that reflectors use. Both methods reject with an ApiError; `Aborted` when `signal` fires. */
export interface ListWatcher {
  /** Reads one page, or everything without a limit. */
  list(path: string, query: ListQuery, sink: ListSink, signal: AbortSignal): Promise<ListMetadata>
  /** Resolves when the server closes the watch regularly; the last line may be incomplete. */
  watch(path: string, query: WatchQuery, sink: WatchSink, signal: AbortSignal): Promise<void>
}

export interface ApplyOptions {
  readonly fieldManager: string
  /** Takes ownership of conflicting fields from other managers. */
  readonly force?: boolean
}

const TIMES: ClientTimes = { connect: 10_000, head: 30_000, body: 30_000, response: 120_000 }

/** Servers usually close idle connections after 90 s. The client closes first, so no request meets a closed one. */
const KEEP_IDLE: Milliseconds = 30_000

/** Idle time before TCP keep-alive probes begin. */
const KEEP_ALIVE_DELAY: Milliseconds = 15_000

/** API servers accept requests of up to 3 MiB; the stored object may be longer in a response. */
const MAX_OBJECT_BYTES = 16 * 1_048_576

export class KubernetesClient implements ListWatcher {
  readonly #credentials: Credentials
  readonly #times: ClientTimes
  readonly #userAgent: string
  readonly #open = new Set<Dispatcher>()
  readonly #lists: Semaphore
  readonly #time: TimerClock
  /** Spreads data that arrives on many connections at once over several turns of the event loop. */
  readonly #turnBudget: TurnBudget
  #current: { readonly key: string; readonly dispatcher: Dispatcher } | undefined
  #closed = false

  constructor(
    credentials: Credentials,
    time: TimerClock,
    { times, userAgent = 'headgate', lists = 16 }: ClientOptions = {},
  ) {
    this.#credentials = credentials
    this.#time = time
    this.#turnBudget = new TurnBudget(time)
    this.#times = { ...TIMES, ...times }
    this.#userAgent = userAgent
    this.#lists = new Semaphore(lists)
  }

  /** Connection pools in use: more than one only while requests run on a pool that has been replaced. */
  get dispatchers(): number {
    return this.#open.size
  }

  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('GET', path, undefined, signal)
  }

  /** @returns the object as stored by the server */
  async create(path: string, object: unknown, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('POST', path, { type: 'application/json', object }, signal)
  }

  /** Replaces the object. With `metadata.resourceVersion`, another version fails with 409. */
  async update(path: string, object: unknown, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('PUT', path, { type: 'application/json', object }, signal)
  }

  /** Server-side apply. For the status, the path ends in `/status`. */
  async apply(path: string, object: unknown, options: ApplyOptions, signal?: AbortSignal): Promise<unknown> {
    const query = queryOf({ fieldManager: options.fieldManager, ...(options.force === true && { force: 'true' }) })
    // JSON is valid YAML, and every server with server-side apply accepts YAML.
    return await this.#json('PATCH', path + query, { type: 'application/apply-patch+yaml', object }, signal)
  }

  /** JSON merge patch (RFC 7396). For the status, the path ends in `/status`. */
  async mergePatch(path: string, patch: unknown, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('PATCH', path, { type: 'application/merge-patch+json', object: patch }, signal)
  }

  async delete(path: string, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('DELETE', path, undefined, signal)
  }

  async list(path: string, query: ListQuery, sink: ListSink, signal: AbortSignal): Promise<ListMetadata> {
    await this.#lists.acquire(signal)
    let reader: ListReader | undefined
    let over = false
    try {
      await this.#send(
        { method: 'GET', path: path + queryOf({ ...query }) },
        () => {
          const fresh = new ListReader(MAX_OBJECT_BYTES, (json) => sink.item(json))
          reader = fresh
          return {
            data: (chunk) => {
              const read = this.#turnBudget.run(() => over || fresh.push(chunk))
              return read === undefined ? sink.pause?.() : read.then(() => sink.pause?.())
            },
          }
        },
        signal,
      )
      // The connection becomes free for the following watch only in a later turn of the event loop.
      await new Promise<void>((resolve) => this.#time.nextTurn(resolve))
      return reader!.end()
    } finally {
      over = true
      this.#lists.release()
    }
  }

  async watch(path: string, query: WatchQuery, sink: WatchSink, signal: AbortSignal): Promise<void> {
    const { sendInitialEvents, timeoutSeconds, ...rest } = query
    const parameters = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(timeoutSeconds),
      ...rest,
      ...(sendInitialEvents === true && { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan' }),
    }
    await this.#send(
      { method: 'GET', path: path + queryOf(parameters), bodyTimeout: 0 },
      () => {
        const splitter = new LineSplitter(MAX_OBJECT_BYTES, (json) => sink.line(json))
        return {
          begin: () => sink.opened?.(),
          data: (chunk) => this.#turnBudget.run(() => signal.aborted || splitter.push(chunk), sink.urgent),
        }
      },
      signal,
    )
  }

  /** Aborts all requests in flight. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open].map((dispatcher) => dispatcher.destroy()))
    this.#open.clear()
  }

  async #json(
    method: ApiRequest['method'],
    path: string,
    body: { readonly type: string; readonly object: unknown } | undefined,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    let chunks: Buffer[] = []
    const request = {
      method,
      path,
      ...(body !== undefined && { type: body.type, body: JSON.stringify(body.object) }),
    }
    await this.#send(
      request,
      () => {
        chunks = []
        let length = 0
        return {
          data: (chunk) => {
            length += chunk.length
            if (length > MAX_OBJECT_BYTES) throw new ApiError(200, 'BadAnswer', 'the answer is too large')
            chunks.push(chunk)
            return undefined
          },
        }
      },
      signal,
    )
    return parseJson(Buffer.concat(chunks))
  }

  /** @param receiver creates a receiver for each attempt */
  async #send(
    request: ClientRequest,
    receiver: () => ResponseReceiver,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const access = await this.#access()
    try {
      await this.#attempt(request, access, receiver, signal)
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.#credentials.unauthorized(access)
        const fresh = await this.#access()
        if (fresh === access) throw error
        return await this.#attempt(request, fresh, receiver, signal)
      }
      // The server may have closed an idle connection at that moment.
      if (request.method === 'GET' && brokeBeforeResponse(error))
        return await this.#attempt(request, access, receiver, signal)
      throw error
    }
  }

  #attempt(
    request: ClientRequest,
    access: Access,
    receiver: () => ResponseReceiver,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { method, path, type, body, bodyTimeout } = request
    const { origin, pathname } = new URL(access.server)
    const { head, body: silence, response: answer } = this.#times
    const call: ApiRequest = {
      method,
      origin,
      path: pathname === '/' ? path : pathname.replace(/\/$/, '') + path,
      headers: {
        accept: 'application/json',
        'user-agent': this.#userAgent,
        ...access.headers,
        ...(type !== undefined && { 'content-type': type }),
      },
      ...(body !== undefined && { body }),
      headersTimeout: head,
      bodyTimeout: bodyTimeout ?? silence,
      // Watches have a watchdog instead.
      ...(bodyTimeout === undefined && { deadline: answer }),
    }
    return sendRequest(this.#dispatcher(access), call, receiver(), this.#time, signal)
  }

  async #access(): Promise<Access> {
    try {
      return await this.#credentials.access()
    } catch (error) {
      throw new ApiError(0, 'NoCredentials', error instanceof Error ? error.message : String(error), { cause: error })
    }
  }

  /** Returns the current pool, or a new one when server, TLS or proxy differ. Requests on the old pool finish there. */
  #dispatcher({ server, tls, proxy }: Access): Dispatcher {
    if (this.#closed) throw new ApiError(0, 'Aborted', 'the client is closed')
    const { origin } = new URL(server)
    const key = JSON.stringify([origin, tls, proxy])
    if (this.#current?.key === key) return this.#current.dispatcher
    const old = this.#current?.dispatcher
    const dispatcher = this.#connect(origin, tls, proxy)
    this.#open.add(dispatcher)
    this.#current = { key, dispatcher }
    if (old !== undefined)
      void old.close().then(
        () => this.#open.delete(old),
        () => this.#open.delete(old),
      )
    return dispatcher
  }

  #connect(origin: string, tls: Access['tls'], proxy: string | undefined): Dispatcher {
    const connect = {
      ...tls,
      // Parsing a CA for every connection costs as much as the rest of the handshake.
      ...(origin.startsWith('https:') && { secureContext: contextOf(tls) }),
      timeout: this.#times.connect,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY,
    }
    const options = {
      // One connection per watch, so that a large list cannot delay an endpoint's event.
      allowH2: false,
      pipelining: 1,
      keepAliveTimeout: KEEP_IDLE,
      keepAliveMaxTimeout: KEEP_IDLE,
      connect,
    }
    return proxy === undefined
      ? new Pool(origin, options)
      : new ProxyAgent({ ...options, uri: proxy, requestTls: connect })
  }
}

function contextOf(tls: Access['tls']): SecureContext {
  try {
    return createSecureContext(tls)
  } catch (error) {
    const message = `CA, certificate or key cannot be used: ${error instanceof Error ? error.message : String(error)}`
    throw new ApiError(0, 'NoCredentials', message, { cause: error })
  }
}

interface ClientRequest {
  readonly method: ApiRequest['method']
  readonly path: string
  readonly type?: string
  readonly body?: string
  /** 0 for watches, which may be silent. */
  readonly bodyTimeout?: Milliseconds
}

function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value))
  return query.size === 0 ? '' : `?${query}`
}
