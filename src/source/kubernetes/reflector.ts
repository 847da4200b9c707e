/**
 * Keeps what is known of one kind of object equal to what the API server has: a list, then a watch from there on, again
 * and again. It never gives up, never forgets because it cannot read, and calls no one after it was stopped.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import { ApiError, errorOfStatus } from './api-error.ts'
import { BackOff } from './back-off.ts'
import type { ListQuery } from './client.ts'
import { bookmarkOf, type Ingested, ingest, parseEvent, parseJson, type Version } from './ingest.ts'
import { PACING, type Pacing, type ReflectorOptions, type Trouble } from './reflector-options.ts'
import { collectionPath, type Resource, resourceOf } from './resources.ts'

/** ERROR events and refusals in a row after which a watch from here is thought to lead nowhere. */
const RELIST_AFTER = 2

/** Who we are, what we may do, and whether there is time for us: nothing that a list would not meet with, too. */
const PATIENCE: ReadonlySet<number> = new Set([401, 403, 429, 503])

const MAX_PAGES = 100_000

export class Reflector {
  readonly #options: ReflectorOptions
  readonly #pacing: Pacing
  readonly #path: string
  readonly #resource: Resource
  readonly #backOff: BackOff
  readonly #known = new Map<string, Version>()
  #loop: Promise<void> | undefined
  /** Where to watch from; undefined = list first. */
  #since: string | undefined
  #synced = false
  #watchList: boolean
  #failures = 0
  #refusals = 0
  #troubled = false
  /** The last attempt met nobody. */
  #wasAway = false
  /** Lists in a row that outlived the server's memory. */
  #expiries = 0
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
    this.#resource = options.resource ?? resourceOf(options.kind)
    this.#path = collectionPath(this.#resource, options.namespace)
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
    this.#troubled = true
    if (verb === 'list') this.#expiries = error.expired ? this.#expiries + 1 : 0
    else if (this.#leadsNowhere(error)) this.#since = undefined
    this.#call(() => this.#options.handler.trouble({ verb, error, failures: this.#failures }))
    const away = error.reason === 'Unreachable' || error.reason === 'TimedOut'
    // What it refuses now has nothing to do with its absence.
    if (!away && this.#wasAway) this.#backOff.reset()
    this.#wasAway = away
    const pause = this.#backOff.next(this.#longest(error))
    await this.#pause(Math.max(pause, error.retryAfter ?? 0), away)
  }

  #longest({ reason, status }: ApiError): Milliseconds | undefined {
    const { mostAway, mostUnsynced } = this.#pacing
    if (reason === 'Unreachable') return mostAway
    return !this.#synced || status === 404 ? mostUnsynced : undefined
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
        if (!signal.aborted) this.#collect(collected, this.#ingest(parseJson(json)))
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
    this.#expiries = 0
    this.#swap(collected, since)
  }

  #pageQuery(next: string): ListQuery {
    const { selection, consistent } = this.#options
    if (next !== '') return { ...selection, limit: this.#pacing.page, continue: next }
    if (!this.#synced && consistent !== true) return { ...selection, resourceVersion: '0' }
    // Pages that expired twice are too slow; in one piece it is a matter of a moment.
    return this.#expiries > 1 ? { ...selection } : { ...selection, limit: this.#pacing.page }
  }

  #ingest(value: unknown): Ingested {
    const { kind, namespace } = this.#options
    return ingest(value, kind, this.#resource, namespace)
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
    const { client, random, time, selection } = this.#options
    const { watchSeconds, watchdog, lived, quick, watchList } = this.#pacing
    const [least, most] = watchSeconds
    const timeoutSeconds = Math.ceil(least + random() * (most - least))
    const attempt = this.#attempt
    const { signal } = attempt
    const initial = this.#watchList ? new Collected() : undefined
    const cancelWatchdog = time.after(timeoutSeconds * 1_000 + watchdog, () => attempt.abort())
    const cancelWatchList = initial && time.after(watchList, () => this.#watchList && attempt.abort())
    const began = time.monotonic()
    const sink = {
      urgent: this.#options.urgent === true,
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
      cancelWatchdog()
      cancelWatchList?.()
      if (time.monotonic() - began >= lived) this.#lived()
    }
    if (this.#watchList) throw new ApiError(200, 'BadAnswer', 'the watch has ended before everything was told')
    return time.monotonic() - began >= quick
  }

  /** @param initial where what existed before is told by the watch, until it has been told */
  #accept(json: Buffer, initial: Collected | undefined): void {
    const { type, object } = parseEvent(json)
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
      case 'DELETED': {
        const item = this.#ingest(object)
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
    this.#failures = 0
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

  #lived(): void {
    this.#backOff.reset()
    this.#failures = 0
  }

  /** Nothing is wrong at the moment. Whether it lasts is another matter: failures go on being counted. */
  #well(): void {
    if (!this.#troubled) return
    this.#troubled = false
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
  async #pause(duration: Milliseconds, away: boolean): Promise<void> {
    if (this.#stopped) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.time.after(duration, resolve)
    this.#wake = resolve
    this.#away = away
    await promise
    this.#wake = undefined
    this.#away = false
    cancel()
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
