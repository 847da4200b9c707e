/**
 * Last good versions of stale objects, kept in ConfigMaps of the installation's namespace, so that restarts and new
 * replicas serve the same. Every replica reads them when it starts and knows what is to be kept; the leader alone
 * writes. Hostnames that are kept for a namespace go the same way. Routes, Backends and hostnames only, never a Secret.
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { type Rate, TokenBucket } from '../../lib/token-bucket.ts'
import { ApiError } from '../../source/kubernetes/api-error.ts'
import { Backoff, DEFAULT_BACKOFF } from '../../source/kubernetes/backoff.ts'
import type { LastGood, LastGoodChange } from '../../thread/retained-state.ts'
import { digestOf, MAX_OBJECT_BYTES, openRecord, textOf } from './last-good-record.ts'
import {
  identityOf,
  LastGoodShards,
  SHARDS,
  type Shard,
  shardName,
  shardObject,
  shardsFor,
} from './last-good-shards.ts'
import { LastGoodShares, ownerOf } from './last-good-shares.ts'

/** What is asked of an API server; KubernetesClient has it. */
export interface ConfigMapClient {
  get(path: string, signal?: AbortSignal): Promise<unknown>
  create(path: string, object: unknown, signal?: AbortSignal): Promise<unknown>
  update(path: string, object: unknown, signal?: AbortSignal): Promise<unknown>
  delete(path: string, signal?: AbortSignal): Promise<unknown>
}

export interface LastGoodConfigMapOptions {
  readonly client: ConfigMapClient
  /** Of the installation. */
  readonly namespace: string
  /** Its name; the ConfigMaps are `NAME-last-good`, `NAME-last-good-1`, … */
  readonly installation: string
  readonly time: TimerClock
  readonly random: Random
  readonly leading: () => boolean
  /** An object of the installation with which they are to end: an owner reference. */
  readonly owner?: () => object | undefined
  /** What could not be read or kept, and what follows from it; nothing here ever throws. */
  readonly warn: (message: string) => void
}

const READ_WITHIN: Milliseconds = 10_000
/** Attempts at a server that answers, but with errors. */
const MAX_READS = 5
/** Any user who may write ConfigMaps may have written thousands; a start waits for all that are opened. */
const MAX_UNUSABLE = 64
/** Of those, so many are reported one by one. */
const MAX_REPORTED = 8
/** A start waits for it. */
const LONGEST_PAUSE: Milliseconds = 5_000

/** Each is up to a megabyte; what changes meanwhile is in the next. */
const RATE: Rate = { perSecond: 1, burst: SHARDS }

const compress = promisify(gzip)

interface Wanted {
  readonly kind: LastGood['kind']
  readonly key: string
  readonly object: unknown
}

export class LastGoodConfigMaps {
  readonly #options: LastGoodConfigMapOptions
  readonly #collection: string
  readonly #backOff: Backoff
  readonly #bucket: TokenBucket
  /** By {@link identityOf}: what is to be kept. */
  readonly #wanted = new Map<string, Wanted>()
  /** What is there, as far as it was read or written. */
  #shards = new LastGoodShards()
  /** Digests of what is there or about to be, by identity. */
  readonly #there = new Map<string, string>()
  /** Whose it is. */
  readonly #shares = new LastGoodShares()
  /** Identities for which there was no room, by namespace. */
  readonly #leftOut = new FairQueue()
  /** Something was dropped since it was last looked for room. */
  #roomier = false
  #leftOutCount = 0
  /** Identities that may have to be written or dropped. */
  readonly #open = new Set<string>()
  /** Whether what is there has been read since we lead. */
  #known = false
  #writing: Promise<void> | undefined
  #cancel: (() => void) | undefined
  #wake: () => void = () => {}
  #stopped = false
  #finishing = false
  #warned: string | undefined

  constructor(options: LastGoodConfigMapOptions) {
    this.#options = options
    this.#collection = `/api/v1/namespaces/${encodeURIComponent(options.namespace)}/configmaps`
    this.#backOff = new Backoff(DEFAULT_BACKOFF, options.random)
    this.#bucket = new TokenBucket(RATE, () => options.time.monotonic())
  }

  /**
   * What an earlier process, or another replica, stored; what cannot be read is reported and passed over. Waits for an
   * API server that is not there, since nothing else can be read from it either.
   */
  async read(): Promise<LastGood[]> {
    const { warn } = this.#options
    const shards = await this.#loadSoon()
    if (shards === undefined) return []
    const records: LastGood[] = []
    let unusable = 0
    for (const { identity, digest, content, broken } of shards.records()) {
      const record = broken ?? (await openRecord(content, identity, digest))
      if (typeof record === 'string') {
        if (++unusable > MAX_UNUSABLE) break
        if (unusable > MAX_REPORTED) continue
        warn(`ignoring a last good version (${record}): if its object is invalid now, it is not served`)
      } else {
        records.push(record)
        this.#wanted.set(identity, record)
      }
    }
    if (unusable > MAX_REPORTED)
      warn(
        unusable > MAX_UNUSABLE
          ? `more than ${MAX_UNUSABLE} last good versions cannot be used: the rest is not looked at; who may write ConfigMaps of namespace ${this.#options.namespace}?`
          : `ignoring ${unusable - MAX_REPORTED} more last good versions`,
      )
    return records
  }

  /** Notes what is to be kept, or no longer; the leader writes it in the background. */
  keep(changes: Iterable<LastGoodChange>): void {
    for (const { kind, key, object } of changes) {
      const identity = identityOf({ kind, key })
      if (object === undefined) this.#wanted.delete(identity)
      else this.#wanted.set(identity, { kind, key, object })
      this.#open.add(identity)
    }
    this.#write()
  }

  /** This replica leads from now on: what is there is compared with what is to be kept. */
  lead(): void {
    this.#known = false
    this.#write()
  }

  /** Resolves when everything noted so far is written, or reported not to be, or has to wait for the API server. */
  async flushed(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** {@link flushed} at the end: no write waits for its turn any more, and nothing waits for longer than this. */
  async finish(within: Milliseconds): Promise<void> {
    if (this.#writing === undefined) return
    this.#finishing = true
    this.#wake()
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.time.after(within, resolve)
    await Promise.race([this.flushed(), promise])
    cancel()
  }

  /** What is not written yet is left to the next leader. */
  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.#wake()
  }

  #write(): void {
    if (this.#stopped || this.#writing !== undefined || !this.#options.leading()) return
    this.#cancel?.()
    this.#cancel = undefined
    this.#writing = this.#drain().finally(() => {
      this.#writing = undefined
      // Noted, or leading anew, after the last look and before this.
      if (this.#cancel === undefined && (this.#open.size > 0 || !this.#known)) this.#write()
    })
  }

  async #drain(): Promise<void> {
    const { leading, time, warn } = this.#options
    try {
      if (!this.#known) await this.#learn()
      for (const identity of this.#open) {
        this.#open.delete(identity)
        await this.#bring(identity)
      }
      await this.#bringLeftOut()
      for (const [index, shard] of this.#shards.dirty()) {
        await this.#pace()
        if (!leading() || this.#stopped) return
        await this.#store(index, shard)
      }
      this.#backOff.reset()
      this.#warned = undefined
    } catch (error) {
      if (this.#stopped) return
      // Another writer was there: it is read again before it is written again.
      this.#known = false
      const why = textOf(error)
      const conflict = error instanceof ApiError && error.status === 409
      if (this.#warned !== why && !conflict)
        warn(`last good versions cannot be kept just now (${why}): what is broken serves on, but not after a restart`)
      this.#warned = why
      const retryAfter = (error instanceof ApiError && error.retryAfter) || 0
      this.#cancel = time.after(Math.max(this.#backOff.next(), retryAfter), () => this.#write())
    }
  }

  /** An earlier leader may have left records that are not needed, or not have written some that are. */
  async #learn(): Promise<void> {
    this.#shards = await this.#load()
    this.#there.clear()
    this.#shares.clear()
    this.#leftOut.clear()
    for (const { identity, digest, content, broken } of this.#shards.records()) {
      this.#there.set(identity, broken === undefined ? digest : '')
      const wanted = this.#wanted.get(identity)
      if (wanted !== undefined) this.#shares.put(identity, ownerOf(wanted), content.length)
      this.#open.add(identity)
    }
    for (const identity of this.#wanted.keys()) this.#open.add(identity)
    this.#known = true
  }

  /** What is known to be there is made what it is to be. @returns whether it is */
  async #bring(identity: string): Promise<boolean> {
    const wanted = this.#wanted.get(identity)
    if (wanted === undefined) {
      this.#drop(identity)
      return true
    }
    const { kind, key, object } = wanted
    const text = JSON.stringify({ kind, key, object })
    const digest = digestOf(text)
    if (this.#there.get(identity) === digest) return true
    const content = text.length > MAX_OBJECT_BYTES ? undefined : await compress(text)
    if (content !== undefined && this.#place(identity, wanted, digest, content)) return true
    this.#drop(identity)
    this.#warnLeftOut(wanted)
    if (content !== undefined) this.#leftOut.add(ownerOf(wanted).namespace, identity)
    return false
  }

  /** Where there is no room, those who have most give up some of theirs. */
  #place(identity: string, wanted: Wanted, digest: string, content: Buffer): boolean {
    const owner = ownerOf(wanted)
    this.#shares.drop(identity)
    while (!this.#shards.put(identity, digest, content, shardsFor(wanted.kind))) {
      const victim = this.#shares.victim(owner, content.length)
      if (victim === undefined) return false
      this.#drop(victim)
      const other = this.#wanted.get(victim)
      if (other === undefined) continue
      this.#warnLeftOut(other)
      this.#leftOut.add(ownerOf(other).namespace, victim)
    }
    this.#there.set(identity, digest)
    this.#shares.put(identity, owner, content.length)
    return true
  }

  #drop(identity: string): void {
    if (this.#there.delete(identity)) this.#roomier = true
    this.#shares.drop(identity)
    this.#shards.drop(identity)
  }

  #warnLeftOut(wanted: Wanted): void {
    if (++this.#leftOutCount > MAX_REPORTED) return
    this.#options.warn(
      `the last good version of ${wanted.kind} ${wanted.key} is not kept: there is too much of it; it serves on, but not after a restart`,
    )
  }

  /** In turns by namespace, as long as there is room. */
  async #bringLeftOut(): Promise<void> {
    const full = new Set<string>()
    while (this.#roomier) {
      const next = this.#leftOut.take(1, (namespace) => full.has(namespace))
      if (next === undefined) break
      if (!(await this.#bring(next.key))) full.add(next.group)
    }
    this.#roomier = false
    if (this.#leftOut.size > 0) return
    if (this.#leftOutCount > MAX_REPORTED)
      this.#options.warn(`${this.#leftOutCount - MAX_REPORTED} more last good versions were not kept for a while`)
    this.#leftOutCount = 0
  }

  async #store(index: number, shard: Shard): Promise<void> {
    const { client, namespace, installation, owner } = this.#options
    const name = shardName(installation, index)
    const path = `${this.#collection}/${name}`
    if (shard.members.size === 0) {
      if (shard.resourceVersion !== undefined) await gone(client.delete(path))
      shard.resourceVersion = undefined
    } else {
      const object = shardObject(namespace, name, installation, shard, owner?.())
      const stored = await (shard.resourceVersion === undefined
        ? client.create(this.#collection, object)
        : client.update(path, object))
      const { resourceVersion } = (stored as { metadata?: { resourceVersion?: unknown } }).metadata ?? {}
      shard.resourceVersion = typeof resourceVersion === 'string' ? resourceVersion : undefined
    }
    shard.dirty = false
  }

  async #loadSoon(): Promise<LastGoodShards | undefined> {
    const { warn, time } = this.#options
    for (let attempt = 1; ; attempt++)
      try {
        const shards = await this.#load()
        this.#backOff.reset()
        return shards
      } catch (error) {
        const why = textOf(error)
        const away = error instanceof ApiError && error.status === 0 && error.reason !== 'BadAnswer'
        const lasting = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429
        if (this.#stopped || lasting || (!away && attempt >= MAX_READS)) {
          if (!this.#stopped)
            warn(`cannot read the last good versions (${why}): objects that are invalid now are not served`)
          return undefined
        }
        if (attempt === 1) warn(`waits for the API server to read the last good versions: ${why}`)
        const { promise, resolve } = Promise.withResolvers<void>()
        const cancel = time.after(this.#backOff.next(LONGEST_PAUSE), resolve)
        this.#wake = resolve
        await promise
        cancel()
      }
  }

  async #load(): Promise<LastGoodShards> {
    const { client, installation, time } = this.#options
    const shards = new LastGoodShards()
    const aborts = new AbortController()
    const cancel = time.after(READ_WITHIN, () => aborts.abort())
    const load = async (shard: number): Promise<void> => {
      const path = `${this.#collection}/${shardName(installation, shard)}`
      shards.load(shard, await gone(client.get(path, aborts.signal)))
    }
    try {
      await Promise.all(Array.from({ length: SHARDS }, (_, shard) => load(shard)))
    } finally {
      cancel()
    }
    return shards
  }

  /** Waits until there may be another write. */
  async #pace(): Promise<void> {
    for (let wait = this.#bucket.take(); wait > 0 && !this.#stopped && !this.#finishing; wait = this.#bucket.take()) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const cancel = this.#options.time.after(wait, resolve)
      this.#wake = resolve
      await promise
      cancel()
    }
  }
}

/** @returns undefined for what is not there */
async function gone(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined
    throw error
  }
}
