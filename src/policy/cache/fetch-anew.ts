/**
 * Asks the origin a second time for a client: it has answered a validation by what is not stored (RFC 9111 §4.3.4),
 * which is no answer to a request without that condition. The request is the client's own again, and nothing of it is
 * stored.
 */

import type { Milliseconds } from '../../lib/clock.ts'
import type { GatewayError } from '../../lib/error.ts'
import type { BodyControl, BodySink, BodySource } from '../../message/body.ts'
import type { Fields } from '../../message/fields.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { BackgroundExchange, BackgroundSink } from '../background.ts'
import type { Exchange } from '../exchange.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'

/** For all of it; the time-outs of the rule hold as well. */
const TIMEOUT: Milliseconds = 600_000

/** @param content of the request, null where it has none */
export function fetchAnew(
  x: Exchange,
  content: Uint8Array | null,
  { background }: Pick<FilterServices, 'background'>,
): Promise<LocalResponse> {
  const { promise, resolve } = Promise.withResolvers<LocalResponse>()
  const relay = new Relay(
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

class Relay implements BackgroundSink, BodySource, BodyControl {
  readonly #answered: (response: LocalResponse) => void
  readonly #failed: (error: GatewayError) => void
  exchange: BackgroundExchange | null = null
  length: number | undefined = undefined
  #hasHead = false
  #sink: BodySink | null = null
  /** The sink takes no more for now. */
  #full = false
  /** What has come before the sink took it: no more than is read at once. */
  readonly #waiting: Buffer[] = []
  #ended = false
  #trailers: Fields | null = null
  #error: GatewayError | null = null
  #over = false

  constructor(answered: (response: LocalResponse) => void, failed: (error: GatewayError) => void) {
    this.#answered = answered
    this.#failed = failed
  }

  head({ status, fields, bodyLength }: ResponseHead): void {
    fields.detach()
    this.#hasHead = true
    this.length = bodyLength
    this.#answered({ status, fields, body: bodyLength === 0 ? null : this })
  }

  data(bytes: Buffer, start: number, end: number): boolean {
    this.#waiting.push(Buffer.from(bytes.subarray(start, end)))
    this.#pump()
    return this.#waiting.length === 0 && !this.#full
  }

  end(trailers: Fields | null): void {
    this.#ended = true
    this.#trailers = trailers
    this.#pump()
  }

  fail(error: GatewayError): void {
    if (!this.#hasHead) return this.#failed(error)
    this.#error = error
    this.#pump()
  }

  start(sink: BodySink): BodyControl {
    this.#sink = sink
    this.resume()
    return this
  }

  resume(): void {
    this.#full = false
    this.#pump()
    if (!this.#over && !this.#full && this.#waiting.length === 0) this.exchange?.resume()
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.exchange?.abort()
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
