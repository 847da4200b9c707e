/**
 * A response of the gateway's own: back through the filters that the request has passed, then to the client, whole or
 * as a stream with back-pressure.
 */
import { GatewayError } from '../lib/error.ts'
import { REASONS, type Reason, type ReasonInfo } from '../lib/reason.ts'
import type { BodyControl, BodySink, BodySource, BodyStepFactory, BodyTee } from '../message/body.ts'
import { type BodyPipe, composeBody } from '../message/body-pipe.ts'
import type { Fields } from '../message/fields.ts'
import { removeAddedFraming } from '../message/framing-fields.ts'
import { isFinalStatus, type ResponseHead } from '../message/head.ts'
import {
  type CompleteResponse,
  discardBody,
  inPieces,
  type LocalResponse,
  TextBody,
} from '../message/local-response.ts'
import { responseBodySteps } from '../policy/body-steps.ts'
import { runLocalResponse } from '../policy/chain.ts'
import { finish } from './ending.ts'
import type { LocalBody, ProxyExchange } from './exchange.ts'
import { callResponse } from './grpc-response.ts'
import { addTransportSecurity } from './hsts.ts'
import { repeatOf } from './repeated-response.ts'
import { addPart } from './session-affinity.ts'
import { soundsOpen } from './upgrade.ts'

/** Milliseconds that filters may take over a response that must not wait any more. */
const ANSWER_GRACE = 5_000
/** Bytes of a body in memory that are given to the connection at once. */
const LARGE = 128 * 1024

/** A response takes the way back from position `from` of the chain. */
export function respond(x: ProxyExchange, response: LocalResponse, from: number): void {
  if (response.reason !== undefined) x.reason = response.reason
  if (response.detail !== undefined) x.detail = response.detail
  const { chain } = x
  if (chain === null) return sendLocal(x, response)
  const replacement = runLocalResponse(chain, x, response, from)
  if (replacement instanceof Promise) {
    x.answering = true
    x.context.timers.arm(x, x.context.timers.now + ANSWER_GRACE)
    replacement
      .then((late) => {
        if (late?.type !== 'replace') return
        if (x.ended) discardBody(late.response)
        else sendLocal(x, late.response, late.from)
      })
      .catch((error: unknown) => x.fail(error))
  } else if (replacement?.type === 'replace') sendLocal(x, replacement.response, replacement.from)
}

/** To the client. @param from body steps of positions before it apply */
export function sendLocal(x: ProxyExchange, given: LocalResponse, from = 0): void {
  if (!isFinalStatus(given.status)) {
    discardBody(given)
    throw new TypeError(`a response has the status ${given.status}`)
  }
  if (soundsOpen(x, given.status)) {
    discardBody(given)
    return x.fail(new GatewayError('ProtocolNotAllowed', 'the rule answers by itself'))
  }
  if (x.left !== null) return withoutClient(x, given)
  const response = x.call === null ? given : callResponse(x, x.call, given)
  const { status, fields, reason } = response
  const body = bodyFor(x, response)
  const { chain } = x
  const head: ResponseHead = { status, fields, bodyLength: body === null ? 0 : body.length }
  let steps: readonly (BodyStepFactory | BodyTee)[] | null = null
  try {
    // Trailers-only means that nothing is behind the head, not even the end of an empty body.
    if (chain !== null && !(x.call !== null && body === null)) steps = responseBodySteps(chain, x, head, from)
  } catch (error) {
    if (reason === undefined) {
      discardBody(response)
      return x.fail(error)
    }
    // A refusal goes out without the steps of a filter that cannot make them.
    x.context.unexpected(error)
  }
  removeAddedFraming(fields)
  addTransportSecurity(x, fields)
  // The cache has answered for the part of the split that the client is in from now on.
  if (x.draw !== null && reason === undefined) addPart(x, fields)
  if (statesLength(x, head)) fields.remove('content-length')
  const close = reason !== undefined && closes(reason)
  x.status = status
  if (reason !== undefined) x.reason = reason
  x.headSent = true
  if (steps === null && (body === null || body instanceof Uint8Array || body instanceof TextBody)) {
    const { repeatable } = response
    const sent = repeatable === undefined ? undefined : repeatOf(x, status, fields, head.bodyLength ?? 0, repeatable)
    const complete: CompleteResponse =
      body instanceof TextBody ? { status, fields, body: null, text: body.text } : { status, fields, body }
    x.downstream.sendComplete(sent === undefined ? complete : { ...complete, sent }, close)
    finish(x)
    return sent?.keep()
  }
  x.downstream.sendHead(head, close ? 'untrusted' : 'dropped')
  const sent = new SentBody(x)
  x.localBody = sent
  if (body === null || body instanceof Uint8Array) sent.sendAll(body, steps!)
  else sent.stream(body, steps)
  // The source, or a step, may take its time.
  if (!x.ended) x.watch()
}

/** Nobody is left to whom it could go. */
function withoutClient(x: ProxyExchange, response: LocalResponse): void {
  discardBody(response)
  finish(x)
}

/** A large one goes out in pieces. */
function bodyFor(x: ProxyExchange, { body }: LocalResponse): LocalResponse['body'] {
  return body instanceof Uint8Array && body.length > LARGE && x.method !== 'HEAD' ? inPieces(body) : body
}

/**
 * The codec states the length of what is sent. The fields may have come from elsewhere; only where nothing is sent they
 * say what there would be (RFC 9110 §8.6).
 */
function statesLength({ method }: ProxyExchange, { status, bodyLength }: ResponseHead): boolean {
  return status !== 304 && (method !== 'HEAD' || (bodyLength !== undefined && bodyLength > 0))
}

function closes(reason: Reason): boolean {
  return (REASONS[reason] as ReasonInfo).close === true
}

/** The body of one response, on its way through the filters' steps to the client. */
class SentBody implements BodySink, LocalBody {
  readonly #x: ProxyExchange
  #pipe: BodyPipe | null = null
  #control: BodyControl | null = null
  /** Bytes that the source has yet to deliver; -1 = unknown. */
  #owed = -1
  #streams = false
  #over = false
  /** The way was free again before the source had returned its control. */
  #resumed = false

  constructor(x: ProxyExchange) {
    this.#x = x
  }

  sendAll(body: Uint8Array | null, steps: readonly (BodyStepFactory | BodyTee)[]): void {
    const pipe = composeBody(steps, this, () => {})
    this.#pipe = pipe
    if (body !== null) pipe.write(body)
    pipe.end(null)
  }

  stream(source: BodySource, steps: readonly (BodyStepFactory | BodyTee)[] | null): void {
    const { method, status } = this.#x
    // A 205 that an origin gave content is sent as it came: its length is told, and bytes of that length are awaited.
    if (method === 'HEAD' || status === 204 || status === 304) {
      discardBody({ body: source })
      return this.end(null)
    }
    this.#streams = true
    // What still comes of the request is dropped as it comes.
    this.#x.downstream.resumeBody()
    if (steps === null) this.#owed = source.length ?? -1
    else this.#pipe = composeBody(steps, this, () => this.#resume())
    let control: BodyControl
    try {
      control = source.start(this.#pipe ?? this)
    } catch (error) {
      return this.#x.fail(error)
    }
    if (this.#over) return this.#release(control)
    this.#control = control
    if (this.#resumed) this.#resume()
  }

  write(chunk: Uint8Array): boolean {
    const x = this.#x
    if (this.#over) return false
    if (this.#owed >= 0 && chunk.length > this.#owed) {
      this.#wrongLength()
      return false
    }
    if (this.#owed >= 0) this.#owed -= chunk.length
    x.lastActivity = x.context.timers.now
    sendChunk(x, chunk)
    if (this.#streams) x.downstream.flush()
    return x.downstream.room
  }

  end(trailers: Fields | null): void {
    if (this.#over) return
    if (this.#owed > 0) return this.#wrongLength()
    this.#over = true
    this.#x.downstream.sendEnd(trailers)
    finish(this.#x)
  }

  fail(error: unknown): void {
    if (this.#over) return
    this.#x.fail(error)
  }

  #wrongLength(): void {
    this.#x.fail(new Error('a body source has another length than it states'))
  }

  drained(): void {
    if (this.#pipe !== null) this.#pipe.drained()
    else this.#resume()
  }

  #resume(): void {
    const control = this.#control
    if (control === null) {
      this.#resumed = true
      return
    }
    try {
      control.resume()
    } catch (error) {
      this.#x.fail(error)
    }
  }

  /** The end of the exchange goes on, whatever its source does. */
  #release(control: BodyControl): void {
    try {
      control.abort()
    } catch (error) {
      this.#x.context.unexpected(error)
    }
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#pipe?.abort()
    if (this.#control !== null) this.#release(this.#control)
    this.#control = null
  }
}

/** Sends a chunk of a response's body that has passed all filters. */
export function sendChunk(x: ProxyExchange, chunk: Uint8Array): void {
  const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  x.downstream.sendBody(bytes, 0, bytes.length)
}
