/** One try to have an exchange answered by one endpoint. */
import type { Endpoint } from '../balance/endpoint.ts'
import type { GatewayError } from '../lib/error.ts'
import type { BodySink } from '../message/body.ts'
import { type BodyPipe, composeBody } from '../message/body-pipe.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import { responseBodySteps } from '../policy/body-steps.ts'
import type { UpstreamHandler, UpstreamPool, UpstreamStream } from '../transport/upstream.ts'

import type { ProxyExchange } from './exchange.ts'
import { upstreamRequest } from './upstream-request.ts'

/**
 * Bytes of a response kept while a filter makes up its mind; the upstream is paused meanwhile, so this is one read at
 * most.
 */
interface Waiting {
  readonly chunks: Buffer[]
  ended: boolean
  trailers: Fields | null
}

export class Attempt implements UpstreamHandler, BodySink {
  readonly #x: ProxyExchange
  readonly endpoint: Endpoint
  readonly #pool: UpstreamPool
  #stream: UpstreamStream | null = null
  #pipe: BodyPipe | null = null
  #waiting: Waiting | null = null
  #done = false
  /** The response goes to the client. */
  #relaying = false
  /** The upstream has said all of it. */
  #responseDone = false
  reused = false
  /** Monotonic milliseconds. */
  readonly startedAt: number
  /** Since when only the upstream's head is missing. */
  waitingSince: number
  awaitingHead = false
  #headCame = false
  #paused = false

  constructor(x: ProxyExchange, endpoint: Endpoint, pool: UpstreamPool) {
    this.#x = x
    this.endpoint = endpoint
    this.#pool = pool
    this.startedAt = x.flow.timers.now
    this.waitingSince = this.startedAt
    x.flow.endpoints.acquire(x.flow.worker, endpoint.slot)
  }

  /** @param fresh only a new connection will do */
  start(fresh: boolean): void {
    this.#pool.dispatch(upstreamRequest(this.#x, this.endpoint), this, fresh)
  }

  /** It waits for a connection. */
  get connecting(): boolean {
    return this.#stream === null && !this.#done
  }

  onStream(stream: UpstreamStream, reused: boolean): void {
    const x = this.#x
    this.#stream = stream
    this.reused = reused
    x.upstreamStartedAt = x.flow.timers.now
    x.lastActivity = x.upstreamStartedAt
    if (x.body !== null) x.body.open()
    else {
      this.awaitingHead = true
      this.waitingSince = x.upstreamStartedAt
    }
    x.watch()
  }

  // ---- the request's body ----

  send(chunk: Uint8Array): boolean {
    return this.#stream?.write(chunk) ?? true
  }

  sendEnd(trailers: Fields | null): void {
    this.#stream?.end(trailers)
    if (this.#responseDone) {
      this.#stream = null
      this.#restOver()
      return
    }
    this.awaitingHead = !this.#relaying
    this.waitingSince = this.#x.flow.timers.now
    // What is due next is another deadline now, and may be sooner.
    this.#x.watch()
  }

  // ---- the upstream ----

  onInformational(status: number, fields: Fields): void {
    const x = this.#x
    x.lastActivity = x.flow.timers.touch()
    x.interim = true
    x.downstream.sendInformational(status, fields)
  }

  onHead(head: ResponseHead): void {
    const x = this.#x
    x.lastActivity = x.flow.timers.touch()
    this.awaitingHead = false
    this.#headCame = true
    try {
      const verdict = x.flow.responseArrived(x, head)
      if (verdict === undefined) this.#relay(head)
      else if (verdict !== null) this.#wait(head, verdict)
    } catch (error) {
      // Here is nobody else between a filter's mistake and the end of the thread.
      x.flow.rescue(x, error)
    }
  }

  /** A filter needs time: nothing is read meanwhile. */
  #wait(head: ResponseHead, pending: Promise<boolean>): void {
    head.fields.detach()
    this.#waiting = { chunks: [], ended: false, trailers: null }
    this.#stream?.pause()
    pending
      .then((goOn) => {
        const waiting = this.#waiting
        this.#waiting = null
        if (!goOn || this.#done || this.#x.ended || waiting === null) return
        this.#relay(head)
        for (const chunk of waiting.chunks) this.onData(chunk, 0, chunk.length)
        if (waiting.ended) this.onEnd(waiting.trailers)
        else {
          this.onBatchEnd()
          if (!this.#paused) this.#stream?.resume()
        }
      })
      .catch((error: unknown) => this.#x.flow.rescue(this.#x, error))
  }

  #relay(head: ResponseHead): void {
    const x = this.#x
    this.#relaying = true
    const chain = x.linked!.chain
    const steps = chain === null ? null : responseBodySteps(chain, x, head, chain.length)
    if (steps !== null) {
      // They may look at the head again when the buffer it lies in holds another's.
      head.fields.detach()
      // They may change the length; the writer states the one that they leave in the head.
      if (head.bodyLength !== 0) head.fields.remove('content-length')
      this.#pipe = composeBody(steps, this, () => this.#wake())
    }
    x.headSent = true
    x.status = head.status
    x.downstream.sendHead(head, this.#stream?.takesRest === true ? 'taken' : 'dropped')
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#waiting !== null) {
      this.#waiting.chunks.push(Buffer.from(bytes.subarray(start, end)))
      return
    }
    const x = this.#x
    x.lastActivity = x.flow.timers.now
    if (this.#pipe !== null) {
      // Steps may hold on to what they are given.
      if (!this.#pipe.write(Buffer.from(bytes.subarray(start, end)))) this.#hold()
      return
    }
    x.downstream.sendBody(bytes, start, end)
    if (!x.downstream.room) this.#hold()
  }

  #hold(): void {
    if (this.#paused) return
    this.#paused = true
    this.#stream?.pause()
  }

  onEnd(trailers: Fields | null): void {
    this.#responseDone = true
    if (this.#stream?.sending !== true) this.#stream = null
    if (this.#waiting !== null) {
      trailers?.detach()
      this.#waiting.ended = true
      this.#waiting.trailers = trailers
      return
    }
    this.#x.upstreamEndedAt = this.#x.flow.timers.now
    if (this.#pipe === null) this.end(trailers)
    else {
      trailers?.detach()
      this.#pipe.end(trailers)
    }
  }

  onError(error: GatewayError): void {
    if (this.#done) return
    this.#stream = null
    if (this.#responseDone) {
      this.#restOver()
      return
    }
    this.#finish()
    // What the steps still hold is of no use any more, and must not come behind what is sent instead.
    this.#pipe?.abort()
    this.#x.flow.attemptFailed(this.#x, this, error)
  }

  onDrain(): void {
    this.#x.lastActivity = this.#x.flow.timers.now
    this.#x.body?.drained()
  }

  onBatchEnd(): void {
    const x = this.#x
    if (x.ended) return
    x.downstream.flush()
    if (!this.#headCame) return
    // Only now, since most responses are complete by then: from the head on the idle time is due next, and may be
    // sooner.
    this.#headCame = false
    x.watch()
  }

  onUpgrade(head: ResponseHead, duplex: Duplex): void {
    this.#stream = null
    this.#x.flow.upgraded(this.#x, head, duplex)
  }

  // ---- BodySink: the client, behind the filters' steps ----

  write(chunk: Uint8Array): boolean {
    this.#x.flow.sendChunk(this.#x, chunk)
    return this.#x.downstream.room
  }

  end(trailers: Fields | null): void {
    const x = this.#x
    if (this.#responseDone && this.#stream !== null) {
      if (x.downstream.sendEarlyEnd(trailers)) {
        x.restOnly = true
        x.watch()
        return
      }
      this.#stream.abort()
      this.#stream = null
    }
    this.#finish()
    x.downstream.sendEnd(trailers)
    x.flow.finish(x)
  }

  fail(error: GatewayError): void {
    this.#x.flow.fail(this.#x, error)
  }

  /** The upstream, which has answered, has the rest of the request or takes no more of it. */
  #restOver(): void {
    if (!this.#x.restOnly) return
    this.#finish()
    this.#x.flow.endRest(this.#x)
  }

  clientDrained(): void {
    if (this.#pipe !== null) this.#pipe.drained()
    else this.#wake()
  }

  #wake(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#stream?.resume()
  }

  /** The exchange ended, or this try was given up: no callback has an effect from here. */
  abort(): void {
    if (this.#done) return
    const stream = this.#stream
    this.#stream = null
    this.#finish()
    this.#pipe?.abort()
    if (stream !== null) stream.abort()
    else this.#pool.cancel(this)
  }

  #finish(): void {
    if (this.#done) return
    this.#done = true
    this.#x.flow.endpoints.release(this.#x.flow.worker, this.endpoint.slot)
  }
}
