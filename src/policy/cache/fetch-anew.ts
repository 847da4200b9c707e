/**
 * Asks the origin a second time for a client: it has answered a validation by what is not stored (RFC 9111 §4.3.4),
 * which is no answer to a request without that condition. The request is the client's own again, and its response is
 * stored as that of any other.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { GatewayError } from '../../lib/error.ts'
import type { BodyControl, BodySink, BodySource, BodyWaker, LentSink } from '../../message/body.ts'
import type { Fields } from '../../message/fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { BackgroundExchange, BackgroundSink } from '../background.ts'
import type { Exchange } from '../exchange.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import type { Fetch } from './fetch.ts'
import { FillStep } from './fill-step.ts'

/** For all of it; the time-outs of the rule hold as well. */
const TIMEOUT: Milliseconds = 600_000

/**
 * @param fetch judges and stores the response
 * @param content of the request, null where it has none
 */
export function fetchAnew(
  x: Exchange,
  fetch: Fetch,
  content: Uint8Array | null,
  { background }: Pick<FilterServices, 'background'>,
): Promise<LocalResponse> {
  const { promise, resolve } = Promise.withResolvers<LocalResponse>()
  const relay = new Relay(
    fetch,
    (response) => resolve(response),
    (error) => resolve(problemResponse(error.reason, x)),
  )
  const request = { method: x.method, timeout: TIMEOUT, ...(content === null ? {} : { body: content }) }
  const begun = background.begin(x, request, relay)
  if (begun === null) return Promise.resolve(problemResponse('Overloaded', x))
  relay.exchange = begun
  x.signal.addEventListener('abort', () => begun.abort())
  return promise
}

class Relay implements BackgroundSink, BodySource, BodyControl, BodyWaker, LentSink {
  readonly #fetch: Fetch
  readonly #answered: (response: LocalResponse) => void
  readonly #failed: (error: GatewayError) => void
  exchange: BackgroundExchange | null = null
  length: number | undefined = undefined
  #hasHead = false
  /** Stores what passes; null: nothing is stored. */
  #step: FillStep | null = null
  /** The client; null: it has not begun to read. */
  #sink: BodySink | null = null
  /** The sink takes no more for now. */
  #full = false
  /** What has come before the sink took it: no more than is read at once. */
  readonly #waiting: Uint8Array[] = []
  /** The origin's body is whole. */
  #received = false
  #ended = false
  #trailers: Fields | null = null
  #error: GatewayError | null = null
  #over = false

  constructor(fetch: Fetch, answered: (response: LocalResponse) => void, failed: (error: GatewayError) => void) {
    this.#fetch = fetch
    this.#answered = answered
    this.#failed = failed
  }

  // ---- from the origin ----

  head({ status, fields, bodyLength }: ResponseHead): void {
    fields.detach()
    this.#hasHead = true
    this.length = bodyLength
    const stored = this.#fetch.onHead(status, fields, bodyLength).type === 'stored'
    if (stored) this.#step = new FillStep(this.#fetch, this, this)
    this.#answered({ status, fields, body: bodyLength === 0 ? null : this })
  }

  data(bytes: Buffer, start: number, end: number): boolean {
    return this.#step === null ? this.lend(bytes, start, end) : this.#step.lend(bytes, start, end)
  }

  wake(): void {
    this.exchange?.resume()
  }

  // ---- to the client ----

  /** What waits stays. */
  lend(bytes: Buffer, start: number, end: number): boolean {
    return this.write(Buffer.from(bytes.subarray(start, end)))
  }

  write(chunk: Uint8Array): boolean {
    this.#waiting.push(chunk)
    this.#pump()
    return this.#waiting.length === 0 && !this.#full
  }

  flush(): void {}

  /** Of the origin's body, and then of what is sent of it. */
  end(trailers: Fields | null): void {
    if (this.#step !== null && !this.#received) {
      this.#received = true
      return this.#step.end(trailers)
    }
    this.#ended = true
    this.#trailers = trailers
    this.#pump()
  }

  fail(error: GatewayError): void {
    this.#stopStoring()
    if (!this.#hasHead) return this.#failed(error)
    this.#error = error
    this.#pump()
  }

  // ---- by the client ----

  start(sink: BodySink): BodyControl {
    this.#sink = sink
    this.resume()
    return this
  }

  resume(): void {
    this.#full = false
    this.#pump()
    if (this.#over || this.#full || this.#waiting.length > 0) return
    if (this.#step === null) this.exchange?.resume()
    else this.#step.drained()
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#stopStoring()
    this.exchange?.abort()
  }

  #stopStoring(): void {
    this.#step?.abort()
    this.#step = null
  }

  #pump(): void {
    const sink = this.#sink
    if (sink === null || this.#over) return
    while (this.#waiting.length > 0) {
      if (this.#full) return
      this.#full = !sink.write(this.#waiting.shift()!)
      if (this.#over) return
    }
    if (this.#error !== null) {
      this.#over = true
      sink.fail(this.#error)
    } else if (this.#ended) {
      this.#over = true
      sink.end(this.#trailers)
    }
  }
}
