/**
 * Puts parts of one representation together as they come (RFC 9111 §3.4, RFC 9110 §15.3.7.3), until they are the whole:
 * a new one and its neighbour become one entry, which is written in as many turns as it takes.
 */
import { type CacheNumbers, emptyNumbers, NUMBERS_BYTES, readNumbers, writeNumbers } from '../../cache/cache-numbers.ts'
import { type Combined, combine, combineHead, isWhole, type Part } from '../../cache/partial-content.ts'
import type { ListedPart, PartsRecord } from '../../cache/parts-record.ts'
import { FIXED_LABELS, MAX_LABELS } from '../../cache/purge-labels.ts'
import { type EntryHead, EntryKind, type Fill, type HeldEntry } from '../../cache/response-memory.ts'
import { usefulUntil } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import { isSameRepresentation } from '../../cache/validation.ts'
import { Fields } from '../../message/fields.ts'
import type { FetchServices } from './fetch-contract.ts'
import { becomeWhole, type NewPart, type WholeKey } from './new-part.ts'
import { partOf } from './part-place.ts'
import { labelsOf } from './purged.ts'
import { dateText } from './revalidation.ts'

/**
 * Of a new part both together are up to so many times as long: who asks for one byte behind 8 MiB must not have 8 MiB
 * copied. What is read in order is copied so many times for each power of it.
 */
const MOST_COPIES = 16
/** Bytes that are copied at once, and in one turn. */
const PIECE = 64 * 1024
const BUDGET = 256 * 1024
const BUFFER = Buffer.allocUnsafeSlow(PIECE)

/** What is stored, held, with what it says of itself. */
interface HeldPart {
  readonly entry: HeldEntry
  readonly part: Part
  readonly numbers: CacheNumbers
}

/** Bytes of one of the two. */
interface Run {
  readonly from: HeldPart
  readonly first: number
  readonly last: number
}

export class PartMerges {
  readonly #services: Pick<FetchServices, 'parts' | 'maxObjectBytes' | 'nextTurn' | 'wall'>

  constructor(services: Pick<FetchServices, 'parts' | 'maxObjectBytes' | 'nextTurn' | 'wall'>) {
    this.#services = services
  }

  /** A part has been stored under its key. */
  add(whole: WholeKey, part: NewPart): void {
    const record = this.#services.parts.add(whole, part)
    const other = record === null ? undefined : this.#neighbour(record, part)
    if (other !== undefined) this.#merge(whole, part, other)
  }

  /** The longest one that may be joined with it. */
  #neighbour({ complete, parts }: PartsRecord, part: NewPart): ListedPart | undefined {
    const own = part.last - part.first + 1
    let best: ListedPart | undefined
    let length = 0
    for (const other of parts) {
      const union = combine({ ...other, complete }, part)
      if (union === undefined || other === parts.at(-1)) continue
      const bytes = union.last - union.first + 1
      const fits = bytes <= this.#services.maxObjectBytes && (own * MOST_COPIES >= bytes || isWhole(union))
      if (!fits || bytes <= length) continue
      best = other
      length = bytes
    }
    return best
  }

  #merge(whole: WholeKey, newest: NewPart, other: ListedPart): void {
    const one = this.#hold(whole, newest.named)
    const two = one === null ? null : this.#hold(whole, other.asked)
    if (one === null || two === null) return one?.entry.release()
    const [stored, newer] = one.numbers.received >= two.numbers.received ? [two, one] : [one, two]
    const union = combine(stored.part, newer.part)
    const head = union === undefined ? null : this.#head(stored, newer, union)
    const named = union === undefined ? null : isWhole(union) ? null : { first: union.first, last: union.last }
    const fill = head === null ? null : this.#services.parts.claim(whole, named)
    if (union === undefined || head === null || fill === null || !fill.head(head)) return release(one, two)
    this.#copy(fill, runsOf(stored, newer, union), () => {
      release(one, two)
      if (!fill.end()) return
      if (named === null) this.#services.parts.forget(whole)
      else {
        const { first, last, complete } = union
        this.add(whole, { ...newest, first, last, complete, named, until: head.until })
      }
    })
  }

  #hold(whole: WholeKey, named: ListedPart['asked']): HeldPart | null {
    const entry = this.#services.parts.hold(whole, named, this.#services.wall())
    if (entry === null) return null
    const part = partOf(new StoredHead().at(entry.bytes, entry.headAt))
    if (part === null) {
      entry.release()
      return null
    }
    return { entry, part, numbers: readNumbers(entry.view, entry.numbersAt, emptyNumbers()) }
  }

  /** Null: they are not of one representation. */
  #head(stored: HeldPart, newer: HeldPart, union: Combined): EntryHead | null {
    const before = new StoredHead().at(stored.entry.bytes, stored.entry.headAt)
    const fields = new StoredHead().at(newer.entry.bytes, newer.entry.headAt).fields(new Fields())
    if (!isSameRepresentation(before, stored.numbers, fields, newer.numbers)) return null
    // An origin may have one tag for what it codes in different ways, which is wrong.
    if (before.fields(new Fields()).joined('content-encoding') !== fields.joined('content-encoding')) return null
    const labels = uniteLabels(labelsOf(newer.entry), labelsOf(stored.entry))
    const head = combineHead(before, fields, union, [], dateText(this.#services.wall()))
    if (head === null || labels === null) return null
    const numbers = { ...newer.numbers }
    if (isWhole(union)) becomeWhole(numbers)
    const view = new DataView(new ArrayBuffer(NUMBERS_BYTES))
    writeNumbers(view, 0, numbers)
    return {
      kind: EntryKind.Response,
      numbers: new Uint8Array(view.buffer),
      head,
      subject: new Uint8Array(labels.buffer),
      bodyBytes: union.last - union.first + 1,
      until: usefulUntil(numbers),
      // What was purged since either was judged concerns both.
      began: Math.min(stored.entry.checked, newer.entry.checked),
    }
  }

  #copy(fill: Fill, runs: readonly Run[], end: () => void): void {
    let run = 0
    let at = runs[0]!.first
    const go = (): void => {
      for (let budget = BUDGET; run < runs.length; ) {
        if (budget <= 0) return this.#services.nextTurn(go)
        const { from, last } = runs[run]!
        const count = Math.min(PIECE, last - at + 1)
        const copied = from.entry.copyBody(at - from.part.first, BUFFER, 0, count)
        if (copied < count) fill.fail()
        if (copied < count || !fill.write(BUFFER, 0, count)) return end()
        budget -= count
        at += count
        if (at <= last) continue
        run++
        at = runs[run]?.first ?? 0
      }
      end()
    }
    go()
  }
}

function release(one: HeldPart, two: HeldPart): void {
  one.entry.release()
  two.entry.release()
}

/** Where both have bytes, those of the newer one. */
function runsOf(stored: HeldPart, newer: HeldPart, union: Combined): readonly Run[] {
  const runs: Run[] = union.stored.map(({ first, last }) => ({ from: stored, first, last }))
  runs.push({ from: newer, first: newer.part.first, last: newer.part.last })
  return runs.sort((a, b) => a.first - b.first)
}

/** A purge by a tag of either of them is one of both. @returns null: they are too many */
function uniteLabels(newer: Float64Array, stored: Float64Array): Float64Array | null {
  const labels = new Set(newer.subarray(FIXED_LABELS))
  for (const label of stored.subarray(FIXED_LABELS)) labels.add(label)
  if (labels.size > MAX_LABELS - FIXED_LABELS) return null
  return Float64Array.of(...newer.subarray(0, FIXED_LABELS), ...labels)
}
