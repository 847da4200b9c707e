/**
 * Keys that wait, taken in fair turns by group: deficit round robin (Shreedhar and Varghese, "Efficient Fair Queuing
 * using Deficit Round Robin", 1995). Each group with something waiting gets the same amount of work in every round,
 * however much another has queued, and one that waits alone gets all of it. Here a group is a namespace: one tenant's
 * backlog does not delay another's change.
 *
 * Memory: the keys that wait, and groups that still owe work.
 */

export interface FairQueueOptions {
  /** Work of one turn; a cost of this much is one turn. Default 1. */
  readonly quantum?: number
  /**
   * Of one group: the key added first, or by turns that one and the key named last, so that neither waits for all
   * others.
   */
  readonly order?: 'oldest' | 'alternate'
}

export interface Waiting {
  readonly group: string
  readonly key: string
}

interface Group {
  /** In the order in which they began to wait. */
  readonly keys: Set<string>
  /** In the order in which they were named; may hold keys that do not wait any more. */
  recent: string[]
  newestNext: boolean
  /** What is left of its turn; not more than 0 when it is over, less when it took more than its share. */
  credit: number
}

/** Turns that a group has to sit out at most, however expensive its key was. */
const MAX_DEBT = 64

/** Names of keys that do not wait any more, beyond those that do. */
const SLACK = 64

export class FairQueue {
  readonly #quantum: number
  readonly #alternate: boolean
  /** In the order of their turns. */
  readonly #ring = new Map<string, Group>()
  #size = 0

  constructor({ quantum = 1, order = 'oldest' }: FairQueueOptions = {}) {
    this.#quantum = quantum
    this.#alternate = order === 'alternate'
  }

  /** Keys that wait. */
  get size(): number {
    return this.#size
  }

  /** Groups that are remembered: those with a key, and those that owe work. */
  get groups(): number {
    return this.#ring.size
  }

  sizeOf(group: string): number {
    return this.#ring.get(group)?.keys.size ?? 0
  }

  has(group: string, key: string): boolean {
    return this.#ring.get(group)?.keys.has(key) === true
  }

  /** One that waits already keeps its place, and counts as the newest. */
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

  /** @returns whether it waited */
  delete(group: string, key: string): boolean {
    if (this.#ring.get(group)?.keys.delete(key) !== true) return false
    // Nobody waits: nobody owes anybody anything.
    if (--this.#size === 0) this.#ring.clear()
    return true
  }

  /**
   * Whose turn it is; stays so until its group is charged, or another key of the same group is added.
   *
   * @param busy groups that are passed over for now; they keep what they are owed
   */
  peek(busy: (group: string) => boolean = nobody): Waiting | undefined {
    if (this.#size === 0) return undefined
    /** In a row. */
    let passed = 0
    while (passed < this.#ring.size) {
      const [group, entry] = this.#ring.entries().next().value!
      const isBusy = busy(group)
      if (!isBusy && entry.credit > 0 && entry.keys.size > 0) return { group, key: this.#keyOf(entry) }
      this.#ring.delete(group)
      if (entry.credit <= 0) entry.credit += this.#quantum
      passed = isBusy ? passed + 1 : 0
      // One that has nothing waiting and owes nothing is forgotten.
      if (entry.keys.size > 0 || entry.credit <= 0) this.#ring.set(group, entry)
    }
    return undefined
  }

  /**
   * Takes the key whose turn it is.
   *
   * @param cost of it; 0 where it is known only afterwards, see {@link charge}
   * @param busy see {@link peek}
   */
  take(cost: number = this.#quantum, busy: (group: string) => boolean = nobody): Waiting | undefined {
    const next = this.peek(busy)
    if (next === undefined) return undefined
    this.charge(next.group, cost)
    this.delete(next.group, next.key)
    return next
  }

  /** The group has used so much of its turn. */
  charge(group: string, cost: number): void {
    const entry = this.#ring.get(group)
    if (entry === undefined) return
    const before = entry.credit
    entry.credit = Math.max(before - cost, -MAX_DEBT * this.#quantum)
    if (before > 0 && entry.credit <= 0) entry.newestNext = !entry.newestNext
  }

  /** The group with the most keys. */
  crowd(): string | undefined {
    let crowd: string | undefined
    let most = 0
    for (const [group, { keys }] of this.#ring)
      if (keys.size > most) {
        crowd = group
        most = keys.size
      }
    return crowd
  }

  /** Takes out the key of a group that has waited longest. @returns it */
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

const nobody = (): boolean => false

/** Only the last naming of what waits. */
function compact(entry: Group): void {
  const kept = new Set<string>()
  for (let i = entry.recent.length - 1; i >= 0; i--) {
    const key = entry.recent[i]!
    if (entry.keys.has(key)) kept.add(key)
  }
  entry.recent = [...kept].reverse()
}
