/**
 * Mirrors the objects of one kind from the API server: a list, then watches from the list's version. It retries for
 * ever, keeps its objects while the server cannot be read, and makes no call after it was stopped.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import { ApiError, errorFromStatus } from './api-error.ts'
import { Backoff } from './backoff.ts'
import type { ListQuery } from './client.ts'
import { bookmarkOf, type Ingested, ingest, parseEvent, parseJson, type Version } from './ingest.ts'
import {
  DEFAULT_TIMINGS,
  type ReflectorFailure,
  type ReflectorOptions,
  type ReflectorTimings,
} from './reflector-options.ts'
import { type ApiResource, collectionPath, resourceOf } from './resources.ts'

/** Consecutive ERROR events and rejections of a watch after which the reflector lists again. */
const RELIST_AFTER = 2

/** Authentication, authorization and load: a list would fail the same way, so the watch is retried. */
const RETRY_WITHOUT_RELIST: ReadonlySet<number> = new Set([401, 403, 429, 503])

const MAX_PAGES = 100_000

export class Reflector {
  readonly #options: ReflectorOptions
  readonly #pacing: ReflectorTimings
  readonly #path: string
  readonly #resource: ApiResource
  readonly #backoff: Backoff
  readonly #store = new Map<string, Version>()
  #loop: Promise<void> | undefined
  /** Version at which the next watch begins; undefined = list first. */
  #resourceVersion: string | undefined
  #synced = false
  #watchList: boolean
  #failures = 0
  #refusals = 0
  #failing = false
  /** The last attempt failed because the server was unavailable. */
  #wasUnavailable = false
  /** Consecutive paginated lists whose version expired. */
  #expiries = 0
  #stopped = false
  /** Aborts the current list or watch. */
  #attempt = new AbortController()
  /** Ends the current pause. */
  #wake: (() => void) | undefined
  /** The current pause follows from an unavailable server. */
  #pausedUnavailable = false

  constructor(options: ReflectorOptions) {
    this.#options = options
    this.#pacing = { ...DEFAULT_TIMINGS, ...options.pacing }
    this.#resource = options.resource ?? resourceOf(options.kind)
    this.#path = collectionPath(this.#resource, options.namespace)
    this.#backoff = new Backoff(this.#pacing.backoff, options.random)
    this.#watchList = options.watchList === true
  }

  get synced(): boolean {
    return this.#synced
  }

  /** The delivered versions by key. */
  get store(): ReadonlyMap<string, Version> {
    return this.#store
  }

  start(): void {
    if (this.#loop !== undefined) throw new TypeError('a reflector is started once')
    this.#loop = this.#run()
  }

  /** The handler is not called any more. Resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#attempt.abort()
    this.#wake?.()
    await this.#loop
  }

  /** Called when the server is available again: cuts a pause short that followed from its unavailability. */
  retryNow(): void {
    if (this.#pausedUnavailable) this.#wake?.()
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      this.#attempt = new AbortController()
      const verb = this.#resourceVersion === undefined && !this.#watchList ? 'list' : 'watch'
      try {
        if (verb === 'list') await this.#list()
        else if (await this.#watch()) continue
        else await this.#pause(this.#backoff.next(), true)
      } catch (error) {
        if (this.#stopped) return
        await this.#recover(verb, error instanceof ApiError ? error : unexpected(error))
      }
    }
  }

  async #recover(verb: ReflectorFailure['verb'], error: ApiError): Promise<void> {
    this.#failures++
    if (verb === 'watch' && this.#watchList) {
      // Servers without watch-list reject it in various ways, and some never send the final bookmark.
      this.#watchList = false
      return
    }
    this.#failing = true
    if (verb === 'list') this.#expiries = error.expired ? this.#expiries + 1 : 0
    else if (this.#needsRelist(error)) this.#resourceVersion = undefined
    this.#notify(() => this.#options.handler.failureChanged({ verb, error, failures: this.#failures }))
    const away = error.reason === 'Unreachable' || error.reason === 'TimedOut'
    // A rejection after an outage is a new cause with a backoff of its own.
    if (!away && this.#wasUnavailable) this.#backoff.reset()
    this.#wasUnavailable = away
    const pause = this.#backoff.next(this.#maxPause(error))
    await this.#pause(Math.max(pause, error.retryAfter ?? 0), away)
  }

  #maxPause({ reason, status }: ApiError): Milliseconds | undefined {
    const { maxPauseUnavailable: mostAway, maxPauseUnsynced: mostUnsynced } = this.#pacing
    if (reason === 'Unreachable') return mostAway
    return !this.#synced || status === 404 ? mostUnsynced : undefined
  }

  /** Whether a new list is needed. */
  #needsRelist(error: ApiError): boolean {
    if (error.expired || error.reason === 'BadAnswer' || error.status === 404 || error.status === 400) return true
    // An unavailable or throttling server still accepts the version later.
    if (error.status === 0 || RETRY_WITHOUT_RELIST.has(error.status)) return false
    return ++this.#refusals >= RELIST_AFTER
  }

  /** Reads all objects, then delivers the differences to the store. */
  async #list(): Promise<void> {
    const { signal } = this.#attempt
    const collected = new PendingReplace()
    const sink = {
      item: (json: Buffer) => {
        if (!signal.aborted) this.#collectItem(collected, this.#ingest(parseJson(json)))
      },
      pause: () => this.#options.handler.backpressure?.(),
    }
    let since: string | undefined
    let next = ''
    let pages = 0
    do {
      const page = await this.#options.client.list(this.#path, this.#pageQuery(next), sink, signal)
      if (signal.aborted) return
      // All pages carry the first page's version; if not, watching from the first repeats events and misses none.
      since ??= page.resourceVersion
      if (page.continue !== '' && (page.continue === next || ++pages === MAX_PAGES))
        throw new ApiError(200, 'BadAnswer', 'the pages of the list have no end')
      next = page.continue
    } while (next !== '')
    this.#expiries = 0
    this.#replace(collected, since)
  }

  #pageQuery(next: string): ListQuery {
    const { selection, consistent } = this.#options
    if (next !== '') return { ...selection, limit: this.#pacing.pageSize, continue: next }
    if (!this.#synced && consistent !== true) return { ...selection, resourceVersion: '0' }
    // After two expired paginated lists, one list without a limit.
    return this.#expiries > 1 ? { ...selection } : { ...selection, limit: this.#pacing.pageSize }
  }

  #ingest(value: unknown): Ingested {
    const { kind, namespace } = this.#options
    return ingest(value, kind, this.#resource, namespace)
  }

  #collectItem(collected: PendingReplace, object: Ingested): void {
    const { key } = object
    collected.keys.add(key)
    if (sameVersion(this.#store.get(key), object)) collected.changed.delete(key)
    // Before the first sync nothing acts on the objects, so they are delivered at once, which saves memory.
    else if (!this.#synced) this.#upsert(object)
    else collected.changed.set(key, object)
  }

  /** Delivers upserts before deletions, so that a rule that moved between objects is never absent. */
  #replace(collected: PendingReplace, since: string): void {
    for (const object of collected.changed.values()) this.#upsert(object)
    for (const key of this.#store.keys()) if (!collected.keys.has(key)) this.#delete(key)
    this.#resourceVersion = since
    this.#clearFailure()
    if (this.#synced) return
    this.#synced = true
    this.#notify(() => this.#options.handler.synced())
  }

  /** @returns whether the next watch may start without a pause */
  async #watch(): Promise<boolean> {
    const { client, random, time, selection } = this.#options
    const {
      watchSeconds,
      watchdog,
      healthyAfter: lived,
      minWatchDuration: quick,
      watchListTimeout: watchList,
    } = this.#pacing
    const [least, most] = watchSeconds
    const timeoutSeconds = Math.ceil(least + random() * (most - least))
    const attempt = this.#attempt
    const { signal } = attempt
    const initial = this.#watchList ? new PendingReplace() : undefined
    const cancelWatchdog = time.after(timeoutSeconds * 1_000 + watchdog, () => attempt.abort())
    const cancelWatchList = initial && time.after(watchList, () => this.#watchList && attempt.abort())
    const began = time.monotonic()
    const sink = {
      urgent: this.#options.urgent === true,
      opened: () => !signal.aborted && initial === undefined && this.#clearFailure(),
      line: (json: Buffer) => {
        if (!signal.aborted) this.#applyEvent(json, this.#watchList ? initial : undefined)
      },
    }
    const query = {
      ...selection,
      resourceVersion: this.#resourceVersion ?? '',
      timeoutSeconds,
      ...(initial !== undefined && { sendInitialEvents: true }),
    }
    try {
      await client.watch(this.#path, query, sink, signal)
    } catch (error) {
      if (signal.aborted && !this.#stopped)
        throw new ApiError(0, 'TimedOut', `the watch did not end within its timeout (${timeoutSeconds} s)`)
      throw error
    } finally {
      cancelWatchdog()
      cancelWatchList?.()
      if (time.monotonic() - began >= lived) this.#resetFailures()
    }
    if (this.#watchList) throw new ApiError(200, 'BadAnswer', 'the watch ended before its initial events were complete')
    return time.monotonic() - began >= quick
  }

  /** @param initial collects the initial events of a watch-list until its final bookmark */
  #applyEvent(json: Buffer, initial: PendingReplace | undefined): void {
    const { type, object } = parseEvent(json)
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
      case 'DELETED': {
        const item = this.#ingest(object)
        if (initial !== undefined) this.#collectItem(initial, item)
        else {
          if (type !== 'DELETED') this.#upsert(item)
          // The deletion of an older object of the same name does not concern the current one.
          else if (this.#store.get(item.key)?.uid === item.uid) this.#delete(item.key)
          this.#resourceVersion = item.resourceVersion
        }
        break
      }
      case 'BOOKMARK': {
        const { resourceVersion, initialEventsEnd } = bookmarkOf(object)
        if (initial === undefined) this.#resourceVersion = resourceVersion
        else if (initialEventsEnd) {
          this.#watchList = false
          this.#replace(initial, resourceVersion)
        }
        break
      }
      case 'ERROR':
        throw errorFromStatus(object)
      default:
        throw new ApiError(200, 'BadAnswer', 'an event of unknown type')
    }
    this.#refusals = 0
    this.#failures = 0
  }

  #upsert(object: Ingested): void {
    const { key, uid, resourceVersion } = object
    const before = this.#store.get(key)
    if (sameVersion(before, object)) return
    if (before !== undefined && before.uid !== uid) this.#delete(key)
    this.#store.set(key, { uid, resourceVersion })
    this.#notify(() => this.#options.handler.upsert(object))
  }

  #delete(key: string): void {
    this.#store.delete(key)
    this.#notify(() => this.#options.handler.delete(key))
  }

  #resetFailures(): void {
    this.#backoff.reset()
    this.#failures = 0
  }

  /** Reports recovery. `failures` keeps counting until an event arrives or a watch proves healthy. */
  #clearFailure(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#notify(() => this.#options.handler.failureChanged(undefined))
  }

  #notify(tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#options.handler.handlerFailed(error)
    }
  }

  /** @param away the server was unavailable, so `retryNow` ends the pause */
  async #pause(duration: Milliseconds, away: boolean): Promise<void> {
    if (this.#stopped) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.time.after(duration, resolve)
    this.#wake = resolve
    this.#pausedUnavailable = away
    await promise
    this.#wake = undefined
    this.#pausedUnavailable = false
    cancel()
  }
}

/** The objects of an unfinished list or watch-list. */
class PendingReplace {
  readonly keys = new Set<string>()
  readonly changed = new Map<string, Ingested>()
}

function sameVersion(a: Version | undefined, b: Version): boolean {
  return a !== undefined && a.uid === b.uid && a.resourceVersion === b.resourceVersion
}

function unexpected(error: unknown): ApiError {
  return new ApiError(0, 'BadAnswer', error instanceof Error ? error.message : String(error), { cause: error })
}
