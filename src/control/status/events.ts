/**
 * Kubernetes Events (`events.k8s.io/v1`): what `kubectl describe` shows below an object. They repeat conditions, log
 * and admin API, so one that cannot be written in time is dropped, never waited for. The same Event again becomes a
 * series; its name is a digest of its content, so that other replicas and later processes come to the same one. All
 * room and all requests are shared by namespaces: each takes what the others leave, and has its turn when they want
 * more.
 */
import { createHash } from 'node:crypto'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { FairMap } from '../../lib/fair-map.ts'
import { microTimestamp } from '../../lib/timestamp.ts'
import { type Rate, TokenBucket } from '../../lib/token-bucket.ts'
import { ApiError } from '../../source/kubernetes/api-error.ts'
import { Backoff, DEFAULT_BACKOFF } from '../../source/kubernetes/backoff.ts'
import { type Plan, WorkQueue } from './work-queue.ts'

/** What is asked of an API server; KubernetesClient has it. */
export interface EventClient {
  get(path: string, signal?: AbortSignal): Promise<unknown>
  create(path: string, object: unknown, signal?: AbortSignal): Promise<unknown>
  mergePatch(path: string, patch: unknown, signal?: AbortSignal): Promise<unknown>
}

/** The object an Event is about. */
export interface Regarding {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export interface Notice {
  readonly regarding: Regarding
  readonly type: 'Warning' | 'Normal'
  /** In one word, for machines. */
  readonly reason: string
  /** What was done when it was found, in one word. */
  readonly action: string
  /** For people. */
  readonly note: string
}

export interface EventRecorderOptions {
  readonly client: EventClient
  readonly time: TimerClock
  readonly random: Random
  /** Of the installation and of this replica. */
  readonly instance: string
  readonly leading: () => boolean
  /** For the log, once for each cause. */
  readonly problem: (message: string) => void
}

const CONTROLLER = 'headgate.dev/gateway'

/** Over all objects, in turns by namespace. */
const RATE: Rate = { perSecond: 5, burst: 25 }
/** Of one object: a person who edits, not a program that flaps. */
const OBJECT_RATE: Rate = { perSecond: 1 / 60, burst: 10 }
const PARALLEL = 2
/** Events that wait; beyond, one of the namespace with the most is dropped. */
const MAX_WAITING = 256
/** Events and objects that are remembered. */
const MAX_KNOWN = 1_024
/** The same within this time is the same series; later it is a new one (as other controllers have it). */
const SERIES_WITHIN: Milliseconds = 360_000
/** Between two writes of one series. */
const SERIES_EVERY: Milliseconds = 60_000
/** As the API has them. */
const MAX_NOTE_BYTES = 1_024
const MAX_INSTANCE = 128
const MAX_COUNT = 2 ** 31 - 1
const MAX_ATTEMPTS = 3
/** Until Events are tried again in a namespace in which they are forbidden. */
const FORBIDDEN: Milliseconds = 600_000
/** Causes that are logged. */
const MAX_CAUSES = 8

interface Known {
  readonly notice: Notice
  readonly path: string
  readonly collection: string
  /** How often it happened. */
  count: number
  /** How much of that is written; 0 = it is not there yet, as far as is known. */
  written: number
  lastObserved: Milliseconds
  /** Monotonic. */
  at: Milliseconds
  writtenAt: Milliseconds
  attempts: number
}

export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #queue: WorkQueue
  readonly #backOff: Backoff
  /** By namespace and name. */
  readonly #known = new FairMap<Known>(MAX_KNOWN)
  /** By namespace and uid. One that comes back after a thousand others may repeat something. */
  readonly #buckets = new FairMap<TokenBucket>(MAX_KNOWN)
  readonly #aborts = new AbortController()
  readonly #causes = new Set<string>()
  /** By namespace: quotas, and roles that are bound in it, are its own. */
  readonly #forbiddenUntil = new Map<string, Milliseconds>()
  #dropped = 0

  constructor(options: EventRecorderOptions) {
    this.#options = options
    const { time, random } = options
    this.#backOff = new Backoff(DEFAULT_BACKOFF, random)
    this.#queue = new WorkQueue({
      time,
      rate: RATE,
      parallel: PARALLEL,
      groupOf: namespaceIn,
      plan: (id) => this.#plan(id),
    })
  }

  /** Events that were not written, since the start. */
  get dropped(): number {
    return this.#dropped
  }

  /** Writes an Event, where that is this replica's task and there is room. */
  record(notice: Notice): void {
    const { leading, time } = this.#options
    const now = time.monotonic()
    if (!leading() || this.#aborts.signal.aborted) return
    const { namespace } = notice.regarding
    const name = nameOf(notice)
    const known = this.#known.get(namespace, name)
    if (known !== undefined && now - known.at < SERIES_WITHIN) {
      known.count++
      known.at = now
      known.lastObserved = time.wall()
      this.#queue.add(idOf(namespace, name))
      return
    }
    if (this.#isForbidden(namespace, now) || !this.#mayRecord(notice.regarding) || !this.#makeRoom(namespace)) {
      this.#dropped++
      return
    }
    this.#remember(name, notice, now)
    this.#queue.add(idOf(namespace, name))
  }

  stop(): void {
    this.#queue.stop()
    this.#aborts.abort()
  }

  /** Where room is scarce, a namespace gets some only while it has less than the one with the most. */
  #makeRoom(namespace: string): boolean {
    if (this.#queue.ready < MAX_WAITING) return true
    if (this.#queue.readyOf(namespace) + 1 >= this.#queue.readyOfLargestGroup) return false
    const dropped = this.#queue.dropFromLargestGroup()
    if (dropped === undefined) return false
    this.#known.delete(namespaceIn(dropped), nameIn(dropped))
    this.#dropped++
    return true
  }

  #remember(name: string, notice: Notice, now: Milliseconds): void {
    const { namespace } = notice.regarding
    const collection = `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`
    this.#known.set(namespace, name, {
      notice,
      collection,
      path: `${collection}/${encodeURIComponent(name)}`,
      count: 1,
      written: 0,
      lastObserved: this.#options.time.wall(),
      at: now,
      writtenAt: Number.NEGATIVE_INFINITY,
      attempts: 0,
    })
  }

  #mayRecord({ namespace, uid }: Regarding): boolean {
    let bucket = this.#buckets.get(namespace, uid)
    if (bucket === undefined) {
      bucket = new TokenBucket(OBJECT_RATE, () => this.#options.time.monotonic())
      this.#buckets.set(namespace, uid, bucket)
    }
    return bucket.take() === 0
  }

  #isForbidden(namespace: string, now: Milliseconds): boolean {
    const until = this.#forbiddenUntil.get(namespace)
    if (until === undefined || now < until) return until !== undefined
    this.#forbiddenUntil.delete(namespace)
    return false
  }

  #plan(id: string): Plan {
    const known = this.#known.get(namespaceIn(id), nameIn(id))
    const now = this.#options.time.monotonic()
    if (known === undefined || known.written >= known.count || !this.#options.leading()) return undefined
    if (this.#isForbidden(namespaceIn(id), now)) return undefined
    const wait = known.writtenAt + SERIES_EVERY - now
    return known.written > 0 && wait > 0 ? { later: wait } : () => this.#write(nameIn(id), known)
  }

  async #write(name: string, known: Known): Promise<Milliseconds | undefined> {
    const { count } = known
    try {
      if (known.written === 0) await this.#create(name, known)
      else await this.#patch(known, count)
      known.written = Math.max(known.written, count)
      known.writtenAt = this.#options.time.monotonic()
      known.attempts = 0
      this.#backOff.reset()
      return undefined
    } catch (error) {
      return this.#failed(name, known, error)
    }
  }

  async #create(name: string, known: Known): Promise<void> {
    const { client, time, instance } = this.#options
    const { regarding, type, reason, action, note } = known.notice
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { namespace: regarding.namespace, name },
      eventTime: microTimestamp(time.wall() * 1_000),
      reportingController: CONTROLLER,
      reportingInstance: instance.slice(0, MAX_INSTANCE),
      action,
      reason,
      regarding,
      note: cut(note),
      type,
    }
    try {
      await client.create(known.collection, event, this.#aborts.signal)
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409) throw error
      await this.#join(known)
    }
  }

  /** It is there already, by another replica or an earlier process: it has happened again, unless that was just now. */
  async #join(known: Known): Promise<void> {
    const { client, time } = this.#options
    const there = fieldsOf(await client.get(known.path, this.#aborts.signal))
    const series = fieldsOf(there.series)
    const last = Date.parse(String(series.lastObservedTime ?? there.eventTime))
    const before = typeof series.count === 'number' ? series.count : 1
    known.count = Math.min(known.count + before, MAX_COUNT)
    if (time.wall() - last < SERIES_WITHIN) known.written = known.count
    else await this.#patch(known, known.count)
    known.written = known.count
  }

  async #patch({ path, lastObserved }: Known, count: number): Promise<void> {
    // Nothing else of an Event may change.
    const series = { count, lastObservedTime: microTimestamp(lastObserved * 1_000) }
    await this.#options.client.mergePatch(path, { series }, this.#aborts.signal)
  }

  #failed(name: string, known: Known, error: unknown): Milliseconds | undefined {
    if (this.#aborts.signal.aborted) return undefined
    if (!(error instanceof ApiError)) throw error
    const { status, reason, message, retryAfter = 0 } = error
    if (status === 404 && known.written > 0) {
      // Events live for an hour.
      known.written = 0
      known.count = 1
      return 0
    }
    const { namespace } = known.notice.regarding
    const namespaceGone = status === 404 || /is being terminated/.test(message)
    if (status === 403 && !namespaceGone) this.#forbidden(namespace, message)
    const lasting = status >= 400 && status < 500 && ![401, 408, 409, 429].includes(status)
    if (lasting && status !== 403 && !namespaceGone)
      this.#report(String(status), `an Event is refused: ${message} (${reason})`)
    if (lasting || ++known.attempts >= MAX_ATTEMPTS) {
      this.#dropped++
      this.#known.delete(namespace, name)
      return undefined
    }
    const pause = Math.max(this.#backOff.next(), retryAfter)
    // An API server may limit the Events of each namespace (EventRateLimit).
    this.#queue.pause(pause, status === 429 ? namespace : undefined)
    return pause
  }

  #forbidden(namespace: string, message: string): void {
    this.#forbiddenUntil.set(namespace, this.#options.time.monotonic() + FORBIDDEN)
    const why = /exceeded quota/.test(message)
      ? `no more Events fit into namespace ${namespace}`
      : 'may not write Events: grant "create" and "patch" (and "get") on events.events.k8s.io'
    this.#report(`403 ${namespace}`, `${why}; ${message}`)
  }

  #report(cause: string, message: string): void {
    if (this.#causes.has(cause) || this.#causes.size >= MAX_CAUSES) return
    this.#causes.add(cause)
    this.#options.problem(message)
  }
}

/** Of an Event, as key of the queue. */
function idOf(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

function namespaceIn(id: string): string {
  return id.slice(0, id.indexOf('/'))
}

function nameIn(id: string): string {
  return id.slice(id.indexOf('/') + 1)
}

/** @returns the same for the same; at most 253 characters, as names are */
function nameOf({ regarding, type, reason, action, note }: Notice): string {
  const text = JSON.stringify([regarding.uid, regarding.kind, type, reason, action, note])
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16)
  return `${regarding.name.slice(0, 253 - 17).replace(/[.-]+$/, '')}.${digest}`
}

/** The API counts bytes. */
function cut(note: string): string {
  if (Buffer.byteLength(note) <= MAX_NOTE_BYTES) return note
  const end = Buffer.from('…')
  const bytes = Buffer.from(note).subarray(0, MAX_NOTE_BYTES - end.length)
  return `${bytes.toString('utf8').replace(/\uFFFD+$/, '')}…`
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
