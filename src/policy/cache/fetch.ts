/**
 * What one request fetches from the origin for all: what is to become of the response is decided at its head, whether
 * a client waits for it or not.
 */
import { CacheFlag, type CacheNumbers, expireAt, FLAGS_OFFSET } from '../../cache/cache-numbers.ts'
import { Present, presenceIn } from '../../cache/field-presence.ts'
import { isWhole } from '../../cache/partial-content.ts'
import { urlText, writeLabels } from '../../cache/purge-labels.ts'
import { HARD, KEPT, type Purges } from '../../cache/purges.ts'
import { encodeResponse, readHead } from '../../cache/received-head.ts'
import {
  type EntryKey,
  EntryKind,
  type Fill,
  type ResponseMemory,
  type StoredEntry,
} from '../../cache/response-memory.ts'
import { isErrorStatus, isFresh } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import { judgeStoring } from '../../cache/storing.ts'
import { judgeHead, judgeNotModified, makesStrong } from '../../cache/validation.ts'
import { NO_VARY, uniteVary, varyOf } from '../../cache/vary.ts'
import type { StoreReason, StoreVerdict } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { BodyTee, BodyWaker, LentSink } from '../../message/body.ts'
import type { Fields } from '../../message/fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import { claimed, type NoFill, recordOf, toVariant, type VariantPlace } from './claims.ts'
import { copyBody } from './copy-body.ts'
import type { FetchRequest, FetchServices, HeadOutcome, StaleResponse } from './fetch-contract.ts'
import { giveHead, LABELS } from './fill-head.ts'
import { FillStep, type FillTarget } from './fill-step.ts'
import { becomeWhole, type NewPart, newPart, toPartVariant, type WholeKey } from './new-part.ts'
import { OF_THE_REQUEST } from './of-the-request.ts'
import { PartMerges } from './part-merges.ts'
import { type PartPlace, partIn, partOf } from './part-place.ts'
import type { PassOn, PassServices } from './pass-on.ts'
import { dateText, type HeadUpdate, updateStored } from './revalidation.ts'

/** How long is remembered that responses of a key cannot be stored, so that nobody waits for one of them. */
const UNCACHEABLE_TIME: Milliseconds = 10_000
/** Of a failure, which may be over sooner. */
const FAILURE_TIME: Milliseconds = 1_000

const NO_BYTES = new Uint8Array(0)
const HEAD = new StoredHead()

export class Fetch implements BodyTee, FillTarget {
  readonly request: FetchRequest
  readonly #services: FetchServices
  readonly #memory: ResponseMemory
  readonly #purges: Purges
  /** The claim of the key; null: another one has it, and nothing is stored unless it is free by the head. */
  #fill: Fill | null
  /** Why there is none, where one was asked for last. */
  #noFill: NoFill = 'NoRoom'
  /** Of the fields that choose the variant; null: none does. */
  #names: readonly string[] | null
  /** Where a claim is asked for again: the key of the request, or that of the whole. */
  #key: EntryKey
  #seen: number
  /** Of a body that is stored in part; null: it is the whole. */
  #part: NewPart | null = null
  /** The key of the whole. */
  #whole: EntryKey
  /** What is not stored is read along. */
  #passes: PassOn | null = null
  unattended = false
  readonly passing: PassServices
  /** A head is stored, and what becomes of its body is not counted yet. */
  #untold = false
  stale: StaleResponse | null
  readonly nextTurn: FetchServices['nextTurn']

  constructor(request: FetchRequest, services: FetchServices, fill: Fill | null, stale: StaleResponse | null) {
    this.request = request
    this.#services = services
    this.#memory = services.cache.memory
    this.nextTurn = services.nextTurn
    this.passing = services.passing
    this.#purges = services.cache.purges
    this.#fill = fill
    this.#names = request.names
    this.#key = request.key
    this.#seen = request.seen
    this.#whole = request.part === null ? request.key : { bytes: request.key.bytes, length: request.part.wholeLength }
    this.stale = stale
  }

  get followed(): boolean {
    return this.#fill?.followed === true
  }

  /** It stores something, or may yet, or others read along. */
  get open(): boolean {
    return this.#fill !== null || this.#passes?.open === true
  }

  /** The head of a response, final and from the origin. */
  onHead(status: number, fields: Fields, bodyLength: number | undefined): HeadOutcome {
    const { request } = this
    const received = this.#services.wall()
    if (request.part !== null) this.#services.parts.judge(this.#wholeKey, status, fields, request.sent)
    if (status === 304 && this.stale !== null) return this.#validated(this.stale, fields, received)
    const present = readHead(fields)
    const verdict = judgeStoring(
      request.storing,
      status,
      fields,
      { sent: request.sent, received },
      this.#services.rules,
      present,
    )
    const reason = this.#store(verdict, { status, fields, bodyLength }, present, received)
    if (reason === 'Stored') {
      this.#untold = true
      return { type: 'stored', fill: this.#fill! }
    }
    this.#services.cache.counts.judged(reason)
    return { type: 'not-stored', reason }
  }

  #store(
    { store, reason, numbers, excluded }: StoreVerdict,
    { status, fields, bodyLength }: ResponseHead,
    present: number,
    now: Milliseconds,
  ): StoreReason {
    if (!store) return this.#refuse(reason, status)
    const { part: place } = this.request
    const part = status === 206 && place !== null ? partIn(place, fields, bodyLength) : null
    if (status === 206 && part === null) return this.#refuse('Partial', status)
    // All bytes are the whole (RFC 9110 §15.3.7.3).
    const isPart = part !== null && !isWhole(part)
    const bytes = part === null ? (bodyLength ?? -1) : part.last - part.first + 1
    if (bytes > this.#services.maxObjectBytes) return this.#refuse('TooLarge', status)
    const tags = this.#services.tagsOf(this.request.origin, fields, present)
    if (tags === null) return this.#refuse('TooLarge', status)
    const vary = (present & Present.Vary) === 0 ? NO_VARY : varyOf(fields)
    if (vary.type === 'any') return this.#refuse('VaryAny', status)
    if (part !== null && !isPart) becomeWhole(numbers)
    const head = encodeResponse(numbers.status, fields, excluded, dateText(now))
    if (head === null) return this.#refuse('TooLarge', status)
    if (isPart) this.#part = newPart(part, place!, fields, this.request.sent, numbers)
    else if (place !== null) this.#claimWhole(place)
    this.#fill ??= this.#lateClaim()
    if (this.#fill === null) return this.#noFill
    if (vary.type === 'names' && !this.#toVariant(vary.names)) return this.#noFill
    return this.#begin(head, numbers, tags, bytes)
  }

  /** Gives the fill its head, unless a purge has come meanwhile. */
  #begin(head: Buffer, numbers: CacheNumbers, tags: readonly number[], bodyBytes: number): StoreReason {
    const count = writeLabels(LABELS, this.request.labelled, tags)
    const verdict = this.#judge(count)
    if (verdict === HARD) {
      this.fail()
      return 'Purged'
    }
    if (verdict !== KEPT) expireAt(numbers, this.#services.wall())
    const { began } = this.request
    const stored = giveHead(this.#fill!, { head, numbers, labels: count, bodyBytes, began })
    if (stored) return 'Stored'
    this.#fill = null
    return 'NoRoom'
  }

  #judge(labels: number): number {
    const { began, labelled } = this.request
    if (began === this.#purges.newest) return KEPT
    const { host, path, query } = labelled
    return this.#purges.judge(began, LABELS, labels, () => urlText(host, path, query))
  }

  /** The request was sent without a claim, and its response can be stored all the same. */
  #lateClaim(): Fill | null {
    return this.#claimed(claimed(this.#memory.begin(this.#key, this.request.rule.namespace, this.#seen)))
  }

  #claimed(fill: Fill | NoFill): Fill | null {
    if (typeof fill !== 'string') return fill
    this.#noFill = fill
    return null
  }

  get #wholeKey(): WholeKey {
    return { rule: this.request.rule, key: this.#whole }
  }

  /** A range was asked for, and the response is the whole: who waits for the range looks again. */
  #claimWhole({ wholeSeen }: PartPlace): void {
    const claim = this.#fill
    this.#key = this.#whole
    this.#seen = wholeSeen
    this.#fill = this.#lateClaim()
    claim?.withdraw()
  }

  /**
   * The response depends on fields that the key does not have yet: it is stored under the key that does, to which a
   * record under the primary key leads.
   */
  #toVariant(names: readonly string[]): boolean {
    const { request } = this
    const known = request.names ?? []
    if (names.every((name) => known.includes(name))) return true
    const united = uniteVary(known, names)
    const { rule, recordSerial, began, key, primaryLength, storing } = request
    const primary = { bytes: key.bytes, length: primaryLength }
    const { fields } = storing
    const memory = this.#memory
    const place: VariantPlace = { memory, rule, primary, names: request.names, recordSerial, began, fields }
    if (this.#part === null) this.#fill = this.#claimed(toVariant(this.#fill!, place, united))
    else {
      const part = toPartVariant(this.#fill!, place, request.part!, united)
      this.#whole = part.whole
      this.#fill = this.#claimed(part.fill)
    }
    this.#names = united
    return this.#fill !== null
  }

  /** It is not stored, and those who wait do not wait for the next one either. */
  #refuse(reason: StoreReason, status: number): StoreReason {
    if (this.#fill === null) return reason
    // What is stored stays: the origin may confirm it yet (RFC 9111 §4.3.3).
    if (this.stale !== null && isErrorStatus(status)) {
      this.fail()
      return reason
    }
    // What is so because of this request may be otherwise with others: they look again.
    if (OF_THE_REQUEST.has(reason) || (reason === 'NoLifetime' && this.request.storing.fields.has('cookie'))) {
      this.#fill.withdraw()
      this.#fill = null
    } else this.uncacheable(status >= 500 ? FAILURE_TIME : UNCACHEABLE_TIME)
    return reason
  }

  uncacheable(time: Milliseconds = UNCACHEABLE_TIME): void {
    const fill = this.#fill
    this.#fill = null
    const now = this.#services.wall()
    // What is fresh stays: this request alone has asked for something newer.
    if (this.stale !== null && isFresh(this.stale.numbers, now)) fill?.withdraw()
    else fill?.record(recordOf(EntryKind.Uncacheable, NO_BYTES, now + time, this.request.began))
  }

  /** RFC 9111 §4.3.4: the stored response gets what the newer head says. */
  #validated(stale: StaleResponse, fields: Fields, received: Milliseconds): HeadOutcome {
    const { entry } = stale.hold
    const stored = HEAD.at(entry.bytes, entry.headAt)
    // What was taken back meanwhile is not there to be confirmed.
    const isSame = !entry.gone && judgeNotModified(stored, stale.numbers, fields, received) === 'Update'
    if (isSame && makesStrong(stored, fields)) fields.remove('etag')
    const update = isSame ? this.#update(stored, fields, received) : null
    if (update === null) {
      this.#forget(stale)
      return { type: 'mismatch' }
    }
    const { head, verdict } = update
    const reason = this.#replaceHead(stale, update)
    this.#services.cache.counts.judged(reason)
    // It may be served once all the same: the origin has just confirmed it.
    const numbers = verdict.store ? verdict.numbers : { ...stale.numbers, received, born: received }
    return { type: 'updated', head, numbers, stored: reason === 'Stored' }
  }

  #update(stored: StoredHead, fields: Fields, received: Milliseconds): HeadUpdate | null {
    const { storing, sent } = this.request
    return updateStored(stored, fields, storing, { sent, received }, this.#services.rules)
  }

  /** What is stored is not what the origin has. */
  #forget(stale: StaleResponse): void {
    this.fail()
    this.stale = null
    this.#withStored(stale, (entry) => this.#memory.remove(entry))
    stale.hold.release()
  }

  /** Unless another one has taken its place. */
  #withStored({ hold }: StaleResponse, act: (entry: StoredEntry) => void): void {
    const entry = this.#memory.find(this.request.key)
    if (entry !== null && entry.serial === hold.entry.serial) act(entry)
    this.#memory.leave()
  }

  /** The head of the response to a HEAD (RFC 9111 §4.3.5): it updates what is stored of a GET, or makes it stale. */
  onProbe(status: number, fields: Fields): void {
    const { stale } = this
    if (status !== 200 || stale === null || stale.hold.entry.gone) return
    const { entry } = stale.hold
    const stored = HEAD.at(entry.bytes, entry.headAt)
    const part = this.request.part === null ? null : partOf(stored)
    if (part === null && stored.status !== 200) return
    const received = this.#services.wall()
    const verdict = judgeHead(stored, stale.numbers, part?.complete ?? entry.bodyBytes, fields, received)
    const update = verdict === 'Update' ? this.#update(stored, fields, received) : null
    if (update !== null) this.#replaceHead(stale, update)
    else this.#withStored(stale, (found) => found.setBits(FLAGS_OFFSET, CacheFlag.MarkedStale))
  }

  /** Copies the body of what is stored behind its new head, in as many turns as it takes. */
  #replaceHead(stale: StaleResponse, { head, verdict, fields }: HeadUpdate): StoreReason {
    this.#fill ??= this.#lateClaim()
    if (this.#fill === null) return this.#noFill
    const { names, origin } = this.request
    const tags = this.#services.tagsOf(origin, fields, presenceIn(fields))
    const vary = varyOf(fields)
    const varies = vary.type === 'any' || (vary.type === 'names' && !vary.names.every((name) => names?.includes(name)))
    if (!verdict.store || tags === null || varies)
      return this.#refuse(verdict.store ? (tags === null ? 'TooLarge' : 'VaryAny') : verdict.reason, 304)
    const reason = this.#begin(head, verdict.numbers, tags, stale.hold.entry.bodyBytes)
    if (reason !== 'Stored') return reason
    const { part } = this.request
    const kept = part === null ? null : partOf(HEAD.at(head, 0))
    if (kept !== null) this.#part = newPart(kept, part!, fields, this.request.sent, verdict.numbers)
    const fill = this.#fill
    this.#fill = null
    return copyBody(fill, stale.hold.retain(), this.nextTurn, () => this.#end(fill, true)) ? 'Stored' : 'NoRoom'
  }

  // ---- as the target of a FillStep ----

  tee(sink: LentSink, source: BodyWaker): FillStep {
    return new FillStep(this, sink, source)
  }

  get fill(): Fill {
    return this.#fill!
  }

  get maxBytes(): number {
    return this.#services.maxObjectBytes
  }

  /** The body is whole. */
  whole(keep: boolean): void {
    const fill = this.#fill
    this.#fill = null
    if (fill === null) return
    if (!keep) {
      fill.end(false)
      return this.lost(true, null)
    }
    this.#tell(this.#end(fill, false))
  }

  /** What has become of a response whose head was stored. */
  #tell(reason: StoreReason | Promise<StoreReason>): void {
    if (!this.#untold) return
    this.#untold = false
    const { counts } = this.#services.cache
    if (typeof reason === 'string') counts.judged(reason)
    else void reason.then((later) => counts.judged(later))
  }

  /**
   * A purge that has come meanwhile is met by whoever finds the entry.
   *
   * @param validated its body is that of the stale response
   * @returns whether it is stored; an archive says so later
   */
  #end(fill: Fill, validated: boolean): StoreReason | Promise<StoreReason> {
    const { keep } = this.request
    const { recalls } = this.#services
    if (this.#part === null && keep !== null && recalls !== null)
      return recalls.end(fill, this.#names, validated ? keep : { ...keep, same: false })
    const stored = fill.end()
    // Parts are in the memory alone.
    if (stored && this.#part !== null) new PartMerges(this.#services).add(this.#wholeKey, this.#part)
    return stored ? 'Stored' : 'NoRoom'
  }

  /** The bytes go on to their client, and are stored no more. */
  lost(tooLarge: boolean, passes: PassOn | null): void {
    this.#passes = passes
    this.#tell(tooLarge ? 'TooLarge' : 'NoRoom')
    this.#fill = tooLarge ? this.#lateClaim() : null
    this.uncacheable()
  }

  fail(): void {
    const fill = this.#fill
    this.#fill = null
    this.#tell('Incomplete')
    fill?.fail()
  }

  /** Everything that is still held is given back. */
  release(): void {
    this.fail()
    this.stale?.hold.release()
    this.stale = null
  }
}
