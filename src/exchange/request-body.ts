/**
 * The body of one request between the client and the upstream: held back until a connection is there, counted against
 * its limit, read by a filter that decides by it, passed through the filters' steps.
 */

import type { BodyState } from '../balance/retry.ts'
import { GatewayError } from '../lib/error.ts'
import type { BodySink, BodyStepFactory } from '../message/body.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import { type BodyPipe, composeBody } from '../message/body-pipe.ts'
import type { Fields } from '../message/fields.ts'
import { requestBodySteps } from '../policy/body-steps.ts'
import { HELD_BODIES, Holding } from '../transport/held-memory.ts'
import type { CurrentBody, ProxyExchange } from './exchange.ts'
import { callRequestStep } from './grpc-request.ts'
import { HeldBytes } from './held-bytes.ts'
import { ReplayBytes } from './replay-bytes.ts'

/**
 * Bytes kept before a connection is there; then the client waits, and at once where much is held. What one read brought
 * may come on top.
 */
const HOLD_BYTES = 64 * 1024

let kept = 0

/** @returns bytes of memory that wait for connections, over all requests of the thread */
export function waitingBytes(): number {
  return kept
}

/** A filter waits for the whole body. */
interface Reader {
  readonly maxBytes: number
  readonly resolve: (bytes: Uint8Array) => void
  readonly reject: (error: GatewayError) => void
}

export class RequestBody implements CurrentBody {
  readonly #x: ProxyExchange
  length: number
  #pipe: BodyPipe | null = null
  #composed = false
  /** Bytes not yet sent upstream. */
  readonly #held = new HeldBytes()
  /** Bytes of memory. */
  #heldSize = 0
  #holding: Holding | null = null
  /** Bytes sent upstream, kept until a response comes. */
  readonly #sent = new ReplayBytes()
  #forwarded = false
  #reader: Reader | null = null
  #ended = false
  #trailers: Fields | null = null
  /** A connection takes the bytes. */
  #open = false
  bytesIn = 0
  complete = false
  blocked = false

  constructor(x: ProxyExchange) {
    this.#x = x
    this.length = x.incoming.bodyLength
  }

  get state(): BodyState {
    if (!this.#forwarded) return 'untouched'
    return this.#sent.incomplete ? 'consumed' : 'replayable'
  }

  data(chunk: Buffer): boolean {
    const x = this.#x
    this.bytesIn += chunk.length
    // Nobody wants it any more, and a client that sends all before it reads would wait for ever.
    if (x.localBody !== null) return true
    const max = x.limits?.maxRequestBytes ?? -1
    if (max >= 0 && this.bytesIn > max) {
      x.fail(new GatewayError('BodyTooLarge', `over ${max} bytes`))
      return true
    }
    if (this.#pipe !== null) return this.#pipe.write(chunk)
    const room = this.#write(chunk)
    return this.#reader === null ? room : this.#readOn(this.#reader)
  }

  end(trailers: Fields | null): void {
    this.complete = true
    const fields = this.#x.chain?.requestFields ?? null
    if (trailers !== null && fields !== null) trailers.removeAllLoosely(fields)
    if (this.#pipe === null) this.#finish(trailers)
    else this.#pipe.end(trailers)
    this.#settle()
  }

  // ---- a filter that decides by it ----

  read(maxBytes: number): Promise<Uint8Array> {
    if (this.#composed || this.#reader !== null)
      return Promise.reject(new TypeError('a body is read by one filter at a time, before its decision'))
    if (this.length > maxBytes || this.#held.bytes > maxBytes) return Promise.reject(tooLarge(maxBytes))
    if (this.complete) return Promise.resolve(this.#held.joined())
    return new Promise((resolve, reject) => {
      this.#reader = { maxBytes, resolve, reject }
      const { incoming, downstream, request } = this.#x
      // The upstream has not been asked for `100 Continue` yet.
      if (incoming.expectContinue) {
        request.remove('expect')
        downstream.sendInformational(100, null)
      }
      downstream.resumeBody()
    })
  }

  /** @returns whether the client is to send more */
  #readOn(reader: Reader): boolean {
    if (this.#held.bytes <= reader.maxBytes) return true
    this.#reader = null
    reader.reject(tooLarge(reader.maxBytes))
    return false
  }

  /** The body is complete, or will never be. */
  #settle(): void {
    const reader = this.#reader
    if (reader === null) return
    this.#reader = null
    if (this.complete) reader.resolve(this.#held.joined())
    else reader.reject(new GatewayError('ClientGone', 'the exchange ended before its body was read'))
  }

  // ---- the filters' steps ----

  compose(): void {
    if (this.#composed) return
    this.#composed = true
    const x = this.#x
    const steps = this.#steps()
    // The client's Content-Length does not apply to the output of the steps, and filters may have removed it.
    if (steps !== null || (x.chain !== null && !x.request.has('content-length'))) {
      x.request.remove('content-length')
      if (this.length >= 0) x.request.add('content-length', String(this.length))
    }
    if (steps === null) return
    const early = this.#takeHeld()
    const ended = this.#ended
    this.#ended = false
    this.#pipe = composeBody(steps, this.#sink(), () => x.downstream.resumeBody())
    for (const chunk of early) this.#pipe.write(chunk)
    if (ended) this.#pipe.end(this.#trailers)
  }

  /** Those of the filters, and behind them what a call of gRPC needs. They say how long the body is. */
  #steps(): readonly BodyStepFactory[] | null {
    const x = this.#x
    const { chain } = x
    const changed = chain === null ? null : requestBodySteps(chain, x)
    if (changed !== null) this.length = changed.length ?? UNKNOWN_LENGTH
    const decoded = x.call === null ? null : callRequestStep(x.call)
    if (decoded === null) return changed?.steps ?? null
    this.length = UNKNOWN_LENGTH
    return [...(changed?.steps ?? []), decoded]
  }

  /** What came through the steps. */
  #sink(): BodySink {
    return {
      write: (chunk) => this.#write(chunk),
      end: (trailers) => this.#finish(trailers),
      fail: (error) => this.#x.fail(error),
    }
  }

  #write(chunk: Uint8Array): boolean {
    if (this.#open) {
      const room = this.#send(chunk)
      this.blocked = !room
      return room
    }
    this.#hold(chunk)
    return this.#heldSize < HOLD_BYTES && !HELD_BODIES.pressed
  }

  #hold(chunk: Uint8Array): void {
    const size = this.#held.add(chunk)
    this.#count(size)
  }

  #count(size: number): void {
    const by = size - this.#heldSize
    kept += by
    this.#heldSize = size
    this.#holding ??= new Holding(HELD_BODIES, this.#x.downstream.peer, this)
    this.#holding.count(by)
  }

  relieve(): void {
    this.#x.fail(new GatewayError('MemoryLimit', 'bodies of this client hold too much memory'))
  }

  #takeHeld(): readonly Uint8Array[] {
    if (this.#heldSize > 0) this.#count(0)
    return this.#held.take()
  }

  #send(chunk: Uint8Array): boolean {
    this.#forwarded = true
    this.#sent.add(chunk)
    return this.#x.attempt?.send(chunk) ?? true
  }

  #finish(trailers: Fields | null): void {
    this.#ended = true
    // They may have to be sent later, or again, when their buffer holds something else.
    if (!this.#open || !this.#sent.incomplete) trailers?.detach()
    this.#trailers = trailers
    if (this.#open) this.#x.attempt?.sendEnd(trailers)
  }

  // ---- the attempt ----

  open(): void {
    this.#open = true
    let room = true
    for (const chunk of this.#takeHeld()) room = this.#send(chunk)
    this.blocked = !room
    if (this.#ended) this.#x.attempt?.sendEnd(this.#trailers)
    // A step may have waited, and not the client alone.
    else if (room) this.drained()
  }

  close(): void {
    this.#open = false
    if (this.#sent.incomplete) return
    for (const chunk of this.#sent.take()) this.#hold(chunk)
    this.#forwarded = false
  }

  release(): void {
    this.#sent.drop()
  }

  drained(): void {
    this.blocked = false
    if (this.#pipe !== null) this.#pipe.drained()
    this.#x.downstream.resumeBody()
  }

  abort(): void {
    this.#pipe?.abort()
    this.#takeHeld()
    this.#sent.drop()
    this.#open = false
    this.#settle()
  }
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError('BodyTooLarge', `over the ${maxBytes} bytes that a filter reads`)
}
