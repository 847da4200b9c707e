/** Parts of representations in the memory: which of them answers a request, and how one more is listed. */
import { type AskedRange, askedRange } from '../../cache/asked-range.ts'
import { emptyNumbers, readNumbers } from '../../cache/cache-numbers.ts'
import { covers } from '../../cache/partial-content.ts'
import {
  decodeParts,
  encodeParts,
  type ListedPart,
  MAX_PARTS,
  type PartsRecord,
  partWith,
  sameAsked,
  sameTag,
} from '../../cache/parts-record.ts'
import { allowsRange } from '../../cache/preconditions.ts'
import { type ByteRange, parseContentRange, rangesOf } from '../../cache/ranges.ts'
import {
  EntryKind,
  type Fill,
  type HeldEntry,
  type ResponseMemory,
  type StoredEntry,
} from '../../cache/response-memory.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'
import type { DryExchange } from '../exchange.ts'
import { fillOf, recordOf } from './claims.ts'
import { isUncacheable, type Lookup, type Lookups } from './lookup.ts'
import type { NewPart, WholeKey } from './new-part.ts'
import { beginPart, partOf, writePart, writeParts } from './part-place.ts'
import { beginKey, KEY } from './request-key.ts'

/** A record is written in one turn, so that another worker is met at most so often. */
const TRIES = 4
const HEAD = new StoredHead()
const NUMBERS = emptyNumbers()

export class StoredParts {
  readonly #memory: ResponseMemory
  readonly #lookups: Lookups

  constructor(memory: ResponseMemory, lookups: Lookups) {
    this.#memory = memory
    this.#lookups = lookups
  }

  /**
   * Finds a part for a GET with a range of which there is no whole: it is the entry that was found then, and `KEY` its
   * key.
   */
  cover({ request }: Pick<DryExchange, 'request'>, found: Lookup, now: Milliseconds): void {
    const wholeLength = KEY.length
    const record = this.#read()
    KEY.cutTo(wholeLength)
    if (record === null) return
    const asked = rangesOf(request, record.complete)
    if (asked.type !== 'Ranges') return
    this.#meet(record, asked.ranges, found, now)
    const listed = partWith(record, asked.ranges)
    if (listed === undefined) return
    writePart(listed.asked)
    const entry = this.#response()
    if (entry !== null && this.#fits(entry, asked.ranges, request, found, now)) {
      const wanted = askedRange(request) ?? listed.asked
      found.part = { wholeLength, wholeSeen: found.seen, asked: wanted, named: listed.asked }
      found.entry = entry
      found.seen = entry.serial
      found.state = 'found'
    } else KEY.cutTo(wholeLength)
  }

  /** Whether parts that overlap the ranges are there still: what was purged is no part of an answer. */
  #meet({ parts }: PartsRecord, ranges: readonly ByteRange[], found: Lookup, now: Milliseconds): void {
    let purged = false
    for (const { asked, ...part } of parts) {
      if (!ranges.some((range) => overlap(part, range))) continue
      const state = this.#stateOf(asked, now)
      purged ||= state === 'purged'
      found.partial = state === 'found'
      if (found.partial) return
    }
    if (purged && found.state === 'none') found.state = 'purged'
  }

  /** `KEY` is that of the whole. */
  #stateOf(named: AskedRange, now: Milliseconds): 'none' | 'found' | 'purged' {
    const wholeLength = KEY.length
    writePart(named)
    const entry = this.#response()
    KEY.cutTo(wholeLength)
    if (entry === null) return 'none'
    if (this.#lookups.survives(entry, readNumbers(entry.view, entry.numbersAt, NUMBERS), now)) return 'found'
    this.#lookups.drop(entry)
    return 'purged'
  }

  #fits(
    entry: StoredEntry,
    ranges: Parameters<typeof covers>[1],
    request: Fields,
    { numbers }: Lookup,
    now: Milliseconds,
  ): boolean {
    readNumbers(entry.view, entry.numbersAt, numbers)
    if (!this.#lookups.survives(entry, numbers, now)) {
      this.#lookups.drop(entry)
      return false
    }
    const head = HEAD.at(entry.bytes, entry.headAt)
    const part = partOf(head)
    return (
      part !== null && covers(part, ranges) && (!request.has('if-range') || allowsRange(request, head, numbers, now))
    )
  }

  /**
   * Where the response to a request for one range would be stored: `KEY` is the key of that part then.
   *
   * @returns false: the request asks for no range, or for several
   */
  place({ request, method }: Pick<DryExchange, 'request' | 'method'>, found: Lookup, now: Milliseconds): boolean {
    const asked = method === 'GET' ? askedRange(request) : undefined
    if (asked === undefined) return false
    const wholeLength = KEY.length
    writePart(asked)
    if (KEY.tooLong) {
      KEY.cutTo(wholeLength)
      return false
    }
    const entry = this.#memory.find(KEY)
    found.part = { wholeLength, wholeSeen: found.seen, asked, named: asked }
    found.seen = entry?.serial ?? 0
    if (found.state !== 'purged') found.state = isUncacheable(entry, now) ? 'uncacheable' : 'none'
    return true
  }

  /**
   * A part has been stored under its key. Of another representation than the others, it takes their place.
   *
   * @returns those that there are now, it is the last of them; null: it is not one of them, and gone
   */
  add(whole: WholeKey, { named, first, last, complete, tag, sent, until }: NewPart): PartsRecord | null {
    const dropped: ListedPart[] = []
    const record = this.#update(whole, until, (record) => {
      dropped.length = 0
      const own: ListedPart = { first, last, asked: named }
      if (record === null) return { complete, tag, sent, parts: [own] }
      const isSame = record.complete === complete && sameTag(record.tag, tag)
      if (!isSame && record.sent > sent) return null
      const others = record.parts.filter(({ asked }) => !sameAsked(asked, named))
      // Within the new one they are of no use.
      const kept = isSame ? others.filter((part) => !covers({ first, last }, [part])).slice(1 - MAX_PARTS) : []
      dropped.push(...others.filter((part) => !kept.includes(part)))
      return { complete, tag, sent: Math.max(sent, record.sent), parts: [...kept, own] }
    })
    if (record === null) dropped.push({ first, last, asked: named })
    for (const { asked } of dropped) this.#remove(whole, asked)
    return record
  }

  /**
   * What the head of a response to a request for a range says of the parts that are stored: of another representation,
   * or of none, they go.
   */
  judge(whole: WholeKey, status: number, fields: Fields, sent: Milliseconds): void {
    if (status !== 200 && status !== 206 && status !== 404 && status !== 410 && status !== 416) return
    const record = this.listed(whole)
    if (record === null || record.sent > sent || isOf(record, status, fields)) return
    this.#update(whole, 0, () => ({ ...record, parts: [] }))
    for (const { asked } of record.parts) this.#remove(whole, asked)
  }

  /** Whether there are parts of the whole whose key is in `KEY`. */
  exist(): boolean {
    const wholeLength = KEY.length
    const record = this.#read()
    KEY.cutTo(wholeLength)
    return record !== null && record.parts.length > 0
  }

  listed({ key }: WholeKey): PartsRecord | null {
    beginKey(key)
    const record = this.#read()
    this.#memory.leave()
    return record
  }

  /** A part that is listed; null: it is gone, or was purged. */
  hold({ key }: WholeKey, named: AskedRange, now: Milliseconds): HeldEntry | null {
    beginPart(key, named)
    const entry = this.#response()
    const numbers = entry === null ? null : readNumbers(entry.view, entry.numbersAt, emptyNumbers())
    const held = numbers !== null && this.#lookups.survives(entry!, numbers, now) ? entry!.hold() : null
    this.#memory.leave()
    return held
  }

  /** @param named null: the whole, unless there is one. @returns null: it has no room, or somebody else is about it */
  claim({ rule, key }: WholeKey, named: AskedRange | null): Fill | null {
    beginPart(key, named)
    const entry = this.#memory.find(KEY)
    const seen = entry?.serial ?? 0
    const isWhole = named === null && entry?.kind === EntryKind.Response
    this.#memory.leave()
    return isWhole ? null : fillOf(this.#memory.begin(KEY, rule.namespace, seen))
  }

  /** There is a whole: parts are of no use. */
  forget(whole: WholeKey): void {
    let parts: readonly ListedPart[] = []
    this.#update(whole, 0, (record) => {
      parts = record?.parts ?? []
      return record === null ? null : { ...record, parts: [] }
    })
    for (const { asked } of parts) this.#remove(whole, asked)
  }

  /** The record under the key in `KEY`. */
  #read(): PartsRecord | null {
    writeParts()
    return KEY.tooLong ? null : recordIn(this.#memory.find(KEY))
  }

  #response(): StoredEntry | null {
    const entry = this.#memory.find(KEY)
    return entry?.kind === EntryKind.Response ? entry : null
  }

  /**
   * @param until of the change; the record is of use for as long as one of its parts
   * @param change may be called again
   * @returns null: it is as it was
   */
  #update(
    { rule, key }: WholeKey,
    until: Milliseconds,
    change: (record: PartsRecord | null) => PartsRecord | null,
  ): PartsRecord | null {
    beginKey(key)
    writeParts()
    for (let i = 0; i < TRIES; i++) {
      const entry = this.#memory.find(KEY)
      const record = recordIn(entry)
      const end = Math.max(until, entry?.until ?? 0)
      const seen = entry?.serial ?? 0
      this.#memory.leave()
      const next = change(record)
      if (next === null) return null
      const fill = fillOf(this.#memory.begin(KEY, rule.namespace, seen))
      if (fill !== null) return fill.record(recordOf(EntryKind.Parts, encodeParts(next), end, 0)) ? next : null
    }
    return null
  }

  #remove({ key }: WholeKey, named: AskedRange): void {
    beginPart(key, named)
    const entry = this.#response()
    if (entry !== null) this.#memory.remove(entry)
    this.#memory.leave()
  }
}

function recordIn(entry: StoredEntry | null): PartsRecord | null {
  return entry?.kind === EntryKind.Parts ? decodeParts(entry.bytes, entry.headAt, entry.headBytes) : null
}

const overlap = (one: ByteRange, other: ByteRange): boolean => one.first <= other.last && other.first <= one.last

/** Whether a response is of the representation that the parts are of. */
function isOf({ tag, complete }: PartsRecord, status: number, fields: Fields): boolean {
  if (status !== 200 && status !== 206) return false
  if (fields.get('etag') !== tag) return false
  return status === 200 || parseContentRange(fields.get('content-range') ?? '')?.complete === complete
}
