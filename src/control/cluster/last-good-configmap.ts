/**
 * Last good versions of stale objects, kept in ConfigMaps of the installation's namespace, so that restarts and new replicas serve the same.
 * Every replica reads them when it starts and knows what is to be kept; the leader alone writes. Routes and Backends only, never a Secret.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Milliseconds, Random } from '../../lib/clock.ts'
import { ApiError } from '../../source/kubernetes/api-error.ts'
import { BACK_OFF, BackOff } from '../../source/kubernetes/back-off.ts'
import type { ApplyOptions, ListQuery, ListSink } from '../../source/kubernetes/client.ts'
import type { LastGood, LastGoodChange } from '../resource-cache.ts'
import { identityOf, type Kept, KeptParts, LABEL, nameOfPart, partObject } from './last-good-parts.ts'
import type { Timekeeper } from './timekeeper.ts'
import { type Rate, TokenBucket } from './token-bucket.ts'

/** What is asked of an API server; KubernetesClient has it. */
export interface ConfigMapClient {
  list(path: string, query: ListQuery, sink: ListSink, signal: AbortSignal): Promise<unknown>
  apply(path: string, object: unknown, options: ApplyOptions, signal?: AbortSignal): Promise<unknown>
  delete(path: string, signal?: AbortSignal): Promise<unknown>
}

export interface LastGoodConfigMapOptions {
  readonly client: ConfigMapClient
  /** Of the installation. */
  readonly namespace: string
  /** Tells the ConfigMaps of installations in one namespace apart; a DNS label of at most 40 characters. */
  readonly installation: string
  readonly time: Timekeeper
  readonly random: Random
  readonly leading: () => boolean
  /** What could not be read or kept, and what follows from it; nothing here ever throws. */
  readonly warn: (message: string) => void
}

/** Bytes of one ConfigMap's content: 1 MiB is the limit of the API, a third more is what Base64 makes of it on the way to etcd. */
const PART_BYTES = 512 * 1_024
/** A Route is bounded by the API server's request limit of 3 MiB. */
const MAX_OBJECT_BYTES = 4 * 1_024 * 1_024
/** Beyond, etcd would be filled because many objects became invalid at once. */
const MAX_TOTAL_BYTES = 32 * 1_024 * 1_024
const MAX_OBJECTS = 2_000
const READ_WITHIN: Milliseconds = 10_000

const RATE: Rate = { perSecond: 20, burst: 50 }

const FIELD_MANAGER = 'headgate-last-good'

const compress = promisify(gzip)
const decompress = promisify(gunzip)

export class LastGoodConfigMaps {
  readonly #options: LastGoodConfigMapOptions
  readonly #collection: string
  readonly #backOff: BackOff
  readonly #bucket: TokenBucket
  /** By {@link identityOf}: what is to be kept. */
  readonly #wanted = new Map<string, LastGood>()
  /** What is there, as far as it was read or written. */
  readonly #there = new Map<string, Kept>()
  /** Identities that may have to be written or deleted. */
  readonly #open = new Set<string>()
  /** Whether what is there has been read since we lead. */
  #known = false
  #writing: Promise<void> | undefined
  #cancel: (() => void) | undefined
  #wake: () => void = () => {}
  #stopped = false
  #warned: string | undefined

  constructor(options: LastGoodConfigMapOptions) {
    this.#options = options
    this.#collection = `/api/v1/namespaces/${encodeURIComponent(options.namespace)}/configmaps`
    this.#backOff = new BackOff(BACK_OFF, options.random)
    this.#bucket = new TokenBucket(RATE, () => options.time.monotonic())
  }

  /** What an earlier process, or another replica, has left; what cannot be read is told and passed over. */
  async read(): Promise<LastGood[]> {
    const { warn } = this.#options
    let parts: KeptParts
    try {
      parts = await this.#list()
    } catch (error) {
      warn(`cannot read the last good versions (${textOf(error)}): objects that are invalid now are not served`)
      return []
    }
    const records: LastGood[] = []
    for (const { identity, kept, content, broken } of parts.whole()) {
      const record = broken === undefined ? await open(content, identity, kept.digest) : broken
      if (typeof record === 'string')
        warn(`ignoring ${kept.names.join(', ')} (${record}): if its object is invalid now, it is not served`)
      else {
        records.push(record)
        this.#wanted.set(identity, record)
      }
    }
    return records
  }

  /** Takes note of what is to be kept, or no longer; the leader writes it in the background. */
  keep(changes: Iterable<LastGoodChange>): void {
    for (const { kind, key, object } of changes) {
      const identity = identityOf({ kind, key })
      if (object === undefined) this.#wanted.delete(identity)
      else this.#wanted.set(identity, { kind, key, object })
      this.#open.add(identity)
    }
    this.#write()
  }

  /** Leading from now on: what is there is compared with what is to be kept. */
  lead(): void {
    this.#known = false
    this.#write()
  }

  /** Resolves when everything noted so far is written, or was told not to be, or has to wait. */
  async flushed(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

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
        if (!leading() || this.#stopped) return
        this.#open.delete(identity)
        try {
          await this.#bring(identity)
        } catch (error) {
          if (this.#isRefused(identity, error)) continue
          // Behind the others.
          this.#open.add(identity)
          throw error
        }
      }
      this.#backOff.reset()
      this.#warned = undefined
    } catch (error) {
      if (this.#stopped) return
      const why = textOf(error)
      if (this.#warned !== why)
        warn(`last good versions cannot be kept just now (${why}): what is broken serves on, but not after a restart`)
      this.#warned = why
      const retryAfter = (error instanceof ApiError && error.retryAfter) || 0
      this.#cancel = time.after(Math.max(this.#backOff.next(), retryAfter), () => this.#write())
    }
  }

  /** What the API server finds wrong will not be right later; others must not wait for it. */
  #isRefused(identity: string, error: unknown): boolean {
    if (!(error instanceof ApiError) || ![400, 413, 422].includes(error.status)) return false
    const { kind, key } = this.#wanted.get(identity) ?? {}
    this.#options.warn(
      `the last good version of ${kind} ${key} is refused (${error.message}); it is not served after a restart`,
    )
    return true
  }

  /** A leader before us may have left things that nobody wants, or not have come to write what everybody knows of. */
  async #learn(): Promise<void> {
    const parts = await this.#list()
    this.#there.clear()
    for (const { identity, kept } of parts.whole()) {
      this.#there.set(identity, kept)
      this.#open.add(identity)
    }
    for (const identity of this.#wanted.keys()) this.#open.add(identity)
    this.#known = true
  }

  async #bring(identity: string): Promise<void> {
    const wanted = this.#wanted.get(identity)
    const there = this.#there.get(identity)
    if (wanted === undefined) {
      if (there !== undefined) await this.#remove(identity, there.names)
      return
    }
    const text = JSON.stringify(wanted)
    const digest = digestOf(text)
    if (there?.digest === digest) return
    const content = text.length > MAX_OBJECT_BYTES ? undefined : await compress(text)
    if (content === undefined || !this.#fits(identity, content.length)) {
      this.#options.warn(
        `the last good version of ${wanted.kind} ${wanted.key} is not kept: there is too much of it; it serves on, but not after a restart`,
      )
      if (there !== undefined) await this.#remove(identity, there.names)
      return
    }
    await this.#put(identity, wanted, digest, content)
  }

  async #put(identity: string, wanted: LastGood, digest: string, content: Buffer): Promise<void> {
    const { client, namespace, installation } = this.#options
    const count = Math.ceil(content.length / PART_BYTES)
    const names: string[] = []
    const before = this.#there.get(identity)
    for (let part = 0; part < count; part++) {
      const name = nameOfPart(installation, identity, part)
      const bytes = content.subarray(part * PART_BYTES, (part + 1) * PART_BYTES)
      const object = partObject({ namespace, name, installation, wanted, digest, part, count, bytes })
      await this.#pace()
      await client.apply(`${this.#collection}/${name}`, object, { fieldManager: FIELD_MANAGER, force: true })
      names.push(name)
    }
    this.#there.set(identity, { digest, names, bytes: content.length })
    const left = before?.names.filter((name) => !names.includes(name)) ?? []
    for (const name of left) await this.#delete(name)
  }

  #fits(identity: string, bytes: number): boolean {
    let total = bytes
    let count = 1
    for (const [other, kept] of this.#there) {
      if (other === identity) continue
      total += kept.bytes
      count++
    }
    return total <= MAX_TOTAL_BYTES && count <= MAX_OBJECTS
  }

  async #remove(identity: string, names: readonly string[]): Promise<void> {
    for (const name of names) await this.#delete(name)
    this.#there.delete(identity)
  }

  async #delete(name: string): Promise<void> {
    await this.#pace()
    try {
      await this.#options.client.delete(`${this.#collection}/${name}`)
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error
    }
  }

  /** Waits until there may be another write. */
  async #pace(): Promise<void> {
    for (let wait = this.#bucket.take(); wait > 0 && !this.#stopped; wait = this.#bucket.take()) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const cancel = this.#options.time.after(wait, resolve)
      this.#wake = resolve
      await promise
      cancel()
    }
    if (this.#stopped) throw new ApiError(0, 'Aborted', 'this process ends')
  }

  async #list(): Promise<KeptParts> {
    const { client, installation, time } = this.#options
    const parts = new KeptParts(installation)
    const aborts = new AbortController()
    const cancel = time.after(READ_WITHIN, () => aborts.abort())
    try {
      const query = { labelSelector: `${LABEL}=${installation}` }
      await client.list(this.#collection, query, { item: (json) => parts.add(json) }, aborts.signal)
    } finally {
      cancel()
    }
    return parts
  }
}

/** @returns the record, or what is wrong with it */
async function open(content: Buffer, identity: string, digest: string): Promise<LastGood | string> {
  try {
    const text = await decompress(content, { maxOutputLength: MAX_OBJECT_BYTES + 1_024 })
    if (digestOf(text) !== digest) return 'it is not what was written'
    const { kind, key, object } = JSON.parse(text.toString('utf8')) as Readonly<Record<string, unknown>>
    if ((kind !== 'Route' && kind !== 'Backend') || typeof key !== 'string') return 'not a record of this version'
    return identityOf({ kind, key }) === identity ? { kind, key, object } : 'it is about another object'
  } catch (error) {
    return textOf(error)
  }
}

function digestOf(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex')
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
