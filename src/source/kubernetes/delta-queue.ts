/**
 * From reflectors to the handler: what has changed since it was told, endpoints first, in turns that are short however
 * much there is. Knows for each object who speaks for it, so that two watches may overlap while one takes over from the
 * other.
 */
import { isUrgent, type Kind, type KindTable } from '../../api/kinds.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type SliceClock, SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import type { SourceEvent } from '../source.ts'
import type { Ingested, Version } from './ingest.ts'

export interface DeltaQueueEvents {
  /** Never empty, at most one event an object. */
  changed(events: SourceEvent[]): void
  /** Nothing is left to tell. */
  empty(): void
  failed(error: unknown): void
}

interface PendingDelta {
  readonly kind: Kind
  readonly key: string
  /** uid of what the handler knows; undefined = nothing. */
  told: string | undefined
  current: (Version & { readonly owner: object }) | undefined
  /** What is to be told, where that is not a deletion. */
  raw: unknown
  /** When the first was read of what is to be told. */
  seen: Milliseconds
}

/** Judging a Route takes the handler some 100 µs. */
const BATCH = 40

/** Objects that wait; from here on lists are asked to wait as well. */
const HIGH_WATER = 1_000

export class DeltaQueue {
  readonly #events: DeltaQueueEvents
  readonly #time: SliceClock
  readonly #work: SlicedWork
  readonly #table: KindTable | undefined
  readonly #entries = new Map<string, PendingDelta>()
  readonly #urgent = new Set<PendingDelta>()
  readonly #others = new Set<PendingDelta>()
  #room: PromiseWithResolvers<void> | undefined
  #closed = false

  /** @param table default the table of kinds */
  constructor(events: DeltaQueueEvents, time: SliceClock, table?: KindTable) {
    this.#table = table
    this.#events = events
    this.#time = time
    this.#work = new SlicedWork(time, (slice) => this.#deliver(slice))
  }

  get size(): number {
    return this.#urgent.size + this.#others.size
  }

  /** Whether an object waits to be told. */
  holds(kind: Kind, key: string): boolean {
    const entry = this.#entries.get(`${kind} ${key}`)
    return entry !== undefined && (this.#urgent.has(entry) || this.#others.has(entry))
  }

  /** @param owner speaks for the object from now on */
  put(kind: Kind, { key, uid, resourceVersion, raw }: Ingested, owner: object): void {
    const id = `${kind} ${key}`
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      entry = { kind, key, told: undefined, current: undefined, raw: undefined, seen: 0 }
      this.#entries.set(id, entry)
    }
    const same = entry.current?.uid === uid && entry.current.resourceVersion === resourceVersion
    entry.current = { uid, resourceVersion, owner }
    if (same) return
    entry.raw = raw
    this.#queue(entry)
  }

  /** The object is gone, as far as `owner` knows; if another speaks for it, nothing happens. */
  drop(kind: Kind, key: string, owner: object): void {
    const entry = this.#entries.get(`${kind} ${key}`)
    if (entry?.current?.owner !== owner) return
    entry.current = undefined
    entry.raw = undefined
    this.#queue(entry)
  }

  /** To be awaited by whoever could bring much more; undefined = there is room. */
  pause(): Promise<void> | undefined {
    if (this.size < HIGH_WATER) return undefined
    this.#room ??= Promise.withResolvers()
    return this.#room.promise
  }

  /** No call from now on. */
  close(): void {
    this.#closed = true
    this.#work.stop()
    this.#room?.resolve()
  }

  #queue(entry: PendingDelta): void {
    if (this.#closed) return
    const queue = isUrgent(entry.kind, this.#table) ? this.#urgent : this.#others
    if (!queue.has(entry)) entry.seen = this.#time.monotonic()
    queue.add(entry)
    // At the end of this turn of the loop: what arrived together is told together.
    this.#work.schedule()
  }

  /** @returns whether something is left */
  #deliver(slice: TimeSlice): boolean {
    do this.#deliverSome()
    while (!this.#closed && this.size > 0 && !slice.over)
    if (this.#closed) return false
    if (this.size < HIGH_WATER / 2) {
      this.#room?.resolve()
      this.#room = undefined
    }
    if (this.size > 0) return true
    this.#tell(() => this.#events.empty())
    return false
  }

  #deliverSome(): void {
    /** Of objects that have another of the same name in their place. */
    const replaced: SourceEvent[] = []
    const events: SourceEvent[] = []
    for (const queue of [this.#urgent, this.#others])
      for (const entry of queue) {
        if (events.length === BATCH) break
        queue.delete(entry)
        this.#add(entry, replaced, events)
      }
    if (replaced.length > 0) this.#tell(() => this.#events.changed(replaced))
    if (events.length > 0) this.#tell(() => this.#events.changed(events))
  }

  #add(entry: PendingDelta, replaced: SourceEvent[], events: SourceEvent[]): void {
    const { kind, key, told, current, raw, seen } = entry
    entry.raw = undefined
    entry.told = current?.uid
    if (current === undefined) {
      this.#entries.delete(`${kind} ${key}`)
      if (told !== undefined) events.push({ type: 'delete', kind, key, seen })
      return
    }
    if (told !== undefined && told !== current.uid) replaced.push({ type: 'delete', kind, key, seen })
    events.push({ type: 'upsert', kind, key, raw, origin: { cluster: true }, seen })
  }

  #tell(call: () => void): void {
    if (this.#closed) return
    try {
      call()
    } catch (error) {
      this.#events.failed(error)
    }
  }
}
