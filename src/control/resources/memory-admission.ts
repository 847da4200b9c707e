/**
 * Whether there is memory for one more object. What does not fit is refused like an object that is invalid, so that
 * what is served stays as it is and the thread never meets the end of its heap; it is asked for again once there is
 * room.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { isConfiguration, type Kind } from '../../api/kinds.ts'
import { FairQueue, type QueuedKey as Turn } from '../../lib/fair-queue.ts'
import { formatMebibytes } from '../../lib/memory-budget.ts'
import type { SourceEvent } from '../../source/source.ts'

type Upsert = SourceEvent & { readonly type: 'upsert' }

/**
 * The last quarter of the memory is for namespaces that have less than a quarter themselves: none of them alone can
 * take it all.
 */
const OPEN_SHARE = 0.75
const SMALL_SHARE = 0.25
/**
 * Share of the memory for what waits, which is kept compressed; where it is full, the namespace with the most gives up
 * its oldest.
 */
const WAITING_SHARE = 1 / 16
/** Objects retried per turn. */
const TURN = 16

/**
 * Of the memory: a namespace that holds more is refused Services, EndpointSlices and the like too, once the last
 * quarter has begun. Below it these are never refused: they follow from what is served already.
 */
const FOLLOWING_SHARE = 0.5

/** Bytes of an object, about. */
interface ObjectBytes {
  readonly own: number
  readonly inheritedCache: number
}

interface Allocation extends ObjectBytes {
  readonly namespace: string
}

interface WaitingObject extends Allocation {
  readonly event: Omit<Upsert, 'raw'>
  /** Deflated JSON; of exactly its length, since what zlib returns is a part of a buffer of 64 KiB. */
  readonly packed: Uint8Array
}
/** An object has some hundred bytes: the tables of zlib take 20 KiB so, instead of 256. */
const DEFLATE = { windowBits: 12, memLevel: 4, chunkSize: 1_024 } as const
/** What an object that waits takes besides: its names, its place in the turns, the buffer. */
const WAITING_BYTES = 400

export class MemoryAdmission {
  readonly limit: number
  readonly #held = new Map<string, Allocation>()
  readonly #namespaces = new Map<string, number>()
  readonly #waiting = new Map<string, WaitingObject>()
  /** Names of waiting objects, in the order of retries. */
  readonly #turns = new FairQueue()
  /** Bytes of waiting objects, by namespace. */
  readonly #waitingOf = new Map<string, number>()
  #used = 0
  #waitingBytes = 0
  #cachesInherited = false

  /** @param limit bytes of all objects together */
  constructor(limit: number) {
    this.limit = limit
  }

  /** Estimated bytes in use. */
  get used(): number {
    return this.#used
  }

  /** How many objects wait for memory. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * The settings state a cache for all rules, or none any more: what is held takes more or less from now on. It stays
   * held; what comes finds the room that is left.
   */
  useInheritedCaches(inherited: boolean): void {
    if (inherited === this.#cachesInherited) return
    this.#cachesInherited = inherited
    this.#used = 0
    this.#namespaces.clear()
    for (const held of this.#held.values()) this.#add(held.namespace, this.#costOf(held))
  }

  /**
   * Takes memory for the newest version of an object, in place of what the one before had.
   *
   * @param name identity of the object
   * @param own bytes, whatever the settings say
   * @param inheritedCache bytes besides, while they state a cache for all rules
   * @returns why there is none, for its owner; what the version before has stays taken
   */
  reserve(name: string, event: Upsert, own: number, inheritedCache = 0): string | undefined {
    const namespace = ownerOf(event.key)
    const bytes = { own, inheritedCache }
    const cost = this.#costOf(bytes)
    const more = cost - this.#costOf(this.#held.get(name))
    if (more > 0 && !this.#fits(event.kind, namespace, more)) {
      this.#await(name, event, { namespace, ...bytes })
      return this.#refusal(cost)
    }
    this.#forgetWaiting(name)
    this.#held.set(name, { namespace, ...bytes })
    this.#add(namespace, more)
    return undefined
  }

  /** The object was deleted, also as a waiting version. */
  release(name: string): void {
    this.#forgetWaiting(name)
    const held = this.#held.get(name)
    if (held === undefined) return
    this.#held.delete(name)
    this.#add(held.namespace, -this.#costOf(held))
  }

  /** Another version came that is refused for other reasons: the one that waits is out of date. */
  supersede(name: string): void {
    this.#forgetWaiting(name)
  }

  /**
   * Objects for which there is room now, some at a time and namespaces in turns: to be taken in as if they had just
   * been told.
   */
  *ready(): Generator<Upsert> {
    const looked: Turn[] = []
    try {
      for (let next = this.#turns.take(); next !== undefined; next = this.#turns.take()) {
        looked.push(next)
        const { packed, event, ...bytes } = this.#waiting.get(next.key)!
        const more = this.#costOf(bytes) - this.#costOf(this.#held.get(next.key))
        if (this.#fits(event.kind, next.group, more))
          yield { ...event, raw: JSON.parse(inflateRawSync(packed).toString('utf8')) }
        if (looked.length >= TURN) return
      }
    } finally {
      // To the end, so that one that is large does not stand before those that fit; until it is taken it waits.
      for (const { group, key } of looked) if (this.#waiting.has(key)) this.#turns.add(group, key)
    }
  }

  #costOf(bytes: ObjectBytes | undefined): number {
    return bytes === undefined ? 0 : bytes.own + (this.#cachesInherited ? bytes.inheritedCache : 0)
  }

  #fits(kind: Kind, namespace: string, more: number): boolean {
    const total = this.#used + more
    if (total <= this.limit * OPEN_SHARE) return true
    const own = (this.#namespaces.get(namespace) ?? 0) + more
    // What is no configuration of users follows from what they refer to.
    if (!isConfiguration(kind)) return own <= this.limit * FOLLOWING_SHARE
    return total <= this.limit && own <= this.limit * SMALL_SHARE
  }

  #refusal(cost: number): string {
    let largest: readonly [string, number] = ['', 0]
    for (const entry of this.#namespaces) if (entry[1] > largest[1]) largest = entry
    const [namespace, bytes] = largest
    return (
      `needs about ${formatMebibytes(cost)} of memory: manifests take ${formatMebibytes(this.#used)} of ${formatMebibytes(this.limit)} ` +
      `(namespace "${namespace}" alone ${formatMebibytes(bytes)}), and the last quarter is for namespaces with less than a quarter. ` +
      'Delete what is not needed, or raise the limit of memory'
    )
  }

  #await(name: string, { raw, ...event }: Upsert, held: Allocation): void {
    this.#forgetWaiting(name)
    const { namespace } = held
    const packed = new Uint8Array(deflateRawSync(JSON.stringify(raw), DEFLATE))
    const bytes = WAITING_BYTES + packed.length
    while (this.#waitingBytes + bytes > this.limit * WAITING_SHARE) {
      const crowd = this.#crowd(namespace, bytes)
      if (crowd === undefined) return
      this.#forgetWaiting(this.#turns.dropOldest(crowd)!)
    }
    this.#waiting.set(name, { ...held, event, packed })
    this.#turns.add(namespace, name)
    this.#addWaiting(namespace, bytes)
  }

  /**
   * @returns the namespace with the most bytes that wait; undefined when none has more than the one that asks would
   *   have
   */
  #crowd(namespace: string, more: number): string | undefined {
    let crowd: string | undefined
    let most = (this.#waitingOf.get(namespace) ?? 0) + more
    for (const [other, bytes] of this.#waitingOf)
      if (bytes > most) {
        crowd = other
        most = bytes
      }
    return crowd
  }

  #forgetWaiting(name: string): void {
    const waiting = this.#waiting.get(name)
    if (waiting === undefined) return
    this.#waiting.delete(name)
    this.#turns.delete(waiting.namespace, name)
    this.#addWaiting(waiting.namespace, -WAITING_BYTES - waiting.packed.length)
  }

  #addWaiting(namespace: string, bytes: number): void {
    this.#waitingBytes += bytes
    const total = (this.#waitingOf.get(namespace) ?? 0) + bytes
    if (total > 0) this.#waitingOf.set(namespace, total)
    else this.#waitingOf.delete(namespace)
  }

  #add(namespace: string, bytes: number): void {
    this.#used += bytes
    const total = (this.#namespaces.get(namespace) ?? 0) + bytes
    if (total > 0) this.#namespaces.set(namespace, total)
    else this.#namespaces.delete(namespace)
  }
}

/** A Namespace counts for itself: its owner may write thousands of labels. */
function ownerOf(key: string): string {
  return key.startsWith('/') ? key.slice(1) : key.slice(0, key.indexOf('/'))
}
