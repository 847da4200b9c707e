/**
 * What a thread knows of purges. A hit compares one word with the log's; if that has moved on, the records between are
 * read into tables, once a thread, and the object is judged by them.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { PurgeLog } from '../shared-memory/purge-log.ts'
import { BYTES, PurgeBudget, STRANGERS } from './purge-budget.ts'
import { PurgeHistory } from './purge-history.ts'
import { namespaceOf } from './purge-labels.ts'
import { decodePurge, encodePurge, PLAIN, type PurgeRecord } from './purge-record.ts'
import { PurgeTable } from './purge-table.ts'

/** Verdicts of {@link Purges.judge}. */
export const KEPT = 0
/** It is stale since. */
export const SOFT = 1
/** It must not be served again. */
export const HARD = 2
export type PurgeVerdict = typeof KEPT | typeof SOFT | typeof HARD

/** Names that are remembered of a namespace, and of all. */
const MAX_NAMES = 4_096
const MAX_ALL_NAMES = 32_768
/** Beyond these, so that many are forgotten at a time. */
const SPARE_NAMES = 512

interface NamespacePurges {
  /** The last one of any kind. */
  last: number
  readonly hard: PurgeTable
  readonly soft: PurgeTable
}

const CYCLE = 2 ** 32

export class Purges {
  readonly #log: PurgeLog
  readonly #writer: number
  /** Where to go on in the ring of each writer; undefined before the first look. */
  #positions: number[] | undefined
  /** Sequences as they are in the log would repeat after 2³² purges; those of the tables are counted on. */
  #known: number
  /** Objects that were last judged before it count as purged: records are missing. */
  #floor = 0
  #everything = { hard: 0, soft: 0 }
  readonly #namespaces = new Map<number, NamespacePurges>()
  #names = 0
  readonly #history = new PurgeHistory()
  readonly #budget = new PurgeBudget(BYTES)
  readonly #strangers = new PurgeBudget(STRANGERS)
  readonly #taken: (record: PurgeRecord) => void
  readonly #read = (sequence: number, bytes: Uint8Array): void => this.#take(this.#counted(sequence), bytes)

  /**
   * @param writer of the rings of the log; those of a thread that ended go to its replacement
   * @param taken hears of every record that is read
   */
  constructor(log: PurgeLog, writer: number, taken: (record: PurgeRecord) => void = () => {}) {
    this.#log = log
    this.#writer = writer
    this.#taken = taken
    this.#known = CYCLE + log.last
  }

  /** The sequence up to which all purges are known here, as the log has it. */
  get last(): number {
    return this.#known % CYCLE
  }

  /** The sequence of the last purge, whether it is known here or not yet. */
  get newest(): number {
    return this.#log.last
  }

  /** Which history {@link position} is of; 0: there is none. */
  get history(): number {
    this.refresh()
    return this.#history.id
  }

  /** The place in the history of all replicas up to which everything is known here. */
  get position(): number {
    this.refresh()
    return this.#history.position
  }

  /** Acts in all threads, for objects being fetched too, when it returns. @returns its sequence */
  append(record: PurgeRecord): number {
    return this.#log.append(this.#writer, encodePurge(record))
  }

  /**
   * The same for what a client of the namespace has changed: where they change very much, all of the namespace is
   * purged.
   *
   * @param now monotonic
   */
  appendOfClient(record: PurgeRecord, now: Milliseconds): void {
    const bytes = encodePurge(record)
    const { namespace, soft, id } = record
    const fits = this.#budget.take(namespace, bytes.length, now)
    this.#log.append(this.#writer, fits ? bytes : encodePurge({ ...PLAIN, kind: 'all', namespace, soft, id }))
  }

  /**
   * The same for what a client has changed through a rule of another namespace. Each name that is remembered of a
   * namespace takes the place of an older one, so strangers choose few of them.
   *
   * @param coarse what is purged instead where there were many: all that the rule serves
   * @param now monotonic
   */
  appendOfStranger(record: PurgeRecord, coarse: PurgeRecord, now: Milliseconds): void {
    this.append(this.#strangers.take(record.namespace, 1, now) ? record : coarse)
  }

  /**
   * Reads whatever comes, so that this thread misses nothing where it is not asked about objects.
   *
   * @param pause runs a function a little later: what comes meanwhile is read at once
   */
  follow(pause: (run: () => void) => void): void {
    const read = (): void => {
      this.refresh()
      void this.#log.moved(this.last).then(() => pause(read))
    }
    read()
  }

  /** Reads what is new. Costs one load where nothing is. */
  refresh(): void {
    const last = this.#log.last
    if (last === this.#known % CYCLE && this.#positions !== undefined) return
    const positions = (this.#positions ??= this.#begin())
    for (let writer = 0; writer < positions.length; writer++) {
      let position = this.#log.read(writer, positions[writer]!, this.#read)
      while (position === undefined) {
        // Whatever was overwritten has been numbered by now.
        this.#floor = Math.max(this.#floor, this.#counted(this.#log.last))
        this.#history.lose()
        position = this.#log.read(writer, this.#log.oldest(writer), this.#read)
      }
      positions[writer] = position
    }
    this.#known = this.#counted(last)
  }

  /** Whether nothing was purged in a namespace behind a sequence: what {@link judge} says then is {@link KEPT}. */
  isQuiet(namespace: number, checked: number): boolean {
    this.refresh()
    const since = this.#counted(checked)
    const { hard, soft } = this.#everything
    if (since < this.#floor || hard > since || soft > since) return false
    return (this.#namespaces.get(namespace)?.last ?? 0) <= since
  }

  /**
   * @param checked the sequence at which the object was judged last; at first `last` of when its fetch began, which
   *   is to be `last` from now on when it is not {@link HARD}
   * @param labels of `writeLabels`
   * @param count how many of them there are
   * @param url its `urlText`; asked where it matters
   */
  judge(checked: number, labels: Float64Array, count: number, url: () => string): PurgeVerdict {
    this.refresh()
    const since = this.#counted(checked)
    if (since < this.#floor || this.#everything.hard > since) return HARD
    const soft = this.#everything.soft > since
    const purges = this.#namespaces.get(namespaceOf(labels))
    if (purges === undefined || purges.last <= since) return soft ? SOFT : KEPT
    if (purges.hard.purges(since, labels, count, url)) return HARD
    return soft || purges.soft.purges(since, labels, count, url) ? SOFT : KEPT
  }

  /**
   * The sequence to judge an object with that comes from an archive.
   *
   * @param history and position: {@link history} and {@link position} where and when its fetch began
   * @returns -1: what was purged since is not known, so it counts as purged
   */
  sequenceOf(history: number, position: number): number {
    this.refresh()
    const sequence = this.#history.sequenceOf(history, position)
    if (sequence === undefined) return -1
    return Math.min(sequence, this.#known) % CYCLE
  }

  /** The first look finds what the rings still hold. */
  #begin(): number[] {
    return Array.from({ length: this.#log.writers }, (_, writer) => {
      if (this.#log.hasForgotten(writer)) {
        let first: number | undefined
        this.#log.read(writer, this.#log.oldest(writer), (sequence) => {
          first ??= this.#counted(sequence)
        })
        this.#floor = Math.max(this.#floor, (first ?? this.#counted(this.#log.last)) - 1)
        this.#history.lose()
      }
      return this.#log.oldest(writer)
    })
  }

  /** A sequence of the log, counted on: it is within 2³¹ of what is known. */
  #counted(sequence: number): number {
    return this.#known + ((sequence - this.#known) | 0)
  }

  #take(sequence: number, bytes: Uint8Array): void {
    const record = decodePurge(bytes)
    if (record === undefined || record.kind === 'everything') {
      const { hard, soft } = this.#everything
      this.#everything = record?.soft
        ? { hard, soft: Math.max(soft, sequence) }
        : { hard: Math.max(hard, sequence), soft }
    } else if (record.kind !== 'mark' && record.kind !== 'history') {
      this.#add(record, sequence)
    }
    if (record === undefined) return
    this.#history.add(record, sequence)
    this.#taken(record)
  }

  #add(record: PurgeRecord, sequence: number): void {
    let purges = this.#namespaces.get(record.namespace)
    if (purges === undefined) {
      purges = { last: 0, hard: new PurgeTable(), soft: new PurgeTable() }
      this.#namespaces.set(record.namespace, purges)
    }
    const before = sizeOf(purges)
    purges.last = Math.max(purges.last, sequence)
    const table = record.soft ? purges.soft : purges.hard
    table.add(record, sequence)
    if (sizeOf(purges) > MAX_NAMES + SPARE_NAMES) dropTo(purges, MAX_NAMES)
    this.#names += sizeOf(purges) - before
    if (this.#names > MAX_ALL_NAMES) this.#dropFromLargest()
  }

  /** The namespace that purges the most forgets first. */
  #dropFromLargest(): void {
    let largest: NamespacePurges | undefined
    for (const purges of this.#namespaces.values())
      if (largest === undefined || sizeOf(purges) > sizeOf(largest)) largest = purges
    if (largest === undefined) return
    const before = sizeOf(largest)
    dropTo(largest, before - (before >> 3))
    this.#names += sizeOf(largest) - before
  }
}

const sizeOf = ({ hard, soft }: NamespacePurges): number => hard.size + soft.size

/** Of the larger table first. */
function dropTo({ hard, soft }: NamespacePurges, names: number): void {
  const [larger, smaller] = hard.size >= soft.size ? [hard, soft] : [soft, hard]
  const surplus = larger.size + smaller.size - names
  const ofLarger = Math.min(surplus, larger.size - smaller.size)
  const rest = surplus - ofLarger
  larger.dropOldest(ofLarger + (rest - (rest >> 1)))
  smaller.dropOldest(rest >> 1)
}
