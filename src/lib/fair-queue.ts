/**
 * A queue of keys that serves groups fairly: deficit round robin (Shreedhar and Varghese, "Efficient Fair Queuing using
 * Deficit Round Robin", 1995). Each group with queued keys gets the same amount of work per round, regardless of the
 * backlog of others; a single group gets all of it. Groups are namespaces: one tenant's backlog does not delay
 * another's change.
 *
 * Memory: the queued keys, and the groups that owe work.
 */

export interface FairQueueOptions {
  /** Cost served per group and turn. Default 1. */
  readonly quantum?: number
  /**
   * Within a group: the oldest key first, or the oldest and the most recently added key alternately, so that neither
   * waits for all others.
   */
  readonly order?: 'oldest' | 'alternate'
}

export interface QueuedKey {
  readonly group: string
  readonly key: string
}

interface Group {
  /** In the order of their first addition. */
  readonly keys: Set<string>
  /** In the order of all additions; may contain keys that left the queue. */
  recent: string[]
  newestNext: boolean
  /** Rest of its turn; 0 or less when the turn is over, negative when the group exceeded its share. */
  credit: number
}

/** Most turns that a group skips after an expensive key. */
const MAX_DEBT = 64

/** Stale entries of `recent` before it is compacted. */
const SLACK = 64

export class FairQueue {
  readonly #quantum: number
  readonly #alternate: boolean
  /** Groups in the order of their turns. */
  readonly #ring = new Map<string, Group>()
  #size = 0

  constructor({ quantum = 1, order = 'oldest' }: FairQueueOptions = {}) {
    this.#quantum = quantum
    this.#alternate = order === 'alternate'
  }

  /** Number of queued keys. */
  get size(): number {
    return this.#size
  }

  /** Number of groups with queued keys or debt. */
  get groups(): number {
    return this.#ring.size
  }

  sizeOf(group: string): number {
    return this.#ring.get(group)?.keys.size ?? 0
  }

  has(group: string, key: string): boolean {
    return this.#ring.get(group)?.keys.has(key) === true
  }

  /** A key that is queued already keeps its position, and becomes the most recent. */
  add(group: string, key: string): void {
    let entry = this.#ring.get(group)
    if (entry === undefined) {
      entry = { keys: new Set(), recent: [], newestNext: true, credit: this.#quantum }
      this.#ring.set(group, entry)
    }
    if (!entry.keys.has(key)) {
      entry.keys.add(key)
      this.#size++
    }
    if (!this.#alternate) return
    entry.recent.push(key)
    if (entry.recent.length > 2 * entry.keys.size + SLACK) compact(entry)
  }

  /** @returns whether the key was queued */
  delete(group: string, key: string): boolean {
    if (this.#ring.get(group)?.keys.delete(key) !== true) return false
    // In an empty queue no debt matters.
    if (--this.#size === 0) this.#ring.clear()
    return true
  }

  /**
   * Returns the next key, which stays the same until its group is charged or another key of the group is added.
   *
   * @param busy groups to skip for now; they keep their credit
   */
  peek(busy: (group: string) => boolean = noneBusy): QueuedKey | undefined {
    if (this.#size === 0) return undefined
    /** Groups skipped in a row. */
    let passed = 0
    while (passed < this.#ring.size) {
      const [group, entry] = this.#ring.entries().next().value!
      const isBusy = busy(group)
      if (!isBusy && entry.credit > 0 && entry.keys.size > 0) return { group, key: this.#keyOf(entry) }
      this.#ring.delete(group)
      if (entry.credit <= 0) entry.credit += this.#quantum
      passed = isBusy ? passed + 1 : 0
      // A group without keys and debt is removed.
      if (entry.keys.size > 0 || entry.credit <= 0) this.#ring.set(group, entry)
    }
    return undefined
  }

  /**
   * Removes and returns the next key.
   *
   * @param cost of the key; 0 where it is known only later, see {@link charge}
   * @param busy see {@link peek}
   */
  take(cost: number = this.#quantum, busy: (group: string) => boolean = noneBusy): QueuedKey | undefined {
    const next = this.peek(busy)
    if (next === undefined) return undefined
    this.charge(next.group, cost)
    this.delete(next.group, next.key)
    return next
  }

  /** Deducts a cost from the group's turn. */
  charge(group: string, cost: number): void {
    const entry = this.#ring.get(group)
    if (entry === undefined) return
    const before = entry.credit
    entry.credit = Math.max(before - cost, -MAX_DEBT * this.#quantum)
    if (before > 0 && entry.credit <= 0) entry.newestNext = !entry.newestNext
  }

  /** The group with the most queued keys. */
  largestGroup(): string | undefined {
    let largest: string | undefined
    let most = 0
    for (const [group, { keys }] of this.#ring)
      if (keys.size > most) {
        largest = group
        most = keys.size
      }
    return largest
  }

  /** Removes and returns the oldest key of a group. */
  dropOldest(group: string): string | undefined {
    const oldest = this.#ring.get(group)?.keys.values().next().value
    if (oldest !== undefined) this.delete(group, oldest)
    return oldest
  }

  clear(): void {
    this.#ring.clear()
    this.#size = 0
  }

  #keyOf(entry: Group): string {
    if (this.#alternate && entry.newestNext)
      for (let key = entry.recent.at(-1); key !== undefined; key = entry.recent.at(-1)) {
        if (entry.keys.has(key)) return key
        entry.recent.pop()
      }
    return entry.keys.values().next().value!
  }
}

const noneBusy = (): boolean => false

/** Keeps the last addition of each queued key. */
function compact(entry: Group): void {
  const kept = new Set<string>()
  for (let i = entry.recent.length - 1; i >= 0; i--) {
    const key = entry.recent[i]!
    if (entry.keys.has(key)) kept.add(key)
  }
  entry.recent = [...kept].reverse()
}
