/**
 * The rest of a long body whose archive went away in the middle of it: the origin is asked for it, by a range request
 * with `If-Range` (RFC 9110 §13.1.5, RFC 9111 §3.4). Only exactly what was begun is gone on with: the bytes that the
 * clients have belong to a representation with a strong entity tag, and the origin names the same one. Everything else
 * ends the body, visibly cut.
 */
import { isStrongTag } from '../../cache/entity-tag.ts'
import { dropConditions } from '../../cache/preconditions.ts'
import { parseContentRange } from '../../cache/ranges.ts'
import type { Fill } from '../../cache/response-memory.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { GatewayError } from '../../lib/error.ts'
import { Fields } from '../../message/fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { BackgroundExchange, BackgroundSink } from '../background.ts'
import type { Exchange } from '../exchange.ts'
import type { FilterServices } from '../services.ts'

/** For all of it; the time-outs of the rule hold as well. */
const TIMEOUT: Milliseconds = 600_000

/** The tag by which the rest of a response can be fetched; undefined: it has none. */
function strongTagOf(head: Buffer): string | undefined {
  const { etag } = new StoredHead().at(head, 0)
  return etag !== undefined && isStrongTag(etag) ? etag : undefined
}

/** How long an archive that gives no more of a body is waited for before the origin is asked for the rest. */
const PATIENCE: Milliseconds = 1_000

/** @returns undefined: without the archive it is cut, which can wait longer */
export const patienceFor = (head: Buffer): Milliseconds | undefined =>
  strongTagOf(head) === undefined ? undefined : PATIENCE

/** Of a body that is being written. */
export interface Rest {
  readonly fill: Fill
  /** The stored head; its bytes stay. */
  readonly head: Buffer
  /** Bytes that are written. */
  readonly from: number
  /** Of the whole. */
  readonly bodyBytes: number
  /** Whether it is found in the memory afterwards. */
  readonly keep: boolean
  /** Hears why the rest cannot be had, before the fill fails. */
  lost(why: string): void
}

/**
 * @param x one who reads the body: its request is repeated
 * @param content of the request, null where it has none
 */
export function fetchRest(
  x: Exchange,
  rest: Rest,
  content: Uint8Array | null,
  { background }: Pick<FilterServices, 'background'>,
): void {
  const lost = (why: string): void => {
    rest.lost(why)
    rest.fill.fail()
  }
  const etag = strongTagOf(rest.head)
  if (etag === undefined) return lost('it has no strong entity tag to fetch the rest by')
  const { status } = new StoredHead().at(rest.head, 0)
  if (status !== 200) return lost(`it is a ${status}, of which the origin gives no part`)
  const sink = new RestSink(rest, etag, lost)
  const begun = background.begin(
    x,
    {
      // A HEAD is answered by what is stored of a GET.
      method: x.method === 'HEAD' ? 'GET' : x.method,
      edit(fields) {
        dropConditions(fields)
        fields.set('range', `bytes=${rest.from}-`)
        fields.set('if-range', etag)
      },
      ...(content === null ? {} : { body: content }),
      timeout: TIMEOUT,
    },
    sink,
  )
  if (begun === null) lost('the origin cannot be asked for the rest: its request has ended, or too many are under way')
  else sink.exchange = begun
}

class RestSink implements BackgroundSink {
  readonly #rest: Rest
  readonly #etag: string
  readonly #lost: (why: string) => void
  /** Bytes of the response that are written already. */
  #skip = 0
  #written: number
  #over = false
  exchange: BackgroundExchange | null = null

  constructor(rest: Rest, etag: string, lost: (why: string) => void) {
    this.#rest = rest
    this.#etag = etag
    this.#lost = lost
    this.#written = rest.from
  }

  head({ status, fields, bodyLength }: ResponseHead): void {
    const why = this.#differs(status, fields, bodyLength)
    if (why !== undefined) this.#end(why)
    // An origin that gives no parts sends the whole.
    else if (status === 200) this.#skip = this.#rest.from
  }

  data(bytes: Buffer, start: number, end: number): boolean {
    if (this.#over) return true
    const skipped = Math.min(this.#skip, end - start)
    this.#skip -= skipped
    const left = end - start - skipped
    this.#written += left
    if (left > 0 && !this.#rest.fill.write(bytes, start + skipped, end)) this.#end('there is no room for the rest')
    return true
  }

  end(): void {
    if (this.#over) return
    this.#over = true
    const { fill, bodyBytes, keep } = this.#rest
    if (this.#written === bodyBytes) fill.end(keep)
    else this.#lost('the origin sent less than the rest')
  }

  fail(error: GatewayError): void {
    if (this.#over) return
    this.#over = true
    this.#lost(`the origin did not give the rest: ${error.message}`)
  }

  /** @returns why the response is no rest of what was begun */
  #differs(status: number, fields: Fields, bodyLength: number | undefined): string | undefined {
    const { from, bodyBytes, head } = this.#rest
    if (status !== 200 && status !== 206) return `the origin answers ${status}`
    const stored = new StoredHead().at(head, 0).fields(new Fields())
    // Some servers compress, and leave the tag as it was.
    if (fields.joined('content-encoding') !== stored.joined('content-encoding'))
      return 'the origin encodes it otherwise'
    const tags = fields.all('etag')
    if (tags.length !== 1 || tags[0] !== this.#etag) return 'the origin has another version'
    if (status === 200) return bodyLength === bodyBytes ? undefined : 'the origin has another length'
    const ranges = fields.all('content-range')
    const range = ranges.length === 1 ? parseContentRange(ranges[0]!) : undefined
    const fits =
      range !== undefined && range.first === from && range.last === bodyBytes - 1 && range.complete === bodyBytes
    return fits && (bodyLength === undefined || bodyLength === bodyBytes - from)
      ? undefined
      : 'the origin gives another part'
  }

  #end(why: string): void {
    this.#over = true
    this.#lost(why)
    this.exchange?.abort()
  }
}
