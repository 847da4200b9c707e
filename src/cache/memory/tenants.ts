/**
 * Which entry of a segment has to go: S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak: "FIFO queues are all you need for cache
 * eviction", SOSP 2023), for each tenant alone. What must go is of the tenant with the most bytes, so that one below an
 * equal share never loses an entry to another. Called by the owner of the segment alone.
 */
import type { Ghosts } from './ghosts.ts'
import { ALL_UNITS, HASH_HIGH, HITS_BYTE, NEXT, PREVIOUS, QUEUE_BYTE, type Records, TENANT } from './record.ts'

const NONE = 0
const SMALL = 1
const MAIN = 2

/** Of the units of a tenant's entries: what is new and has not shown that it is asked for again. */
const SMALL_SHARE = 0.1
/**
 * Hits at which a new entry has shown it. The paper has two, which keeps up to 1.6 points fewer of the requests that
 * one keeps, on each trace of `bench/cache-traces.ts`.
 */
const PROMOTING_HITS = 1
export const MAX_HITS = 3
/** Entries that an eviction lets pass at most, because they were hit: none takes longer than that. */
const MAX_PASSED = 128

interface Queue {
  readonly kind: typeof SMALL | typeof MAIN
  /** Newest. */
  head: number
  /** Oldest. */
  tail: number
  units: number
}

export interface Tenant {
  readonly id: number
  readonly name: string
  readonly small: Queue
  readonly main: Queue
  /** Units of entries, of fills under way and of what is held although it is gone. */
  weight: number
  entries: number
  /** Under way. */
  fills: number
  /** Records in memory that name it, also those that wait to be freed. */
  records: number
  /** In the heap. */
  place: number
}

export class Tenants {
  readonly #records: Records
  readonly #ghosts: Ghosts
  readonly #workers: number
  readonly #byName = new Map<string, Tenant>()
  /** By id; undefined where the id is free. */
  readonly #byId: (Tenant | undefined)[] = []
  readonly #freeIds: number[] = []
  /** A heap: the one with the most weight first. */
  readonly #heap: Tenant[] = []
  #entries = 0
  #passed = 0

  constructor(records: Records, ghosts: Ghosts, workers: number) {
    this.#records = records
    this.#workers = workers
    this.#ghosts = ghosts
  }

  get entries(): number {
    return this.#entries
  }

  /** Entries that evictions have let pass so far, because they were hit. */
  get passed(): number {
    return this.#passed
  }

  open(name: string): Tenant {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const id = this.#freeIds.pop() ?? this.#byId.length
    const queue = (kind: Queue['kind']): Queue => ({ kind, head: 0, tail: 0, units: 0 })
    const place = this.#heap.length
    const counts = { weight: 0, entries: 0, fills: 0, records: 0 }
    const tenant: Tenant = { id, name, small: queue(SMALL), main: queue(MAIN), ...counts, place }
    this.#byName.set(name, tenant)
    this.#byId[id] = tenant
    this.#heap.push(tenant)
    return tenant
  }

  of(record: number): Tenant {
    return this.byId(this.#records.get(record, TENANT))
  }

  byId(id: number): Tenant {
    return this.#byId[id]!
  }

  /** Counts units to a tenant, or takes them back. */
  weigh(tenant: Tenant, units: number): void {
    tenant.weight += units
    if (units > 0) this.#rise(tenant.place)
    else this.#sink(tenant.place)
  }

  /** A record of the tenant is no more; one that has none is forgotten. */
  drop(tenant: Tenant): void {
    tenant.records--
    if (tenant.records === 0) this.#forget(tenant)
  }

  /** A new entry, whose units have been weighed. */
  add(record: number): void {
    const records = this.#records
    const tenant = this.of(record)
    // As many as there are entries, if the other workers have as many.
    const window = this.#entries * this.#workers
    const known = this.#ghosts.take(records.get(record, HASH_HIGH), window)
    records.setByte(record, HITS_BYTE, 0)
    this.#push(known ? tenant.main : tenant.small, record)
    tenant.entries++
    this.#entries++
  }

  /** @returns false: it stands in no queue */
  remove(record: number): boolean {
    const kind = this.#records.byte(record, QUEUE_BYTE)
    if (kind === NONE) return false
    const tenant = this.of(record)
    this.#unlink(kind === SMALL ? tenant.small : tenant.main, record)
    tenant.entries--
    this.#entries--
    return true
  }

  /**
   * Takes the entry that has to go out of its queue.
   *
   * @param inserting loses an entry of its own where whoever has more has none to lose
   * @returns 0: there is none
   */
  evict(inserting: Tenant | undefined): number {
    const largest = this.#heap[0]
    if (largest === undefined) return 0
    if (largest.entries > 0) return this.#evictFrom(largest)
    return inserting !== undefined && inserting.entries > 0 ? this.#evictFrom(inserting) : 0
  }

  #evictFrom(tenant: Tenant): number {
    const records = this.#records
    const { small, main } = tenant
    for (let passed = 0; ; passed++) {
      const all = small.units + main.units
      if (small.tail !== 0 && (main.tail === 0 || small.units >= all * SMALL_SHARE)) {
        const record = small.tail
        if (records.byte(record, HITS_BYTE) >= PROMOTING_HITS && passed < MAX_PASSED) {
          this.#passed++
          this.#unlink(small, record)
          records.setByte(record, HITS_BYTE, 0)
          this.#push(main, record)
          continue
        }
        this.#ghosts.add(records.get(record, HASH_HIGH))
        this.remove(record)
        return record
      }
      const record = main.tail
      const hits = records.byte(record, HITS_BYTE)
      if (hits === 0 || passed >= MAX_PASSED) {
        this.remove(record)
        return record
      }
      this.#passed++
      this.#unlink(main, record)
      records.setByte(record, HITS_BYTE, hits - 1)
      this.#push(main, record)
    }
  }

  #push(queue: Queue, record: number): void {
    const records = this.#records
    records.set(record, PREVIOUS, 0)
    records.set(record, NEXT, queue.head)
    if (queue.head === 0) queue.tail = record
    else records.set(queue.head, PREVIOUS, record)
    queue.head = record
    queue.units += records.get(record, ALL_UNITS)
    records.setByte(record, QUEUE_BYTE, queue.kind)
  }

  #unlink(queue: Queue, record: number): void {
    const records = this.#records
    const previous = records.get(record, PREVIOUS)
    const next = records.get(record, NEXT)
    if (previous === 0) queue.head = next
    else records.set(previous, NEXT, next)
    if (next === 0) queue.tail = previous
    else records.set(next, PREVIOUS, previous)
    queue.units -= records.get(record, ALL_UNITS)
    records.setByte(record, QUEUE_BYTE, NONE)
  }

  #forget(tenant: Tenant): void {
    const last = this.#heap.pop()!
    if (last !== tenant) {
      this.#put(tenant.place, last)
      this.#rise(last.place)
      this.#sink(last.place)
    }
    this.#byName.delete(tenant.name)
    this.#byId[tenant.id] = undefined
    this.#freeIds.push(tenant.id)
  }

  #rise(from: number): void {
    const heap = this.#heap
    const tenant = heap[from]!
    let at = from
    for (; at > 0; ) {
      const parent = (at - 1) >> 1
      if (heap[parent]!.weight >= tenant.weight) break
      this.#put(at, heap[parent]!)
      at = parent
    }
    this.#put(at, tenant)
  }

  #sink(from: number): void {
    const heap = this.#heap
    const tenant = heap[from]!
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.weight > heap[child]!.weight) child++
      if (heap[child]!.weight <= tenant.weight) break
      this.#put(at, heap[child]!)
      at = child
    }
    this.#put(at, tenant)
  }

  #put(place: number, tenant: Tenant): void {
    this.#heap[place] = tenant
    tenant.place = place
  }
}
