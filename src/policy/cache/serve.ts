/** A stored response as a response to a request: whole, a part of it, or that the client has it already. */

import { judgeAnswer, toNotModified, toParts, toUnsatisfiable, withoutContentDigests } from '../../cache/answer.ts'
import type { CacheNumbers } from '../../cache/cache-numbers.ts'
import { type CacheStatus, cacheStatusMember } from '../../cache/cache-status.ts'
import { BOUNDARY_BYTES, multipartOf } from '../../cache/multipart.ts'
import type { Part } from '../../cache/partial-content.ts'
import type { ByteRange } from '../../cache/ranges.ts'
import type { EntryBytes, FillUnderWay, StoredEntry } from '../../cache/response-memory.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { GatewayError } from '../../lib/error.ts'
import type { BodySource } from '../../message/body.ts'
import { Fields } from '../../message/fields.ts'
import { inPieces, type LocalResponse, TextBody } from '../../message/local-response.ts'
import type { Exchange } from '../exchange.ts'
import { type BodyCut, EntryBody, JoinedBody, type SharedHold } from './entry-body.ts'
import { partOf } from './part-place.ts'

/** The token that stands for this cache in Cache-Status. */
export const CACHE_NAME = 'headgate'
/** Bodies up to here are copied at once; longer ones are read as the client takes them. */
const WHOLE = 64 * 1024
/** And up to here are made text of, as HTTP/1.1 writes them: measured, no buffer is allocated and collected for it. */
const TEXT = WHOLE

const HEAD = new StoredHead()

/** What a response is made of. */
export interface ServedEntry {
  readonly entry: EntryBytes
  readonly numbers: CacheNumbers
  /** The head to be sent, where it is not the entry's own. */
  readonly head?: Buffer
  /** Whole seconds; -1: the origin has just confirmed it. */
  readonly age: number
  readonly now: Milliseconds
  readonly status: CacheStatus
  /** Null: the entry is valid in this turn only, and its body is copied. */
  readonly hold: SharedHold | null
  /** What writes the body. */
  readonly fetch: FillUnderWay | null
  /** Of that, where it may end before its end for a reason of its own. */
  readonly cut?: BodyCut | null
  readonly services: ServingServices
}

export interface ServingServices {
  randomBytes(length: number): Uint8Array
  readonly timers: Pick<TimerClock, 'nextTurn'>
}

/** @returns null: what is stored is no answer to this request, the origin has to be asked */
export function serve(x: Exchange, served: ServedEntry): LocalResponse | null {
  const { entry, numbers, head: other, now } = served
  const head = other === undefined ? HEAD.at(entry.bytes, entry.headAt) : HEAD.at(other, 0)
  const part = head.status === 206 ? partOf(head) : null
  if (head.status === 206 && part === null) {
    release(served)
    return null
  }
  const length = part !== null ? part.complete : entry.bodyBytes === -1 ? undefined : entry.bodyBytes
  const answer = judgeAnswer(x.method, x.request, { head, numbers, length, part }, now)
  const fields = head.fields(new Fields())
  switch (answer.type) {
    case 'Forward':
    case 'Missing':
      release(served)
      return null
    case 'NotModified':
      toNotModified(head, fields)
      return withoutBody(304, fields, served)
    case 'Unsatisfiable':
      return unsatisfiable(fields, served, length!)
    case 'Parts':
      // Several parts are read one after the other: of what is being written only the whole is.
      if (answer.ranges.length > 1 && served.fetch !== null) {
        if (part === null) return whole(x, head, fields, served)
        release(served)
        return null
      }
      return partial(head, fields, served, answer.ranges, part ?? ofWhole(length!), x.request.has('if-range'))
    case 'Whole':
      return whole(x, head, fields, served)
  }
}

function whole(x: Exchange, { status }: StoredHead, fields: Fields, served: ServedEntry): LocalResponse {
  // Behind its release an entry may be another's.
  const own = finished(fields, served)
  return { status, fields: own, body: x.method === 'HEAD' ? ofLength(served) : bodyOf(served, 0, -1), ofBackend: true }
}

function withoutBody(status: number, fields: Fields, served: ServedEntry): LocalResponse {
  const own = finished(fields, served)
  release(served)
  return { status, fields: own, body: null, ofBackend: true }
}

/** The fields point into memory that others may get behind this turn. */
export function finished(fields: Fields, { age, status }: Pick<ServedEntry, 'age' | 'status'>): Fields {
  fields.detach()
  if (age >= 0) fields.addOwn('age', String(age))
  fields.addOwn('cache-status', cacheStatusMember(CACHE_NAME, status))
  return fields
}

function unsatisfiable(stored: Fields, served: ServedEntry, length: number): LocalResponse {
  const fields = new Fields()
  const date = stored.get('date')
  if (date !== undefined) fields.add('date', date)
  toUnsatisfiable(fields, length)
  return withoutBody(416, fields, served)
}

function partial(
  head: StoredHead,
  fields: Fields,
  served: ServedEntry,
  ranges: readonly ByteRange[],
  { first: start, complete: length }: Part,
  ifRange: boolean,
): LocalResponse {
  const [only] = ranges
  const isStored = ranges.length === 1 && only!.first === start && only!.last + 1 - start === served.entry.bodyBytes
  if (!isStored) withoutContentDigests(fields)
  if (ranges.length === 1 && only !== undefined) {
    toParts(head, fields, ranges, length, null, ifRange)
    const body = bodyOf(served, only.first - start, only.last + 1 - start)
    return { status: 206, fields: finished(fields, served), body, ofBackend: true }
  }
  const boundary = Buffer.from(served.services.randomBytes(BOUNDARY_BYTES)).toString('hex')
  const multipart = multipartOf(ranges, length, fields.get('content-type'), boundary)
  toParts(head, fields, ranges, length, multipart, ifRange)
  const own = finished(fields, served)
  const sources: BodySource[] = []
  for (const { before, first, last } of multipart.parts) {
    sources.push(inPieces(before))
    const part = bodyOf({ ...served, hold: served.hold?.retain() ?? null }, first - start, last + 1 - start)
    sources.push(part instanceof Uint8Array ? inPieces(part) : part)
  }
  sources.push(inPieces(multipart.after))
  release(served)
  return { status: 206, fields: own, body: new JoinedBody(sources, multipart.length), ofBackend: true }
}

const ofWhole = (complete: number): Part => ({ first: 0, last: complete - 1, complete })

/** @param to behind the last byte; -1: the end */
function bodyOf(served: ServedEntry, from: number, to: number): Uint8Array | BodySource {
  const { entry, hold, fetch, cut = null } = served
  if (hold !== null) {
    const { timers } = served.services
    return new EntryBody({ held: hold, from, to, fetch, cut, nextTurn: (run) => void timers.nextTurn(run) })
  }
  const end = to === -1 ? entry.bodyBytes : to
  const text = end - from <= TEXT ? entry.bodyText(from, end - from) : null
  if (text !== null) return new TextBody(text)
  const bytes = Buffer.allocUnsafe(end - from)
  // What is not copied is whatever the memory had before.
  if (entry.copyBody(from, bytes, 0, bytes.length) < bytes.length)
    throw new GatewayError('InternalError', 'stored bytes are not there')
  return bytes
}

/** Of a HEAD: the length alone is told. */
function ofLength(served: ServedEntry): BodySource | null {
  const { bodyBytes } = served.entry
  release(served)
  return bodyBytes <= 0 ? null : { length: bodyBytes, start: () => ({ resume() {}, abort() {} }) }
}

function release({ hold, fetch }: ServedEntry): void {
  fetch?.cancel()
  hold?.release()
}

/** Whether the body is read over several turns, so that the entry has to be held. */
export function isLong(entry: StoredEntry): boolean {
  return entry.bodyBytes > WHOLE
}
