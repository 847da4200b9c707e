/** What is asked of an API server: read, list, watch, write. One set of connections for all of it. */
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Dispatcher, Pool, ProxyAgent } from 'undici'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { ApiError } from './api-error.ts'
import type { Access, Credentials } from './credentials.ts'
import { brokeBeforeAnswer, type Call, exchange, type Receiver } from './exchange.ts'
import { parseJson } from './ingest.ts'
import { LineSplitter } from './line-splitter.ts'
import { type ListMetadata, ListReader } from './list-reader.ts'
import { Pace } from './pace.ts'
import { Semaphore } from './semaphore.ts'

export interface ClientTimes {
  readonly connect: Milliseconds
  /** Until the head of an answer has come. */
  readonly head: Milliseconds
  /** Longest silence in an answer that is not a watch. */
  readonly body: Milliseconds
  /** For all of an answer that is not a watch: what drips is not waited for. */
  readonly answer: Milliseconds
}

export interface ClientOptions {
  readonly times?: Partial<ClientTimes>
  /** Says who we are in the API server's audit log. */
  readonly userAgent?: string
  /** Lists at a time; others wait. A start with hundreds of references must not look like an attack. */
  readonly lists?: number
}

export interface Selection {
  readonly fieldSelector?: string
  readonly labelSelector?: string
}

export interface ListQuery extends Selection {
  /** `0`: from the server's cache; none: what is true now. */
  readonly resourceVersion?: string
  readonly limit?: number
  readonly continue?: string
}

export interface WatchQuery extends Selection {
  readonly resourceVersion: string
  readonly timeoutSeconds: number
  /** Existing objects first, instead of a list. */
  readonly sendInitialEvents?: boolean
}

export interface ListSink {
  /** JSON of one item. What it throws ends the list. */
  item(json: Buffer): void
  /** After every piece of the answer: whether to wait before there is more. */
  pause?(): Promise<void> | undefined
}

export interface WatchSink {
  /** Does not wait for its turn when much arrives on many watches. */
  readonly urgent?: boolean
  /** The server has agreed; events may come at any time. */
  opened?(): void
  /** JSON of one event. What it throws ends the watch. */
  line(json: Buffer): void
}

/** What a reflector needs of a client. Both reject with an ApiError, at once with `Aborted` when `signal` says so. */
export interface Lister {
  /** One page, or everything where no limit is given. */
  list(path: string, query: ListQuery, sink: ListSink, signal: AbortSignal): Promise<ListMetadata>
  /** Resolves when the server has ended it in order, perhaps in the middle of a line. */
  watch(path: string, query: WatchQuery, sink: WatchSink, signal: AbortSignal): Promise<void>
}

export interface ApplyOptions {
  readonly fieldManager: string
  /** Takes fields over from other managers. */
  readonly force?: boolean
}

const TIMES: ClientTimes = { connect: 10_000, head: 30_000, body: 30_000, answer: 120_000 }

/** Of the server's side 90 s are usual: ours goes first, so that no request is written into a closed connection. */
const KEEP_IDLE: Milliseconds = 30_000

/** TCP asks from here on whether the other side is still there. */
const KEEP_ALIVE_DELAY: Milliseconds = 15_000

/** An object is at most 3 MiB in a request; what a server makes of it may be longer. */
const MAX_OBJECT_BYTES = 16 * 1_048_576

export class KubernetesClient implements Lister {
  readonly #credentials: Credentials
  readonly #times: ClientTimes
  readonly #userAgent: string
  readonly #open = new Set<Dispatcher>()
  readonly #lists: Semaphore
  readonly #time: TimerClock
  /** What arrives at once on many connections is processed over several turns of the loop. */
  readonly #pace: Pace
  #current: { readonly key: string; readonly dispatcher: Dispatcher } | undefined
  #closed = false

  constructor(
    credentials: Credentials,
    time: TimerClock,
    { times, userAgent = 'headgate', lists = 16 }: ClientOptions = {},
  ) {
    this.#credentials = credentials
    this.#time = time
    this.#pace = new Pace(time)
    this.#times = { ...TIMES, ...times }
    this.#userAgent = userAgent
    this.#lists = new Semaphore(lists)
  }

  /** How many sets of connections are in use; more than one only for as long as requests run on an older one. */
  get dispatchers(): number {
    return this.#open.size
  }

  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('GET', path, undefined, signal)
  }

  /** @returns the object as the server has stored it */
  async create(path: string, object: unknown, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('POST', path, { type: 'application/json', object }, signal)
  }

  /** Replaces; with `metadata.resourceVersion` only that version, else 409. */
  async update(path: string, object: unknown, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('PUT', path, { type: 'application/json', object }, signal)
  }

  /** Server-side apply. For the status: the path ends in `/status`. */
  async apply(path: string, object: unknown, options: ApplyOptions, signal?: AbortSignal): Promise<unknown> {
    const query = queryOf({ fieldManager: options.fieldManager, ...(options.force === true && { force: 'true' }) })
    // JSON is YAML, and every API server that can apply takes YAML.
    return await this.#json('PATCH', path + query, { type: 'application/apply-patch+yaml', object }, signal)
  }

  /** RFC 7396. For the status: the path ends in `/status`. */
  async mergePatch(path: string, patch: unknown, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('PATCH', path, { type: 'application/merge-patch+json', object: patch }, signal)
  }

  async delete(path: string, signal?: AbortSignal): Promise<unknown> {
    return await this.#json('DELETE', path, undefined, signal)
  }

  async list(path: string, query: ListQuery, sink: ListSink, signal: AbortSignal): Promise<ListMetadata> {
    await this.#lists.enter(signal)
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
              const read = this.#pace.run(() => over || fresh.push(chunk))
              return read === undefined ? sink.pause?.() : read.then(() => sink.pause?.())
            },
          }
        },
        signal,
      )
      // The connection is free for the watch that follows only in a later turn of the loop.
      await new Promise<void>((resolve) => this.#time.nextTurn(resolve))
      return reader!.end()
    } finally {
      over = true
      this.#lists.leave()
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
          data: (chunk) => this.#pace.run(() => signal.aborted || splitter.push(chunk), sink.urgent),
        }
      },
      signal,
    )
  }

  /** Ends everything under way. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open].map((dispatcher) => dispatcher.destroy()))
    this.#open.clear()
  }

  async #json(
    method: Call['method'],
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

  /** @param receiver one for each attempt */
  async #send(request: Request, receiver: () => Receiver, signal: AbortSignal | undefined): Promise<void> {
    const access = await this.#access()
    try {
      await this.#attempt(request, access, receiver, signal)
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) {
        this.#credentials.refused(access)
        const fresh = await this.#access()
        if (fresh === access) throw error
        return await this.#attempt(request, fresh, receiver, signal)
      }
      // A connection that idled may have been closed by the other side just then.
      if (request.method === 'GET' && brokeBeforeAnswer(error))
        return await this.#attempt(request, access, receiver, signal)
      throw error
    }
  }

  #attempt(request: Request, access: Access, receiver: () => Receiver, signal: AbortSignal | undefined): Promise<void> {
    const { method, path, type, body, bodyTimeout } = request
    const { origin, pathname } = new URL(access.server)
    const { head, body: silence, answer } = this.#times
    const call: Call = {
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
      // A watch has a watchdog of its own.
      ...(bodyTimeout === undefined && { deadline: answer }),
    }
    return exchange(this.#dispatcher(access), call, receiver(), this.#time, signal)
  }

  async #access(): Promise<Access> {
    try {
      return await this.#credentials.access()
    } catch (error) {
      throw new ApiError(0, 'NoCredentials', error instanceof Error ? error.message : String(error), { cause: error })
    }
  }

  /** The one there is, until what decides about connections differs. Requests on the old one end where they began. */
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
      // To read a CA anew for every connection takes as long as all the rest of it.
      ...(origin.startsWith('https:') && { secureContext: contextOf(tls) }),
      timeout: this.#times.connect,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_DELAY,
    }
    const options = {
      // A connection for each watch: a large list then never stands between an endpoint's event and us.
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

interface Request {
  readonly method: Call['method']
  readonly path: string
  readonly type?: string
  readonly body?: string
  /** Set for watches, which may be silent. */
  readonly bodyTimeout?: Milliseconds
}

function queryOf(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value))
  return query.size === 0 ? '' : `?${query}`
}
