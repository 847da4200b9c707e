/**
 * Keeps what is known of one kind of object equal to what the API server has: a list, then a watch from there on, again
 * and again. It never gives up, never forgets because it cannot read, and calls no one after it was stopped.
 */
import type { Kind } from '../../api/object.ts'
import type { Milliseconds, Random } from '../../lib/clock.ts'
import { ApiError, errorOfStatus } from './api-error.ts'
import { BACK_OFF, BackOff, type BackOffLimits } from './back-off.ts'
import type { Lister, ListQuery, Selection } from './client.ts'
import { bookmarkOf, type Ingested, ingest, parseEvent, parseJson, type Version } from './ingest.ts'
import { collectionPath, resourceOf } from './resources.ts'

export interface Trouble {
  readonly verb: 'list' | 'watch'
  readonly error: ApiError
  /** Attempts in a row that have failed, this one among them. */
  readonly failures: number
}

/** What it throws is caught and told to `failed`; nothing else comes of it. */
export interface ReflectorHandler {
  /** New, or another version. An object of the same name with another uid is deleted before. */
  upsert(object: Ingested): void
  delete(key: string): void
  /** Once: everything there was has been told. */
  synced(): void
  /** After every failed attempt; undefined when it is over. */
  trouble(trouble: Trouble | undefined): void
  failed(error: unknown): void
  /** Asked while a list comes in: whether it is to wait. */
  pause?(): Promise<void> | undefined
}

export interface Pacing {
  readonly backOff: BackOffLimits
  /** Longest pause as long as nothing is known, or the kind is not served. */
  readonly mostUnsynced: Milliseconds
  /** Objects in a page. */
  readonly page: number
  /** A watch is asked to last a random time between these. */
  readonly watchSeconds: readonly [number, number]
  /** Silence for so long after a watch should have ended means that nobody is there. */
  readonly watchdog: Milliseconds
  /** A watch of this length was no failure, so that the next pause is short again. */
  readonly lived: Milliseconds
  /** An orderly end before this is one to be suspicious of. */
  readonly quick: Milliseconds
  /** For what exists to come by a watch, before it is listed after all. */
  readonly watchList: Milliseconds
}

export const PACING: Pacing = {
  backOff: BACK_OFF,
  mostUnsynced: 10_000,
  page: 500,
  watchSeconds: [290, 580],
  watchdog: 15_000,
  lived: 10_000,
  quick: 1_000,
  watchList: 10_000,
}

export interface ReflectorOptions {
  readonly kind: Kind
  /** None = all of them. */
  readonly namespace?: string
  readonly selection?: Selection
  readonly client: Lister
  readonly handler: ReflectorHandler
  readonly random: Random
  /** Monotonic. */
  readonly now: () => Milliseconds
  readonly pacing?: Partial<Pacing>
  /** Ask for what exists by a watch (Kubernetes 1.32 and later). */
  readonly watchList?: boolean
  /** The first list is not to come from a cache, which may be behind. */
  readonly consistent?: boolean
}

/** ERROR events and refusals in a row after which a watch from here is thought to lead nowhere. */
const RELIST_AFTER = 2

/** Who we are, what we may do, and whether there is time for us: nothing that a list would not meet with, too. */
const PATIENCE: ReadonlySet<number> = new Set([401, 403, 429, 503])

const MAX_PAGES = 100_000

export class Reflector {
  readonly #options: ReflectorOptions
  readonly #pacing: Pacing
  readonly #path: string
  readonly #apiVersion: string
  readonly #backOff: BackOff
  readonly #known = new Map<string, Version>()
  #loop: Promise<void> | undefined
  /** Where to watch from; undefined = list first. */
  #since: string | undefined
  #synced = false
  #watchList: boolean
  #failures = 0
  #refusals = 0
  /** A list in pages outlived the server's memory; the next comes in one piece. */
  #unpaged = false
  #stopped = false
  /** Ends the list or watch under way. */
  #attempt = new AbortController()
  /** Ends the pause under way. */
  #wake: (() => void) | undefined
  /** The pause was made because the server was not there. */
  #away = false

  constructor(options: ReflectorOptions) {
    this.#options = options
    this.#pacing = { ...PACING, ...options.pacing }
    this.#path = collectionPath(options.kind, options.namespace)
    this.#apiVersion = resourceOf(options.kind).apiVersion
    this.#backOff = new BackOff(this.#pacing.backOff, options.random)
    this.#watchList = options.watchList === true
  }

  get synced(): boolean {
    return this.#synced
  }

  /** By key, as last told. */
  get known(): ReadonlyMap<string, Version> {
    return this.#known
  }

  start(): void {
    if (this.#loop !== undefined) throw new TypeError('a reflector is started once')
    this.#loop = this.#run()
  }

  /** No call reaches the handler from now on. Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#attempt.abort()
    this.#wake?.()
    await this.#loop
  }

  /** The server is known to be there again: a pause made because it was not is cut short. */
  hurry(): void {
    if (this.#away) this.#wake?.()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#attempt = new AbortController()
      const verb = this.#since === undefined && !this.#watchList ? 'list' : 'watch'
      try {
        if (verb === 'list') await this.#list()
        else if (await this.#watch()) continue
        else await this.#pause(this.#backOff.next(), true)
      } catch (error) {
        if (this.#stopped) return
        await this.#recover(verb, error instanceof ApiError ? error : unexpected(error))
      }
    }
  }

  async #recover(verb: Trouble['verb'], error: ApiError): Promise<void> {
    this.#failures++
    if (verb === 'watch' && this.#watchList) {
      // Servers without it refuse in many ways, and some never come to an end.
      this.#watchList = false
      return
    }
    if (verb === 'list') this.#unpaged = error.expired && this.#failures > 1
    else if (this.#leadsNowhere(error)) this.#since = undefined
    this.#call(() => this.#options.handler.trouble({ verb, error, failures: this.#failures }))
    const short = !this.#synced || error.status === 404
    const pause = this.#backOff.next(short ? this.#pacing.mostUnsynced : undefined)
    const away = error.reason === 'Unreachable' || error.reason === 'TimedOut'
    await this.#pause(Math.max(pause, error.retryAfter ?? 0), away)
  }

  /** Whether only a new list helps. */
  #leadsNowhere(error: ApiError): boolean {
    if (error.expired || error.reason === 'BadAnswer' || error.status === 404 || error.status === 400) return true
    // A server that is not there, or that asks for peace, has not lost its place.
    if (error.status === 0 || PATIENCE.has(error.status)) return false
    return ++this.#refusals >= RELIST_AFTER
  }

  /** Reads everything, then tells what differs from what is known. */
  async #list(): Promise<void> {
    const { signal } = this.#attempt
    const collected = new Collected()
    const sink = {
      item: (json: Buffer) => {
        if (!signal.aborted) this.#collect(collected, ingest(parseJson(json), this.#options.kind, this.#apiVersion))
      },
      pause: () => this.#options.handler.pause?.(),
    }
    let since: string | undefined
    let next = ''
    let pages = 0
    do {
      const page = await this.#options.client.list(this.#path, this.#pageQuery(next), sink, signal)
      if (signal.aborted) return
      // Every page has the version of the first; if one has not, going back to the first repeats and misses nothing.
      since ??= page.resourceVersion
      if (page.continue !== '' && (page.continue === next || ++pages === MAX_PAGES))
        throw new ApiError(200, 'BadAnswer', 'the pages of the list have no end')
      next = page.continue
    } while (next !== '')
    this.#unpaged = false
    this.#swap(collected, since)
  }

  #pageQuery(next: string): ListQuery {
    const { selection, consistent } = this.#options
    if (next !== '') return { ...selection, limit: this.#pacing.page, continue: next }
    if (!this.#synced && consistent !== true) return { ...selection, resourceVersion: '0' }
    return this.#unpaged ? { ...selection } : { ...selection, limit: this.#pacing.page }
  }

  #collect(collected: Collected, object: Ingested): void {
    const { key } = object
    collected.keys.add(key)
    if (sameVersion(this.#known.get(key), object)) collected.different.delete(key)
    // Nobody acts before all is known, so that nothing need be kept back (a start is when memory is short).
    else if (!this.#synced) this.#put(object)
    else collected.different.set(key, object)
  }

  /** What is new comes before what is gone: what moved from one object to another is there all the time. */
  #swap(collected: Collected, since: string): void {
    for (const object of collected.different.values()) this.#put(object)
    for (const key of this.#known.keys()) if (!collected.keys.has(key)) this.#remove(key)
    this.#since = since
    this.#well()
    if (this.#synced) return
    this.#synced = true
    this.#call(() => this.#options.handler.synced())
  }

  /** @returns whether to go on at once */
  async #watch(): Promise<boolean> {
    const { client, random, now, selection } = this.#options
    const { watchSeconds, watchdog, lived, quick, watchList } = this.#pacing
    const [least, most] = watchSeconds
    const timeoutSeconds = Math.ceil(least + random() * (most - least))
    const attempt = this.#attempt
    const { signal } = attempt
    const initial = this.#watchList ? new Collected() : undefined
    const dog = setTimeout(() => attempt.abort(), timeoutSeconds * 1_000 + watchdog)
    const late = initial && setTimeout(() => this.#watchList && attempt.abort(), watchList)
    const began = now()
    const sink = {
      opened: () => !signal.aborted && initial === undefined && this.#well(),
      line: (json: Buffer) => {
        if (!signal.aborted) this.#accept(json, this.#watchList ? initial : undefined)
      },
    }
    const query = {
      ...selection,
      resourceVersion: this.#since ?? '',
      timeoutSeconds,
      ...(initial !== undefined && { sendInitialEvents: true }),
    }
    try {
      await client.watch(this.#path, query, sink, signal)
    } catch (error) {
      if (signal.aborted && !this.#stopped)
        throw new ApiError(0, 'TimedOut', `the watch is silent past its time (${timeoutSeconds} s)`)
      throw error
    } finally {
      clearTimeout(dog)
      clearTimeout(late)
      if (now() - began >= lived) this.#backOff.reset()
    }
    if (this.#watchList) throw new ApiError(200, 'BadAnswer', 'the watch has ended before everything was told')
    return now() - began >= quick
  }

  /** @param initial where what existed before is told by the watch, until it has been told */
  #accept(json: Buffer, initial: Collected | undefined): void {
    const { type, object } = parseEvent(json)
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
      case 'DELETED': {
        const item = ingest(object, this.#options.kind, this.#apiVersion)
        if (initial !== undefined) this.#collect(initial, item)
        else {
          if (type !== 'DELETED') this.#put(item)
          // The end of an older object of that name says nothing about this one.
          else if (this.#known.get(item.key)?.uid === item.uid) this.#remove(item.key)
          this.#since = item.resourceVersion
        }
        break
      }
      case 'BOOKMARK': {
        const { resourceVersion, initialEventsEnd } = bookmarkOf(object)
        if (initial === undefined) this.#since = resourceVersion
        else if (initialEventsEnd) {
          this.#watchList = false
          this.#swap(initial, resourceVersion)
        }
        break
      }
      case 'ERROR':
        throw errorOfStatus(object)
      default:
        throw new ApiError(200, 'BadAnswer', 'an event of a type that is not known')
    }
    this.#refusals = 0
  }

  #put(object: Ingested): void {
    const { key, uid, resourceVersion } = object
    const before = this.#known.get(key)
    if (sameVersion(before, object)) return
    if (before !== undefined && before.uid !== uid) this.#remove(key)
    this.#known.set(key, { uid, resourceVersion })
    this.#call(() => this.#options.handler.upsert(object))
  }

  #remove(key: string): void {
    this.#known.delete(key)
    this.#call(() => this.#options.handler.delete(key))
  }

  #well(): void {
    if (this.#failures === 0) return
    this.#failures = 0
    this.#call(() => this.#options.handler.trouble(undefined))
  }

  #call(tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#options.handler.failed(error)
    }
  }

  /** @param away because the server was not there: news that it is back ends the pause */
  async #pause(time: Milliseconds, away: boolean): Promise<void> {
    if (this.#stopped) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, time)
    this.#wake = resolve
    this.#away = away
    await promise
    this.#wake = undefined
    this.#away = false
    clearTimeout(timer)
  }
}

/** What a list, or the first part of a watch, has told so far. */
class Collected {
  readonly keys = new Set<string>()
  readonly different = new Map<string, Ingested>()
}

function sameVersion(a: Version | undefined, b: Version): boolean {
  return a !== undefined && a.uid === b.uid && a.resourceVersion === b.resourceVersion
}

function unexpected(error: unknown): ApiError {
  return new ApiError(0, 'BadAnswer', error instanceof Error ? error.message : String(error), { cause: error })
}
