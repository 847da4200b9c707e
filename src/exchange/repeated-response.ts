/**
 * A response that is given again to a request in which all is the same that was ever read, without reading it: most of
 * what a hit of the cache costs is finding out what came to the same result before.
 *
 * Only what depends on nothing else is repeated: the rule's cache is its one filter, the connection is in clear text,
 * and the one who has stored the response says each time that it is the one to be given. What is
 * sent, logged and counted is the same as for a request that is read.
 */
import { pairLines } from '../http/field-lines.ts'
import type { Fields } from '../message/fields.ts'
import type { BodyPlace, Repeatable, SentText } from '../message/local-response.ts'
import { REQUEST_ID_FIELD } from '../policy/request-id/request-id.ts'
import type { RepeatedBytes, TakeBuffer } from '../transport/downstream.ts'
import type { Peer, PeerListener } from '../transport/peer.ts'
import { nothingKept, type RepeatedRecord, type RepeatedRequest, recordRepeat } from './access-record.ts'
import type { ProxyExchange } from './exchange.ts'
import type { ExchangeContext } from './exchange-context.ts'
import type { Repeat, ReportPlaces } from './recurring-requests.ts'

/** Names and values of the fields that the repeatable adds. */
const ADDED = 4
/** Bytes of a body that is kept as text behind its head. */
const MAX_BODY_TEXT = 4 * 1024
/** Characters of both. */
const MAX_TEXT = 8 * 1024
/** Bytes before a body that is no text, and those of them by which its head may grow with its age. */
const HEAD_ROOM = 4 * 1024
const GROWTH = 64

/**
 * @param bytesOut of the body
 * @returns to hear of what is sent; undefined: it is not repeated
 */
export function repeatOf(
  x: ProxyExchange,
  status: number,
  { added }: Fields,
  bytesOut: number,
  repeatable: Repeatable,
): Offer | undefined {
  return added === null || added.length !== ADDED ? undefined : new Offer(x, status, bytesOut, repeatable, added)
}

/** Hears what was sent, and keeps it for the next request, once nobody reads this one any more. */
class Offer implements SentText {
  readonly #x: ProxyExchange
  readonly #status: number
  readonly #bytesOut: number
  readonly #repeatable: Repeatable
  /** The fields that change, as they are sent. */
  readonly #lines: string
  readonly #head: Buffer
  #text = ''
  /** Sent as bytes, each time from where it is stored. */
  #body = false

  constructor(x: ProxyExchange, status: number, bytesOut: number, repeatable: Repeatable, added: readonly string[]) {
    this.#x = x
    this.#status = status
    this.#bytesOut = bytesOut
    this.#repeatable = repeatable
    this.#lines = pairLines(added)
    this.#head = x.incoming.fields.unread
  }

  sent(head: string, body: string | undefined): void {
    this.#body = this.#bytesOut > (body === undefined ? 0 : MAX_BODY_TEXT)
    this.#text = this.#body || body === undefined ? head : head + body
  }

  /** Behind the end of the exchange. */
  keep(): void {
    const [text, lines, bytesOut, status] = [this.#text, this.#lines, this.#bytesOut, this.#status]
    // Ours are behind all that is stored.
    const at = text.lastIndexOf(lines, text.length - (this.#body ? 0 : bytesOut) - lines.length)
    if (text.length > (this.#body ? HEAD_ROOM - GROWTH : MAX_TEXT) || at < 2 || text[at - 1] !== '\n') return
    const x = this.#x
    const report = x.trusted ? placesOf(x) : null
    if (report === undefined) return
    const { host, originalPath: path, query, cacheResult: cache, route, rule } = x
    const record = { host, path, query, status, cache, route, rule, bytesOut, kept: nothingKept() }
    const [before, after] = [flat(text.slice(0, at)), flat(text.slice(at + lines.length))]
    const { peer } = x.downstream
    const repeat = new RepeatedResponse(x.context, record, peer.listener, this.#repeatable, before, after, this.#body)
    x.context.recurring.keep(peer, this.#head, x.incoming.fields, repeat, 2 * text.length, report)
  }
}

class RepeatedResponse implements Repeat {
  readonly #context: ExchangeContext
  readonly #record: RepeatedRecord
  readonly #listener: PeerListener
  readonly #repeatable: Repeatable
  readonly #before: string
  readonly #after: string
  readonly #body: boolean
  readonly key: string
  #added: readonly string[] | null = null
  #text = ''

  /** @param before and `after` the fields that change @param body it is not in the text behind them */
  constructor(
    context: ExchangeContext,
    record: RepeatedRecord,
    listener: PeerListener,
    repeatable: Repeatable,
    before: string,
    after: string,
    body: boolean,
  ) {
    this.#context = context
    this.#record = record
    this.#listener = listener
    this.#repeatable = repeatable
    this.#before = before
    this.#after = after
    this.#body = body
    this.key = `${record.status} ${repeatable.key}`
  }

  isSame(other: Repeat): boolean {
    if (!(other instanceof RepeatedResponse) || other.key !== this.key || other.#listener !== this.#listener)
      return false
    return other.#before === this.#before && other.#after === this.#after && saysTheSame(other.#record, this.#record)
  }

  again(peer: Peer, client: string, id: string, take: TakeBuffer): RepeatedBytes | string | null {
    const context = this.#context
    const startedAt = context.timers.touch()
    const wall = context.clock.wall()
    const place = this.#body ? PLACE.of(take) : null
    const added = this.#repeatable.again(client, wall, place)
    if (added === null) return null
    if (added !== this.#added) {
      this.#added = added
      this.#text = flat(`${this.#before}${pairLines(added)}${this.#after}`)
    }
    const request = REQUEST
    request.peer = peer
    request.client = client
    request.id = id
    request.startedAt = startedAt
    request.wall = wall
    recordRepeat(context, request, this.#record)
    return place === null ? this.#text : place.behind(this.#text)
  }
}

/** One response with a body as bytes: the body stands at one place, and its head before it. */
class Place implements BodyPlace, RepeatedBytes {
  readonly at = HEAD_ROOM
  buffer: Buffer = Buffer.alloc(0)
  start = HEAD_ROOM
  end = HEAD_ROOM
  #take: TakeBuffer = Buffer.allocUnsafe

  of(take: TakeBuffer): this {
    this.#take = take
    return this
  }

  take(bytes: number): Buffer {
    this.end = HEAD_ROOM + bytes
    this.buffer = this.#take(this.end)
    return this.buffer
  }

  behind(head: string): this {
    this.start = HEAD_ROOM - head.length
    this.buffer.latin1Write(head, this.start)
    return this
  }
}

const PLACE = new Place()
const REQUEST = {} as RepeatedRequest

/** @returns undefined: a request like it has to be read */
function placesOf({ context, forwarding, incoming: { fields } }: ProxyExchange): ReportPlaces | undefined {
  const { listField } = context.clients
  const client = listField === null ? SEVERAL : placeOf(fields, listField)
  const id = placeOf(fields, REQUEST_ID_FIELD)
  if (client === SEVERAL || id === SEVERAL) return undefined
  // Without that of the connection's other end.
  return { client, hops: forwarding.for.length - 1, id }
}

const SEVERAL = -2

/** Of the one field of this name. @returns -1: it is not there, or nobody has read it */
function placeOf(fields: Fields, name: string): number {
  let at = -1
  for (let i = 0; i < fields.count; i++) {
    if (!fields.nameIs(i, name)) continue
    if (at >= 0) return SEVERAL
    at = i
  }
  if (at < 0 || fields.wasReadApart(at)) return at
  return fields.wasRead(at) ? SEVERAL : -1
}

/** In the log. */
function saysTheSame(one: RepeatedRecord, other: RepeatedRecord): boolean {
  for (const name of Object.keys(one) as (keyof RepeatedRecord)[])
    if (name !== 'kept' && one[name] !== other[name]) return false
  return true
}

/** In one piece, which it would be made into each time that it is written. */
const flat = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')
