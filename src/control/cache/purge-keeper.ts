/**
 * Keeps the log of purges of this process in line with the history that replicas share: what is purged here goes there,
 * what is purged elsewhere comes here. The log survives this thread, and what of it has no place in the history yet is
 * sent by the next one.
 */
import { PLAIN, type PurgeRecord } from '../../cache/purge-record.ts'
import { Purges } from '../../cache/purges.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { PurgeLog } from '../../shared-memory/purge-log.ts'
import type { PurgeReach, PurgeStore, PurgeStoreEvents } from '../../store/purge-store.ts'

/** Records of a namespace that wait for a place; more become one that purges all of it. */
const MAX_WAITING = 1_024
/** At once, and the pause behind a full batch: clients that change much take some 5,000 places a second, not more. */
const BATCH = 256
const PAUSE: Milliseconds = 50
const RETRY: Milliseconds = 500
/** Between two looks at the log. */
const LOOK: Milliseconds = 5

/** Makes the history with what is known of it. */
export type OpenPurgeStore = (
  known: { readonly history: number; readonly position: number; readonly forgotten: boolean },
  events: PurgeStoreEvents,
) => PurgeStore

export interface PurgeKeeperOptions {
  readonly log: PurgeLog
  /** Of the log. */
  readonly writer: number
  readonly time: TimerClock
  readonly random: Random
  /** The history cannot be reached, and why; undefined: it can again. */
  readonly failure: (message: string | undefined) => void
}

export class PurgeKeeper {
  readonly #options: PurgeKeeperOptions
  readonly #purges: Purges
  /** Without a place, by id. */
  readonly #waiting = new Map<number, PurgeRecord>()
  /** How many of them a namespace has. */
  readonly #counts = new Map<number, number>()
  /** Of them, those that the store has taken and tells later. */
  readonly #taken = new Set<number>()
  readonly #waiters = new Set<() => void>()
  /** Null: nobody has said yet whether there is one. */
  #store: PurgeStore | undefined | null = null
  /** Of stores, one behind the other: what an older one says does not count. */
  #turn = 0
  #sending = false
  /** The last records were not taken. */
  #failed = false
  #stopRetry: () => void = () => {}

  constructor(options: PurgeKeeperOptions) {
    this.#options = options
    this.#purges = new Purges(options.log, options.writer, (record) => this.#take(record))
  }

  start(): void {
    this.#purges.follow((run) => this.#options.time.after(LOOK, run))
  }

  /**
   * @param open undefined: there is no history; this process keeps to itself
   * @returns resolves when the one before has been left
   */
  async use(open: OpenPurgeStore | undefined): Promise<void> {
    const turn = ++this.#turn
    const left = this.#store?.stop()
    this.#stopRetry()
    this.#store = null
    this.#sending = false
    this.#taken.clear()
    this.#options.failure(undefined)
    const { history, position } = this.#purges
    const { log } = this.#options
    // More were purged than the log holds, so that some may be known nowhere else.
    const forgotten = Array.from({ length: log.writers }, (_, i) => i).some((writer) => log.hasForgotten(writer))
    if (open === undefined) {
      this.#store = undefined
      this.#forget()
    } else {
      this.#store = open(
        { history, position, forgotten },
        this.#events(() => turn === this.#turn),
      )
      this.#send()
    }
    await left
  }

  /**
   * Acts in all workers when it returns.
   *
   * @returns the id of the last record
   */
  purge(records: readonly PurgeRecord[]): number {
    let id = 0
    for (const record of records) {
      id = 1 + Math.floor(this.#options.random() * (Number.MAX_SAFE_INTEGER - 1))
      this.#purges.append({ ...record, id })
    }
    this.#purges.refresh()
    return id
  }

  /**
   * Where a purge has arrived, as soon as it has, or when the time is over.
   *
   * @returns undefined: there is no history
   */
  async reach(id: number, within: Milliseconds): Promise<(PurgeReach & { readonly kept: boolean }) | undefined> {
    const store = this.#store
    if (store === undefined || store === null) return undefined
    const { time } = this.#options
    const until = time.monotonic() + within
    while (!this.#isKept(id) && time.monotonic() < until) await this.#changed(until - time.monotonic())
    if (!this.#isKept(id)) {
      const others = (store.others ?? []).map((name) => ({ name, acts: false }))
      return { kept: false, members: others, complete: false }
    }
    return { kept: true, ...(await store.reach(id)) }
  }

  /** Who shares the history, as people know them; undefined: that cannot be known now. */
  async sharers(): Promise<readonly string[] | undefined> {
    return this.#store === null ? undefined : await (this.#store?.sharers?.() ?? [])
  }

  /** See {@link PurgeStore.stop}. */
  async stop(): Promise<void> {
    this.#turn++
    const left = this.#store?.stop()
    this.#store = null
    this.#stopRetry()
    await left
  }

  #take({ kind, id, position, ...rest }: PurgeRecord): void {
    if (id === 0) return
    if (kind === 'mark' || position !== 0) {
      this.#settle(id)
      for (const tell of this.#waiters) tell()
      return
    }
    this.#waiting.set(id, { ...rest, kind, id, position })
    const { namespace } = rest
    const waiting = (this.#counts.get(namespace) ?? 0) + 1
    this.#counts.set(namespace, waiting)
    if (waiting > MAX_WAITING) this.#fold(namespace)
    this.#send()
  }

  #isKept(id: number): boolean {
    return !this.#waiting.has(id) || this.#taken.has(id)
  }

  #settle(id: number): void {
    this.#taken.delete(id)
    const record = this.#waiting.get(id)
    if (record === undefined) return
    this.#waiting.delete(id)
    const left = this.#counts.get(record.namespace)! - 1
    if (left > 0) this.#counts.set(record.namespace, left)
    else this.#counts.delete(record.namespace)
  }

  /** Too many wait: they are one purge of all that their namespace has. */
  #fold(namespace: number): void {
    const folded = [...this.#waiting.values()].filter((record) => record.namespace === namespace)
    for (const { id } of folded) this.#settle(id)
    // Not in the turn in which the log is being read.
    this.#options.time.nextTurn(() => {
      const soft = folded.every((record) => record.soft)
      this.purge([{ ...PLAIN, kind: 'all', namespace, soft }])
      for (const { id } of folded) this.#purges.append({ ...PLAIN, kind: 'mark', id })
    })
  }

  /** Nobody gives them a place. */
  #forget(): void {
    for (const id of this.#waiting.keys()) this.#purges.append({ ...PLAIN, kind: 'mark', id })
    this.#waiting.clear()
    this.#taken.clear()
    this.#counts.clear()
  }

  #send(): void {
    const store = this.#store
    if (this.#sending || this.#waiting.size === this.#taken.size || store === null) return
    if (store === undefined) {
      this.#waiting.clear()
      this.#taken.clear()
      this.#counts.clear()
      return
    }
    this.#sending = true
    this.#failed = false
    // What comes in one turn goes together.
    this.#options.time.nextTurn(() => void this.#sendTo(store))
  }

  async #sendTo(store: PurgeStore): Promise<void> {
    const batch = [...this.#waiting.values()].filter(({ id }) => !this.#taken.has(id)).slice(0, BATCH)
    try {
      if (batch.length > 0) await store.append(batch)
      if (store !== this.#store) return
      this.#purges.refresh()
      if (store.tellsLater === true) this.#keepTaken(batch)
      // Those that were told have a place now; the others are sent again.
      if (batch.length === BATCH) return this.#sendLater(PAUSE)
      this.#sending = false
      this.#send()
    } catch {
      if (store !== this.#store) return
      this.#failed = true
      this.#sendLater(RETRY)
    }
  }

  /** Those that have been told meanwhile do not wait any more. */
  #keepTaken(batch: readonly PurgeRecord[]): void {
    for (const { id } of batch) if (this.#waiting.has(id)) this.#taken.add(id)
    for (const tell of this.#waiters) tell()
  }

  #sendLater(pause: Milliseconds): void {
    this.#stopRetry = this.#options.time.after(pause, () => this.#sendAgain())
  }

  #sendAgain(): void {
    this.#stopRetry()
    this.#sending = false
    this.#send()
  }

  #events(current: () => boolean): PurgeStoreEvents {
    const append = (record: PurgeRecord): void => {
      if (current()) this.#purges.append(record)
    }
    return {
      began: (history, floor, missed) => {
        if (missed) append({ ...PLAIN, kind: 'everything' })
        append({ ...PLAIN, kind: 'history', label: history, position: floor })
      },
      told: (record) => {
        // What this process has purged itself acts already.
        if (this.#waiting.has(record.id)) append({ ...PLAIN, kind: 'mark', id: record.id, position: record.position })
        else append(record)
      },
      failure: (message) => {
        if (!current()) return
        this.#options.failure(message)
        // It answers again: what waits for the next try is sent now.
        if (message === undefined && this.#failed) this.#sendAgain()
      },
    }
  }

  #changed(within: Milliseconds): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(done)
        stop()
        resolve()
      }
      const stop = this.#options.time.after(within, done)
      this.#waiters.add(done)
    })
  }
}
