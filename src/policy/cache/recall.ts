/**
 * The archive of a rule, before and behind the memory: what the memory does not have is looked for there before the
 * origin is asked, and poured into the memory for all who wait; what the memory has got whole is put there.
 */
import {
  type ArchivedResponse,
  decodeArchived,
  encodeArchived,
  type PurgePlace,
} from '../../cache/archived-response.ts'
import {
  type CacheNumbers,
  emptyNumbers,
  expireAt,
  NUMBERS_BYTES,
  readNumbers,
  writeNumbers,
} from '../../cache/cache-numbers.ts'
import { urlText } from '../../cache/purge-labels.ts'
import { HARD, KEPT, type Purges } from '../../cache/purges.ts'
import type {
  ArchiveHit,
  ArchivePut,
  ArchiveReader,
  ArchiveTicket,
  ResponseArchive,
} from '../../cache/response-archive.ts'
import {
  type EntryHead,
  type EntryKey,
  EntryKind,
  type Fill,
  type FillUnderWay,
  type HeldEntry,
  type ResponseMemory,
} from '../../cache/response-memory.ts'
import { usefulUntil } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import { judgeHead } from '../../cache/validation.ts'
import { encodeVaryNames, VaryNames, writeVariant } from '../../cache/vary.ts'
import type { StoreReason } from '../../cache/verdicts.ts'
import type { Clock, Milliseconds } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'
import type { CacheServices } from '../cache-services.ts'
import type { DryExchange } from '../exchange.ts'
import { patienceFor } from './fetch-rest.ts'
import type { Lookup } from './lookup.ts'
import { KEY, type KeyRule } from './request-key.ts'

/** What is looked for. */
export interface RecallRequest {
  readonly rule: KeyRule
  /** The key without a variant; a copy. */
  readonly primary: EntryKey
  /** Of the request, whose values choose the variant. */
  readonly fields: Fields
  /** As purges by prefix see it. */
  readonly url: () => string
  /** What the memory has, and is stale: only a newer response is of use. */
  readonly known: KnownResponse | null
}

/** A copy of what tells a stored response from others. */
export interface KnownResponse {
  readonly head: Buffer
  readonly bodyBytes: number
  readonly received: Milliseconds
}

export interface Recalled {
  /** Null: it could not be asked. */
  readonly ticket: ArchiveTicket | null
  /** Null: there is nothing of use. */
  readonly found: RecalledResponse | null
  /** It has the response that is known: a newer head is all that it needs. */
  readonly same: boolean
  /** What it has was purged. */
  readonly purged: boolean
}

export interface RecalledResponse {
  readonly hit: ArchiveHit
  readonly response: ArchivedResponse
  readonly numbers: CacheNumbers
  /** Of the purge log: up to where it was judged. */
  readonly began: number
  /** Names of the fields that choose the variant; null: it is the only one. */
  readonly names: readonly string[] | null
}

/** Where a response goes, and up to which purge it is known to be valid. */
export interface KeepRequest {
  readonly rule: KeyRule
  readonly primary: Uint8Array
  readonly place: PurgePlace
  /** Null: it is asked for when the response is whole. */
  readonly ticket: ArchiveTicket | null
  /** The archive has the body: a new head is all it needs. Holds only where the origin has validated it. */
  readonly same: boolean
}

const NAMES = new VaryNames()
const HEAD = new StoredHead()
const NUMBERS_VIEW = new DataView(new ArrayBuffer(NUMBERS_BYTES))

export class Recalls {
  readonly #archive: ResponseArchive
  readonly #purges: Purges
  readonly #memory: ResponseMemory
  readonly #clock: Pick<Clock, 'wall'>
  /** Whether the memory keeps what is fresh. */
  readonly #tiered: boolean

  constructor(
    archive: ResponseArchive,
    tiered: boolean,
    { purges, memory }: Pick<CacheServices, 'memory' | 'purges'>,
    clock: Pick<Clock, 'wall'>,
  ) {
    this.#archive = archive
    this.#tiered = tiered
    this.#purges = purges
    this.#memory = memory
    this.#clock = clock
  }

  /** Whether the memory keeps what it has got, besides those who read along. */
  get keepsInMemory(): boolean {
    return this.#tiered
  }

  /**
   * To be asked for when the request is sent to the origin: purges behind that concern its response.
   *
   * @param validated when the stale response was received that the request validates; null: none
   */
  keepOf(rule: KeyRule, primary: Uint8Array, recalled: Recalled | null, validated: Milliseconds | null): KeepRequest {
    const { history, position } = this.#purges
    const { ticket = null, found = null, same = false } = recalled ?? {}
    const isFound = found !== null && found.numbers.received === validated && hasTag(found.response)
    return { rule, primary, place: { history, position }, ticket, same: same || isFound }
  }

  /** Never rejects. */
  async ask({ rule, primary: { bytes: primary }, fields, url, known }: RecallRequest): Promise<Recalled> {
    const hit = await this.#archive.find({
      namespace: rule.namespace,
      primary,
      variantOf: variantsFor(primary, fields),
    })
    if (hit.type === 'away') return NOTHING
    const { ticket } = hit
    if (hit.type === 'none') return { ...NOTHING, ticket }
    const response = decodeArchived(hit.head, rule.namespaceLabel)
    if (response === null) return { ...NOTHING, ticket }
    const judged = this.#judge(response, url, known?.received ?? Number.NEGATIVE_INFINITY)
    if (judged === 'useless' || judged === 'purged') {
      const same = known !== null && isSame(hit, response, known)
      return { ticket, found: null, same, purged: judged === 'purged' }
    }
    const names = hit.vary === null ? null : namesOf(hit.vary)
    return { ...NOTHING, ticket, found: { hit, response, names, ...judged } }
  }

  /** What purges have made of it, and whether it can be of any use. */
  #judge(
    response: ArchivedResponse,
    url: () => string,
    newerThan: Milliseconds,
  ): Pick<RecalledResponse, 'numbers' | 'began'> | 'purged' | 'useless' {
    const { labels, place } = response
    const sequence = this.#purges.sequenceOf(place.history, place.position)
    if (sequence === -1) return 'purged'
    const verdict = this.#purges.judge(sequence, labels, labels.length, url)
    if (verdict === HARD) return 'purged'
    const now = this.#clock.wall()
    const numbers = numbersOf(response)
    if (verdict !== KEPT) expireAt(numbers, now)
    if (numbers.received <= newerThan || usefulUntil(numbers) <= now) return 'useless'
    return { numbers, began: this.#purges.last }
  }

  /**
   * Begins to write it into the memory: who waits reads along.
   *
   * @param keep whether it is found there afterwards
   * @param rest goes on with a long body that the archive gives no more of, behind so many bytes
   * @returns null: it has no room, and the fill has failed
   */
  pour(
    { hit, response, numbers, began }: RecalledResponse,
    fill: Fill,
    keep: boolean,
    follow: () => FillUnderWay | null,
    rest: (from: number) => void,
  ): { readonly held: HeldEntry; readonly fetch: FillUnderWay | null } | null {
    writeNumbers(NUMBERS_VIEW, 0, numbers)
    const { labels, head } = response
    const entry: EntryHead = {
      kind: EntryKind.Response,
      numbers: new Uint8Array(NUMBERS_VIEW.buffer),
      head,
      subject: new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength),
      bodyBytes: hit.bodyBytes,
      until: usefulUntil(numbers),
      began,
    }
    if (!fill.head(entry)) return null
    const held = fill.hold()
    if (held === null) {
      fill.fail()
      return null
    }
    const { whole } = hit
    if (whole === null) {
      const fetch = follow()
      void copy(hit.read(0, hit.bodyBytes, patienceFor(head)), fill, keep, rest)
      return { held, fetch }
    }
    if (fill.write(whole, 0, whole.length)) {
      fill.end(keep)
      return { held, fetch: null }
    }
    held.release()
    return null
  }

  /**
   * What the archive has of a GET goes, with all its variants, where the 200 to a HEAD is about another response (RFC
   * 9111 §4.3.5): other replicas, and this one when it begins anew, would find it fresh.
   *
   * @param newer of the response
   * @param sent when the HEAD was
   */
  async probe(
    { rule, primary: { bytes: primary }, fields }: Pick<RecallRequest, 'rule' | 'primary' | 'fields'>,
    newer: Fields,
    sent: Milliseconds,
  ): Promise<void> {
    const { namespace } = rule
    const answer = await this.#archive.find({ namespace, primary, variantOf: variantsFor(primary, fields) })
    if (answer.type !== 'found') return
    const response = decodeArchived(answer.head, rule.namespaceLabel)
    if (response === null || HEAD.at(response.head, 0).status !== 200) return
    const numbers = numbersOf(response)
    // What came after it was sent says more than it does.
    if (numbers.received > sent) return
    const verdict = judgeHead(HEAD, numbers, answer.bodyBytes, newer, this.#clock.wall())
    if (verdict === 'Mismatch') await this.#archive.remove({ namespace, primary })
  }

  /**
   * The end of a fill, whose response is put.
   *
   * @param names of the fields that choose the variant; null: none does
   * @returns what has become of it in the memory; where that is no tier, later, what has in the archive
   */
  end(fill: Fill, names: readonly string[] | null, keep: KeepRequest): StoreReason | Promise<StoreReason> {
    // Without a history nobody can say later what was purged since.
    const held = keep.place.history === 0 ? null : fill.hold()
    const stored = fill.end(this.#tiered) ? 'Stored' : 'NoRoom'
    if (held === null) return this.#tiered ? stored : 'NoRoom'
    if (held.bodyBytes === -1 || held.written !== held.bodyBytes) {
      held.release()
      return this.#tiered ? stored : 'NoRoom'
    }
    if (!this.#tiered) this.#forget(held)
    const put = this.#put(held, names, keep).finally(() => held.release())
    return this.#tiered ? stored : put.then((outcome) => STORED[outcome] ?? 'NoRoom')
  }

  /** What was kept for its validation is out of date now. */
  #forget({ bytes, keyAt, keyBytes }: HeldEntry): void {
    const entry = this.#memory.find({ bytes: bytes.subarray(keyAt, keyAt + keyBytes), length: keyBytes })
    if (entry !== null && entry.kind === EntryKind.Response) this.#memory.remove(entry)
    this.#memory.leave()
  }

  async #put(held: HeldEntry, names: readonly string[] | null, keep: KeepRequest): Promise<ArchivePut> {
    const { bytes, bodyBytes, keyAt, keyBytes } = held
    const ttl = held.until - this.#clock.wall()
    if (ttl <= 0 || bodyBytes > this.#archive.maxBodyBytes) return 'refused'
    const head = encodeArchived(held, keep.place)
    if (keep.ticket !== null && keep.same) return await this.#archive.update(keep.ticket, { head, ttl })
    const key = Buffer.from(bytes.subarray(keyAt, keyAt + keyBytes))
    const variant = names === null ? undefined : { vary: encodeVaryNames(names), key }
    const ticket = keep.ticket ?? (await this.#ticketFor(held, variant, keep))
    if (typeof ticket === 'string') return ticket
    const source = {
      bytes: bodyBytes,
      copy: (from: number, target: Uint8Array) => held.copyBody(from, target, 0, target.length) === target.length,
    }
    return await this.#archive.put(ticket, { head, ttl, ...(variant === undefined ? {} : { variant }) }, source)
  }

  /** Else why there is none: it cannot be asked, or has a newer response. */
  async #ticketFor(
    held: HeldEntry,
    variant: { readonly vary: Uint8Array; readonly key: Uint8Array } | undefined,
    { rule, primary }: KeepRequest,
  ): Promise<ArchiveTicket | ArchivePut> {
    const { received } = readNumbers(held.view, held.numbersAt, emptyNumbers())
    const answer = await this.#archive.find({
      namespace: rule.namespace,
      primary,
      variantOf: (vary) =>
        variant !== undefined && Buffer.compare(vary, variant.vary) === 0 ? variant.key : undefined,
    })
    if (answer.type === 'away') return answer.reason
    if (answer.type === 'none') return answer.ticket
    const response = decodeArchived(answer.head, rule.namespaceLabel)
    return response !== null && numbersOf(response).received >= received ? 'late' : answer.ticket
  }
}

/** Of a request and what the memory has for it, in the turn of the lookup. */
export function aboutOf(x: DryExchange, { entry, numbers }: Lookup): Pick<RecallRequest, 'known' | 'url'> {
  const { host, originalPath, query } = x
  const url = (): string => urlText(host, originalPath, query)
  if (entry === null) return { known: null, url }
  const { bytes, headAt, headBytes, bodyBytes } = entry
  const head = Buffer.from(bytes.subarray(headAt, headAt + headBytes))
  return { known: { head, bodyBytes, received: numbers.received }, url }
}

/** Of a put; all else is one for which there was no room, or nobody to give it. */
const STORED: { readonly [outcome in ArchivePut]?: StoreReason } = { put: 'Stored', late: 'AnotherRequest' }

const NOTHING: Recalled = Object.freeze({ ticket: null, found: null, same: false, purged: false })

function namesOf(vary: Uint8Array): readonly string[] | null {
  return NAMES.read(Buffer.from(vary.buffer, vary.byteOffset, vary.length), 0, vary.length)
}

function numbersOf({ numbers }: ArchivedResponse): CacheNumbers {
  return readNumbers(new DataView(numbers.buffer, numbers.byteOffset), 0, emptyNumbers())
}

/** Only with an ETag is it certain that what the origin confirms is this very body. */
function isSame(hit: ArchiveHit, response: ArchivedResponse, { head, bodyBytes, received }: KnownResponse): boolean {
  return (
    hit.bodyBytes === bodyBytes &&
    numbersOf(response).received === received &&
    response.head.equals(head) &&
    hasTag(response)
  )
}

function hasTag({ head }: ArchivedResponse): boolean {
  return HEAD.at(head, 0).etag !== undefined
}

/** @param fields of the request, whose values choose the variant */
function variantsFor(primary: Uint8Array, fields: Fields): (vary: Uint8Array) => Uint8Array | undefined {
  return (vary) => {
    const names = namesOf(vary)
    return names === null ? undefined : variantKey(primary, names, fields)
  }
}

/** @returns undefined: it is too long */
function variantKey(primary: Uint8Array, names: readonly string[], fields: Fields): Uint8Array | undefined {
  KEY.begin(primary)
  writeVariant(KEY, names, fields)
  return KEY.tooLong ? undefined : KEY.copy()
}

/** A long body, as it comes. */
async function copy(reader: ArchiveReader, fill: Fill, keep: boolean, rest: (from: number) => void): Promise<void> {
  let written = 0
  try {
    for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
      if (!fill.write(piece, 0, piece.length)) return reader.close()
      written += piece.length
    }
    fill.end(keep)
  } catch {
    try {
      rest(written)
    } catch {
      // Nobody waits for this promise, and those who read along wait for an end.
      fill.fail()
    }
  }
}
