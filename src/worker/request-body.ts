/**
 * The body of one request between the client and the upstream: held back until a connection is there, counted against
 * its limit, passed through the filters' steps, and kept for a second try as long as that is small and safe.
 */

import { CHUNKED } from '../http/framing.ts'
import { GatewayError } from '../lib/error.ts'
import type { BodySink } from '../message/body.ts'
import { type BodyPipe, composeBody } from '../message/body-pipe.ts'
import type { Fields } from '../message/fields.ts'
import { requestBodySteps } from '../policy/body-steps.ts'
import type { ProxyExchange } from './exchange.ts'

/** Bytes kept before a connection is there; then the client waits. What one read brought may come on top. */
const HOLD_BYTES = 64 * 1024
/** What each chunk that is kept costs besides its bytes: a body may come one byte at a time. */
const CHUNK_COST = 128

export class RequestBody {
  readonly #x: ProxyExchange
  #pipe: BodyPipe | null = null
  #composed = false
  /** Chunks not yet sent upstream. */
  #held: Uint8Array[] | null = null
  #heldBytes = 0
  #ended = false
  #trailers: Fields | null = null
  /** A connection takes the bytes. */
  #open = false
  /** Bytes were given to a connection: they cannot be sent again. */
  forwarded = false
  bytesIn = 0
  /** Bytes that the request announces upstream, {@link CHUNKED} where it announces none. */
  length: number
  /** All has come from the client. */
  complete = false
  /** The upstream does not keep up: it is not the client who is slow. */
  blocked = false

  constructor(x: ProxyExchange) {
    this.#x = x
    this.length = x.incoming.bodyLength
  }

  /** A chunk from the client. @returns false: no more for now */
  data(chunk: Buffer): boolean {
    const x = this.#x
    this.bytesIn += chunk.length
    const max = x.limits?.maxRequestBytes ?? -1
    if (max >= 0 && this.bytesIn > max) {
      x.flow.fail(x, new GatewayError('BodyTooLarge', `over ${max} bytes`))
      return true
    }
    const pipe = this.#pipe
    return pipe === null ? this.#write(chunk) : pipe.write(chunk)
  }

  /** The client's body is complete. */
  end(trailers: Fields | null): void {
    this.complete = true
    if (this.#pipe === null) this.#finish(trailers)
    else this.#pipe.end(trailers)
  }

  /** Puts the filters' steps in, once the way in has been passed. */
  compose(): void {
    if (this.#composed) return
    this.#composed = true
    const x = this.#x
    const chain = x.linked?.chain ?? null
    const changed = chain === null ? null : requestBodySteps(chain, x)
    if (changed === null) return
    const { steps, length } = changed
    // What the client announced is no word on what comes out of the steps.
    x.request.remove('content-length')
    if (length !== undefined) x.request.add('content-length', String(length))
    this.length = length ?? CHUNKED
    const early = this.#held
    this.#held = null
    this.#heldBytes = 0
    const ended = this.#ended
    this.#ended = false
    this.#pipe = composeBody(steps, this.#sink(), () => x.downstream.resumeBody())
    if (early !== null) for (const chunk of early) this.#pipe.write(chunk)
    if (ended) this.#pipe.end(this.#trailers)
  }

  /** What came through the steps. */
  #sink(): BodySink {
    return {
      write: (chunk) => this.#write(chunk),
      end: (trailers) => this.#finish(trailers),
      fail: (error) => this.#x.flow.fail(this.#x, error),
    }
  }

  #write(chunk: Uint8Array): boolean {
    if (this.#open) {
      this.forwarded = true
      const room = this.#x.attempt?.send(chunk) ?? true
      this.blocked = !room
      return room
    }
    ;(this.#held ??= []).push(chunk)
    this.#heldBytes += chunk.length + CHUNK_COST
    return this.#heldBytes < HOLD_BYTES
  }

  #finish(trailers: Fields | null): void {
    this.#ended = true
    this.#trailers = trailers
    if (this.#open) this.#x.attempt?.sendEnd(trailers)
  }

  // ---- the attempt ----

  /** A connection is there: what was held goes out, then the client is read again. */
  open(): void {
    this.#open = true
    const held = this.#held
    this.#held = null
    this.#heldBytes = 0
    let room = true
    if (held !== null)
      for (const chunk of held) {
        this.forwarded = true
        room = this.#x.attempt?.send(chunk) ?? true
      }
    if (this.#ended) this.#x.attempt?.sendEnd(this.#trailers)
    else if (room) this.#x.downstream.resumeBody()
    this.blocked = !room
  }

  /** The connection is gone before anything was sent on it: hold again. */
  close(): void {
    this.#open = false
  }

  /** The upstream takes bytes again. */
  drained(): void {
    this.blocked = false
    if (this.#pipe !== null) this.#pipe.drained()
    this.#x.downstream.resumeBody()
  }

  abort(): void {
    this.#pipe?.abort()
    this.#held = null
    this.#open = false
  }
}
