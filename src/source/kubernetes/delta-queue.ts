/**
 * Queues changes from informers to the handler: one pending delta per object, endpoints first, delivered in time
 * slices. Each object has an owner, the informer that reports it, so that two watches may overlap while one replaces
 * the other.
 */
import { isUrgent, type Kind, type KindTable } from '../../api/kinds.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type SliceClock, SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import type { SourceEvent } from '../source.ts'
import type { Ingested, Version } from './ingest.ts'

export interface DeltaQueueEvents {
  /** `events` is never empty and has at most one event per object. */
  changed(events: SourceEvent[]): void
  /** The queue has become empty. */
  drained(): void
  handlerFailed(error: unknown): void
}

interface PendingDelta {
  readonly kind: Kind
  readonly key: string
  /** uid of the object last delivered to the handler; undefined = none. */
  deliveredUid: string | undefined
  current: (Version & { readonly owner: object }) | undefined
  /** The object to deliver; undefined for a deletion. */
  pendingRaw: unknown
  /** When the oldest of the merged changes was read. */
  seen: Milliseconds
}

/** Events per call of the handler, which needs some 100 µs to validate a Route. */
const BATCH = 40

/** Pending objects above which lists are paused. */
const HIGH_WATER = 1_000

export class DeltaQueue {
  readonly #events: DeltaQueueEvents
  readonly #time: SliceClock
  readonly #work: SlicedWork
  readonly #table: KindTable | undefined
  readonly #entries = new Map<string, PendingDelta>()
  readonly #urgent = new Set<PendingDelta>()
  readonly #others = new Set<PendingDelta>()
  #roomAvailable: PromiseWithResolvers<void> | undefined
  #closed = false

  /** @param table default: the table of kinds */
  constructor(events: DeltaQueueEvents, time: SliceClock, table?: KindTable) {
    this.#table = table
    this.#events = events
    this.#time = time
    this.#work = new SlicedWork(time, (slice) => this.#deliver(slice))
  }

  get size(): number {
    return this.#urgent.size + this.#others.size
  }

  /** Whether a change of the object is pending. */
  has(kind: Kind, key: string): boolean {
    const entry = this.#entries.get(`${kind} ${key}`)
    return entry !== undefined && (this.#urgent.has(entry) || this.#others.has(entry))
  }

  /** @param owner becomes the object's owner */
  upsert(kind: Kind, { key, uid, resourceVersion, raw }: Ingested, owner: object): void {
    const id = `${kind} ${key}`
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      entry = { kind, key, deliveredUid: undefined, current: undefined, pendingRaw: undefined, seen: 0 }
      this.#entries.set(id, entry)
    }
    const same = entry.current?.uid === uid && entry.current.resourceVersion === resourceVersion
    entry.current = { uid, resourceVersion, owner }
    if (same) return
    entry.pendingRaw = raw
    this.#queue(entry)
  }

  /** Queues the deletion, unless the object has another owner. */
  delete(kind: Kind, key: string, owner: object): void {
    const entry = this.#entries.get(`${kind} ${key}`)
    if (entry?.current?.owner !== owner) return
    entry.current = undefined
    entry.pendingRaw = undefined
    this.#queue(entry)
  }

  /** A promise that lists await before they add more; undefined while there is room. */
  backpressure(): Promise<void> | undefined {
    if (this.size < HIGH_WATER) return undefined
    this.#roomAvailable ??= Promise.withResolvers()
    return this.#roomAvailable.promise
  }

  /** The handler is not called any more. */
  close(): void {
    this.#closed = true
    this.#work.stop()
    this.#roomAvailable?.resolve()
  }

  #queue(entry: PendingDelta): void {
    if (this.#closed) return
    const queue = isUrgent(entry.kind, this.#table) ? this.#urgent : this.#others
    if (!queue.has(entry)) entry.seen = this.#time.monotonic()
    queue.add(entry)
    // Delivered at the end of this turn of the event loop, so that simultaneous changes are batched.
    this.#work.schedule()
  }

  /** @returns whether deltas are left */
  #deliver(slice: TimeSlice): boolean {
    do this.#deliverSome()
    while (!this.#closed && this.size > 0 && !slice.over)
    if (this.#closed) return false
    if (this.size < HIGH_WATER / 2) {
      this.#roomAvailable?.resolve()
      this.#roomAvailable = undefined
    }
    if (this.size > 0) return true
    this.#notify(() => this.#events.drained())
    return false
  }

  #deliverSome(): void {
    /** Deletions of objects that were recreated under the same name. */
    const replaced: SourceEvent[] = []
    const events: SourceEvent[] = []
    for (const queue of [this.#urgent, this.#others])
      for (const entry of queue) {
        if (events.length === BATCH) break
        queue.delete(entry)
        this.#add(entry, replaced, events)
      }
    if (replaced.length > 0) this.#notify(() => this.#events.changed(replaced))
    if (events.length > 0) this.#notify(() => this.#events.changed(events))
  }

  #add(entry: PendingDelta, replaced: SourceEvent[], events: SourceEvent[]): void {
    const { kind, key, deliveredUid: told, current, pendingRaw: raw, seen } = entry
    entry.pendingRaw = undefined
    entry.deliveredUid = current?.uid
    if (current === undefined) {
      this.#entries.delete(`${kind} ${key}`)
      if (told !== undefined) events.push({ type: 'delete', kind, key, seen })
      return
    }
    if (told !== undefined && told !== current.uid) replaced.push({ type: 'delete', kind, key, seen })
    events.push({ type: 'upsert', kind, key, raw, origin: { cluster: true }, seen })
  }

  #notify(call: () => void): void {
    if (this.#closed) return
    try {
      call()
    } catch (error) {
      this.#events.handlerFailed(error)
    }
  }
}
