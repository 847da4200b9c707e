/**
 * Requests that come again, each with what answers it. Bounded in requests and bytes.
 *
 * Two requests are the same where they came by the same listener, and port where a PROXY header has one, their
 * request lines and the names of their fields are the same to the byte and in the same order, and so is each value that
 * anybody read of the first one. {@link Fields} notes that by itself: whoever decides about a request by one more field
 * need not say so here. The other values are checked as the parser would. The hash only says where to look.
 */
import { HeadOutline } from '../http/head-outline.ts'
import type { Fields } from '../message/fields.ts'
import type { RepeatedBytes, TakeBuffer } from '../transport/downstream.ts'
import { connectedPort, type Peer, type PeerListener } from '../transport/peer.ts'

/** Of requests: sets of some of the same hash, among which those that differ in a value that is read. */
const SETS = 512
const WAYS = 4
/** Hashes of request lines, and of requests that are read. */
const LINES = 4_096
const SEEN = 4_096
/** Bytes of a head; longer ones are read anew each time. */
const MAX_HEAD = 4 * 1024
/** Bytes of heads and responses. */
const MAX_BYTES = 2 * 1024 * 1024
/** So many times a request is read, at most, before it is kept again. */
const MOST_READ = 1_024

/** Where a trusted proxy tells what each request has of its own. An index of -1: it tells nothing. */
export interface ReportPlaces {
  /** The field with the list of addresses, of which so many were believed. */
  readonly client: number
  readonly hops: number
  readonly id: number
}

/** What answers a request that has come again. */
export interface Repeat {
  /**
   * @param client address, for the log
   * @param id of the request; '': none was told
   * @returns head and body; null: it does not any more, and the request is to be read
   */
  again(peer: Peer, client: string, id: string, take: TakeBuffer): RepeatedBytes | string | null
  /** Another one with the same is likely to be {@link isSame}. */
  readonly key: string
  /** Whether one is enough for both: of requests that differ in fields that nobody reads, or in names. */
  isSame(other: Repeat): boolean
}

/** One that answers several requests. */
interface Shared {
  readonly repeat: Repeat
  readonly bytes: number
  requests: number
}

interface Recurring {
  readonly hash: number
  /** Place in the counts of request lines. */
  readonly line: number
  readonly head: Uint8Array
  readonly spans: Int32Array
  /** For each field: 0 where its value counts for nothing. */
  readonly compared: Uint8Array
  readonly listener: PeerListener
  /** See {@link connectedPort}. */
  readonly port: number
  /** Null: it did not come from a trusted proxy. */
  readonly report: ReportPlaces | null
  readonly shared: Shared
  /** Without what answers it. */
  readonly bytes: number
  /** Since room was last looked for here. */
  used: boolean
}

const OUTLINE = new HeadOutline()

export class RecurringRequests {
  readonly #ways: (Recurring | null)[] = new Array(SETS * WAYS).fill(null)
  /** How many of them have a request line of this hash. */
  readonly #lines = new Uint16Array(LINES)
  /** What was read last, and how many times of late. */
  readonly #seen = new Int32Array(SEEN)
  readonly #times = new Uint16Array(SEEN)
  readonly #shared = new Map<string, Shared>()
  /** Of all that is kept; 0: nothing is. */
  #bytes = 0
  /** Where the last search for room has ended. */
  #hand = 0
  /** Of what {@link find} has found; null: it did not come from a trusted proxy. */
  report: ReportPlaces | null = null

  /** Whatever led to the responses may be different now: tables, settings. */
  clear(): void {
    if (this.#bytes === 0) return
    this.#ways.fill(null)
    this.#lines.fill(0)
    this.#seen.fill(0)
    this.#shared.clear()
    this.#bytes = 0
  }

  /**
   * @param trusted whether a word is taken of the other end of the connection
   * @param bytes of which the first `length` are all that was read of a connection between two requests
   */
  find(peer: Peer, trusted: boolean, bytes: Uint8Array, length: number): Repeat | null {
    if (this.#bytes === 0 || length > MAX_HEAD) return null
    if (!OUTLINE.line(bytes, length) || this.#lines[OUTLINE.hash & (LINES - 1)] === 0) return null
    if (!OUTLINE.fields(bytes, length)) return null
    const { hash } = OUTLINE
    const { listener } = peer
    const port = connectedPort(peer)
    const first = (hash & (SETS - 1)) * WAYS
    for (let way = first; way < first + WAYS; way++) {
      const known = this.#ways[way]!
      if (known === null || known.hash !== hash || known.listener !== listener) continue
      if ((known.report !== null) !== trusted || known.port !== port) continue
      if (!OUTLINE.fits(bytes, known.head, known.spans, known.compared)) continue
      known.used = true
      this.report = known.report
      return known.shared.repeat
    }
    return null
  }

  /** A value of the request that was last asked for by {@link find}. */
  value(bytes: Buffer, index: number): string {
    return bytes.latin1Slice(OUTLINE.valueStart(bytes, index), OUTLINE.valueEnd(index))
  }

  /** What {@link find} has found answers no more: the request is soon to be kept with something else. */
  lapsed(): void {
    this.#times[OUTLINE.hash & (SEEN - 1)] = 1
  }

  /**
   * To be asked of each request that is read and could be kept. One that comes with ever other values, all of which
   * count, is kept ever less often.
   */
  wants(head: Uint8Array): boolean {
    if (head.length > MAX_HEAD || !OUTLINE.line(head, head.length) || !OUTLINE.fields(head, head.length)) return false
    const { hash } = OUTLINE
    const at = hash & (SEEN - 1)
    if (this.#seen[at] !== hash) {
      this.#seen[at] = hash
      this.#times[at] = 1
      return false
    }
    const times = ++this.#times[at]!
    if ((times & (times - 1)) !== 0) return false
    if (times >= MOST_READ) this.#times[at] = MOST_READ / 2
    return true
  }

  /**
   * @param head of the request, all that was read of it; copied
   * @param fields of it, behind whatever reads them
   * @param bytes that the repeat takes, where none is there that is the same
   * @param report null: it did not come from a trusted proxy
   */
  keep(peer: Peer, head: Uint8Array, fields: Fields, repeat: Repeat, bytes: number, report: ReportPlaces | null): void {
    if (!OUTLINE.line(head, head.length)) return
    const line = OUTLINE.hash & (LINES - 1)
    if (!OUTLINE.fields(head, head.length) || OUTLINE.count !== fields.count) return
    const { hash } = OUTLINE
    const compared = Uint8Array.from({ length: fields.count }, (_, i) => (fields.wasRead(i) ? 1 : 0))
    const own = { head: Uint8Array.from(head), spans: OUTLINE.copySpans(), compared }
    const size = head.length + 5 * own.spans.length
    const shared = this.#share(repeat, bytes)
    this.#makeRoom(size)
    const way = this.#wayFor(hash & (SETS - 1), own.head, peer, report !== null)
    if (way < 0) return this.#release(shared)
    const before = this.#ways[way]!
    if (before !== null) this.#forget(way, before)
    const { listener } = peer
    const port = connectedPort(peer)
    this.#ways[way] = { hash, line, ...own, listener, port, report, shared, bytes: size, used: false }
    this.#lines[line]!++
    this.#bytes += size
  }

  #share(repeat: Repeat, bytes: number): Shared {
    const known = this.#shared.get(repeat.key)
    if (known?.repeat.isSame(repeat)) {
      known.requests++
      return known
    }
    const shared = { repeat, bytes, requests: 1 }
    this.#shared.set(repeat.key, shared)
    this.#bytes += bytes
    return shared
  }

  #release(shared: Shared): void {
    if (--shared.requests > 0) return
    this.#bytes -= shared.bytes
    const { key } = shared.repeat
    if (this.#shared.get(key) === shared) this.#shared.delete(key)
  }

  /** Whatever has been of no use since it was passed here last goes first. */
  #makeRoom(bytes: number): void {
    for (let steps = 2 * SETS * WAYS; steps > 0 && this.#bytes + bytes > MAX_BYTES; steps--) {
      const known = this.#ways[this.#hand]!
      if (known?.used === false) this.#forget(this.#hand, known)
      else if (known !== null) known.used = false
      this.#hand = (this.#hand + 1) & (SETS * WAYS - 1)
    }
  }

  #forget(way: number, { line, bytes, shared }: Recurring): void {
    this.#ways[way] = null
    this.#lines[line]!--
    this.#bytes -= bytes
    this.#release(shared)
  }

  /** Where the same one is, else a free one, else one that was of no use of late. @returns -1: there is none */
  #wayFor(set: number, head: Uint8Array, peer: Peer, trusted: boolean): number {
    const port = connectedPort(peer)
    const first = set * WAYS
    let free = -1
    for (let way = first; way < first + WAYS; way++) {
      const known = this.#ways[way]!
      if (known === null) free = way
      else if (
        known.listener === peer.listener &&
        known.port === port &&
        (known.report !== null) === trusted &&
        OUTLINE.fits(head, known.head, known.spans, known.compared)
      )
        return way
    }
    for (let way = first; free < 0 && way < first + WAYS; way++) {
      const known = this.#ways[way]!
      if (!known.used) free = way
      known.used = false
    }
    return free
  }
}
