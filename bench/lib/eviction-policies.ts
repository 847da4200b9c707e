/**
 * Policies that say what a cache of so many objects of one size keeps, to compare ours with. Each is written from its
 * paper, in the simplest way: they are slow, and here nothing but hits is counted.
 */

export interface EvictionPolicy {
  readonly name: string
  /** Asks for an object, and keeps it. @returns whether it was there */
  request(object: number): boolean
}

export function leastRecentlyUsed(capacity: number): EvictionPolicy {
  const objects = new Set<number>()
  return {
    name: 'LRU',
    request(object) {
      if (objects.delete(object)) {
        objects.add(object)
        return true
      }
      if (objects.size === capacity) objects.delete(first(objects))
      objects.add(object)
      return false
    },
  }
}

/** Zhang et al., "SIEVE is simpler than LRU", NSDI 2024. */
export function sieve(capacity: number): EvictionPolicy {
  const visited = new Map<number, boolean>()
  let hand: Iterator<number> | undefined
  const evict = (): void => {
    for (;;) {
      const next = hand?.next()
      if (next === undefined || next.done === true) {
        hand = visited.keys()
        continue
      }
      if (visited.get(next.value) === true) visited.set(next.value, false)
      else {
        visited.delete(next.value)
        return
      }
    }
  }
  return {
    name: 'SIEVE',
    request(object) {
      if (visited.has(object)) {
        visited.set(object, true)
        return true
      }
      if (visited.size === capacity) evict()
      visited.set(object, false)
      return false
    },
  }
}

/** Megiddo, Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003. */
export function adaptiveReplacement(capacity: number): EvictionPolicy {
  const [t1, t2, b1, b2] = [new Set<number>(), new Set<number>(), new Set<number>(), new Set<number>()]
  let target = 0
  const replace = (inB2: boolean): void => {
    const fromRecent = t1.size > 0 && (t1.size > target || (inB2 && t1.size === target))
    move(fromRecent ? t1 : t2, fromRecent ? b1 : b2)
  }
  const ghostHit = (object: number, inB2: boolean): void => {
    const [here, there] = inB2 ? [b2, b1] : [b1, b2]
    const step = Math.max(1, there.size / here.size)
    target = inB2 ? Math.max(0, target - step) : Math.min(capacity, target + step)
    replace(inB2)
    here.delete(object)
    t2.add(object)
  }
  const insert = (object: number): void => {
    if (t1.size + b1.size === capacity) {
      if (t1.size < capacity) {
        b1.delete(first(b1))
        replace(false)
      } else t1.delete(first(t1))
    } else if (t1.size + t2.size + b1.size + b2.size >= capacity) {
      if (t1.size + t2.size + b1.size + b2.size === 2 * capacity) b2.delete(first(b2))
      replace(false)
    }
    t1.add(object)
  }
  return {
    name: 'ARC',
    request(object) {
      if (t1.delete(object) || t2.delete(object)) {
        t2.add(object)
        return true
      }
      if (b1.has(object)) ghostHit(object, false)
      else if (b2.has(object)) ghostHit(object, true)
      else insert(object)
      return false
    },
  }
}

/** Einziger, Friedman, Manes, "TinyLFU", 2017: a window of 1 %, then what a sketch of counts says is asked for more. */
export function windowTinyLfu(capacity: number): EvictionPolicy {
  const windowSize = Math.max(1, Math.floor(capacity * 0.01))
  const mainSize = capacity - windowSize
  const protectedSize = Math.floor(mainSize * 0.8)
  const [recent, probation, kept] = [new Set<number>(), new Set<number>(), new Set<number>()]
  const sketch = new CountSketch(capacity)
  const admit = (object: number): void => {
    if (probation.size + kept.size < mainSize) {
      probation.add(object)
      return
    }
    const victim = first(probation.size > 0 ? probation : kept)
    if (sketch.count(object) <= sketch.count(victim)) return
    if (!probation.delete(victim)) kept.delete(victim)
    probation.add(object)
  }
  return {
    name: 'W-TinyLFU',
    request(object) {
      sketch.add(object)
      if (recent.delete(object)) {
        recent.add(object)
        return true
      }
      if (kept.delete(object)) {
        kept.add(object)
        return true
      }
      if (probation.delete(object)) {
        kept.add(object)
        if (kept.size > protectedSize) move(kept, probation)
        return true
      }
      recent.add(object)
      if (recent.size > windowSize) {
        const oldest = first(recent)
        recent.delete(oldest)
        admit(oldest)
      }
      return false
    },
  }
}

/** Counts of four bits in four rows, halved after ten times as many requests as the cache has objects. */
class CountSketch {
  readonly #rows: Uint8Array[]
  readonly #mask: number
  readonly #sample: number
  #added = 0

  constructor(capacity: number) {
    const width = 2 ** Math.ceil(Math.log2(capacity * 4))
    this.#rows = Array.from({ length: 4 }, () => new Uint8Array(width))
    this.#mask = width - 1
    this.#sample = capacity * 10
  }

  add(object: number): void {
    for (const [i, row] of this.#rows.entries()) {
      const at = this.#at(object, i)
      if (row[at]! < 15) row[at]!++
    }
    if (++this.#added < this.#sample) return
    this.#added /= 2
    for (const row of this.#rows) for (let i = 0; i < row.length; i++) row[i]! >>= 1
  }

  count(object: number): number {
    return Math.min(...this.#rows.map((row, i) => row[this.#at(object, i)]!))
  }

  #at(object: number, row: number): number {
    let hash = Math.imul(object + row * 0x9e3779b1, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return (hash ^ (hash >>> 16)) & this.#mask
  }
}

/** Belady: what is needed last goes. It knows the future, so nobody does better. */
export function clairvoyant(capacity: number, trace: readonly number[]): EvictionPolicy {
  const next = new Int32Array(trace.length)
  const last = new Map<number, number>()
  for (let i = trace.length - 1; i >= 0; i--) {
    next[i] = last.get(trace[i]!) ?? trace.length
    last.set(trace[i]!, i)
  }
  const needed = new Map<number, number>()
  const heap = new NeedHeap()
  let now = 0
  return {
    name: 'MIN (knows the future)',
    request(object) {
      const when = next[now++]!
      const hit = needed.has(object)
      needed.set(object, when)
      heap.push(when, object)
      while (needed.size > capacity) {
        const [time, victim] = heap.pop()
        if (needed.get(victim) === time) needed.delete(victim)
      }
      return hit
    },
  }
}

/** What is needed last comes first; what is not true any more is passed over by whoever pops it. */
class NeedHeap {
  readonly #items: (readonly [number, number])[] = []

  push(time: number, object: number): void {
    const items = this.#items
    items.push([time, object])
    for (let at = items.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1
      if (items[parent]![0] >= items[at]![0]) break
      ;[items[parent], items[at]] = [items[at]!, items[parent]!]
      at = parent
    }
  }

  pop(): readonly [number, number] {
    const items = this.#items
    const top = items[0]!
    const last = items.pop()!
    if (items.length === 0) return top
    items[0] = last
    for (let at = 0; ; ) {
      let child = 2 * at + 1
      if (child >= items.length) return top
      if (child + 1 < items.length && items[child + 1]![0] > items[child]![0]) child++
      if (items[child]![0] <= items[at]![0]) return top
      ;[items[child], items[at]] = [items[at]!, items[child]!]
      at = child
    }
  }
}

function first(objects: ReadonlySet<number>): number {
  for (const object of objects) return object
  return -1
}

function move(from: Set<number>, to: Set<number>): void {
  const object = first(from)
  from.delete(object)
  to.add(object)
}
