/** The response of the upstream: its head passes the filters, then it goes to the client with back-pressure. */
import type { GatewayError } from '../lib/error.ts'
import type { BodyStepFactory, BodyTee, BodyWaker, LentBodyStep, LentSink } from '../message/body.ts'
import { type BodyPipe, composeBody, faultOf } from '../message/body-pipe.ts'
import type { Fields } from '../message/fields.ts'
import { removeAddedFraming } from '../message/framing-fields.ts'
import { isFinalStatus, type ResponseHead } from '../message/head.ts'
import type { LocalResponse } from '../message/local-response.ts'
import { responseBodySteps } from '../policy/body-steps.ts'
import { type Replacement, runResponse } from '../policy/chain.ts'
import type { UpstreamStream } from '../transport/upstream.ts'
import { followResponse } from './credential-lease.ts'
import { finish } from './ending.ts'
import type { LocalBody, ProxyExchange } from './exchange.ts'
import { cut } from './failure.ts'
import { acceptHead, acceptTrailers, callResponseStep } from './grpc-response.ts'
import { addTransportSecurity } from './hsts.ts'
import { respond, sendChunk, sendLocal } from './local-response.ts'
import { addSession } from './session-affinity.ts'
import { tellUnsafeTargets } from './unsafe-target.ts'

/** The attempt that a response comes from. */
export interface ResponseOrigin {
  /** Null once nothing can be done with it any more. */
  readonly stream: UpstreamStream | null
  /** The client takes no more for now. */
  hold(): void
  /** It does again. */
  goOn(): void
}

/**
 * The upstream's head passes the filters.
 * @returns true: it goes on · false: something else has been sent, or nothing is to be sent · a promise of that
 */
export function passFilters(x: ProxyExchange, head: ResponseHead): boolean | Promise<boolean> {
  const { chain, unsafeFor } = x
  if (unsafeFor !== null) tellUnsafeTargets(x, unsafeFor, head)
  if (chain === null) return true
  // Whoever is called again at the end may have kept the head; the buffer it lies in holds another's by then.
  if (chain.keepsHeads) head.fields.detach()
  const replacement = runResponse(chain, x, head, chain.length)
  if (replacement === undefined) return true
  if (replacement instanceof Promise) return replacement.then((late) => isRelayed(x, late))
  return isRelayed(x, replacement)
}

function isRelayed(x: ProxyExchange, replacement: Replacement): boolean {
  if (replacement === undefined) return true
  if (replacement.type === 'replace' && !x.ended) {
    x.attempt?.discard()
    x.attempt = null
    sendLocal(x, replacement.response, replacement.from)
  }
  return false
}

/**
 * Bytes of a response kept while a filter makes up its mind; the upstream is paused meanwhile, so this is one read at
 * most.
 */
interface WaitingRelay {
  readonly chunks: Buffer[]
  ended: boolean
  trailers: Fields | null
}

export class ResponseRelay implements LentSink, BodyWaker, LocalBody {
  readonly #x: ProxyExchange
  readonly #origin: ResponseOrigin
  #pipe: BodyPipe | null = null
  /** The only step, which is lent what comes; null: there is none, or a pipe. */
  #tee: LentBodyStep | null = null
  #waiting: WaitingRelay | null = null
  #paused = false
  #aborted = false

  constructor(x: ProxyExchange, origin: ResponseOrigin) {
    this.#x = x
    this.#origin = origin
  }

  begin(head: ResponseHead): void {
    if (this.#x.call?.spoken === true) {
      const { status } = head
      const type = head.fields.get('content-type')
      const instead = acceptHead(this.#x.call, head)
      if (instead !== undefined) return this.#replace(instead, status, type)
    }
    const goesOn = passFilters(this.#x, head)
    if (goesOn === true) this.#relay(head)
    else if (goesOn !== false) this.#wait(head, goesOn)
  }

  /** What came is no response to a call of gRPC. */
  #replace(instead: LocalResponse, status: number, type: string | undefined): void {
    const x = this.#x
    x.reason = 'GrpcStatusMissing'
    x.detail = `the upstream answered HTTP ${status}${type === undefined ? '' : `, ${type}`}`
    x.attempt?.discard()
    x.attempt = null
    respond(x, instead, x.chain?.length ?? 0)
  }

  /** A filter needs time: nothing is read meanwhile. */
  #wait(head: ResponseHead, pending: Promise<boolean>): void {
    head.fields.detach()
    this.#waiting = { chunks: [], ended: false, trailers: null }
    this.#origin.stream?.pause()
    pending
      .then((goesOn) => {
        const waiting = this.#waiting
        this.#waiting = null
        if (!goesOn || this.#aborted || this.#x.ended || waiting === null) return
        this.#relay(head)
        for (const chunk of waiting.chunks) this.data(chunk, 0, chunk.length)
        if (waiting.ended) this.complete(waiting.trailers)
        else {
          this.#x.downstream.flush()
          this.#x.watch()
          if (!this.#paused) this.#origin.stream?.resume()
        }
      })
      .catch((error: unknown) => this.#x.fail(error))
  }

  #relay(head: ResponseHead): void {
    const x = this.#x
    const { chain } = x
    if (chain !== null && !isFinalStatus(head.status)) throw new TypeError(`a filter set the status ${head.status}`)
    if (chain !== null) removeAddedFraming(head.fields)
    addTransportSecurity(x, head.fields)
    addSession(x, head.fields)
    const steps = this.#steps(head)
    const only = steps?.length === 1 ? steps[0]! : null
    if (only !== null && typeof only !== 'function') this.#tee = only.tee(this, this)
    else if (steps !== null) {
      // The hooks may read the head later, when its buffer holds another head.
      head.fields.detach()
      // They may change the length; the writer states the one that they leave in the head.
      if (head.bodyLength !== 0) head.fields.remove('content-length')
      this.#pipe = composeBody(steps, this, () => this.wake())
    }
    if (chain !== null) followResponse(x, head)
    x.headSent = true
    x.status = head.status
    x.downstream.sendHead(head, this.#origin.stream?.takesRest === true ? 'taken' : 'dropped')
  }

  /** What a call of gRPC needs, and before it what the filters do. */
  #steps(head: ResponseHead): readonly (BodyStepFactory | BodyTee)[] | null {
    const x = this.#x
    const { call } = x
    const { chain } = x
    // Trailers-only means that nothing is behind the head, not even the end of an empty body.
    const ofFilters =
      chain === null || (call !== null && head.bodyLength === 0)
        ? null
        : responseBodySteps(chain, x, head, chain.length)
    const translated = call === null ? null : callResponseStep(call, head)
    return translated === null ? ofFilters : [translated, ...(ofFilters ?? [])]
  }

  // ---- from the upstream ----

  data(bytes: Buffer, start: number, end: number): void {
    if (this.#waiting !== null) {
      this.#waiting.chunks.push(Buffer.from(bytes.subarray(start, end)))
      return
    }
    const x = this.#x
    x.lastActivity = x.context.timers.now
    if (this.#tee !== null) {
      if (!this.#lent(this.#tee, bytes, start, end)) this.#hold()
      return
    }
    if (this.#pipe !== null) {
      // Steps may hold on to what they are given.
      if (!this.#pipe.write(Buffer.from(bytes.subarray(start, end)))) this.#hold()
      return
    }
    x.downstream.sendBody(bytes, start, end)
    if (!x.downstream.room) this.#hold()
  }

  /** All of it has come. */
  complete(trailers: Fields | null): void {
    if (this.#waiting !== null) {
      trailers?.detach()
      this.#waiting.ended = true
      this.#waiting.trailers = trailers
      return
    }
    const x = this.#x
    x.upstreamEndedAt = x.context.timers.now
    this.#finish(x.call?.spoken === true ? acceptTrailers(x, x.call, trailers) : trailers)
  }

  #lent(step: LentBodyStep, bytes: Buffer, start: number, end: number): boolean {
    try {
      return step.lend(bytes, start, end)
    } catch (error) {
      this.#broken(error)
      return true
    }
  }

  /** The step has thrown: what comes is of no use to it any more. */
  #broken(error: unknown): void {
    this.#tee?.abort()
    this.#x.fail(faultOf(error))
  }

  #finish(trailers: Fields | null): void {
    if (this.#tee !== null) {
      trailers?.detach()
      try {
        this.#tee.end(trailers)
      } catch (error) {
        this.#broken(error)
      }
      return
    }
    if (this.#pipe === null) return this.end(trailers)
    trailers?.detach()
    this.#pipe.end(trailers)
  }

  /**
   * The upstream is gone, and a call of gRPC ends by trailers of the gateway's own: behind what the steps still hold,
   * while the client takes it.
   */
  endCall(trailers: Fields): void {
    this.#x.localBody = this
    this.#finish(trailers)
  }

  #hold(): void {
    if (this.#paused) return
    this.#paused = true
    this.#origin.hold()
  }

  wake(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#origin.goOn()
  }

  drained(): void {
    if (this.#pipe !== null) this.#pipe.drained()
    else if (this.#tee === null) this.wake()
    else {
      try {
        this.#tee.drained()
      } catch (error) {
        this.#broken(error)
      }
    }
  }

  // ---- to the client, behind the filters' steps ----

  write(chunk: Uint8Array): boolean {
    sendChunk(this.#x, chunk)
    return this.#x.downstream.room
  }

  lend(bytes: Buffer, start: number, end: number): boolean {
    const { downstream } = this.#x
    downstream.sendBody(bytes, start, end)
    return downstream.room
  }

  flush(): void {
    this.#x.downstream.flush()
  }

  end(trailers: Fields | null): void {
    const x = this.#x
    // The request may still be on its way to the upstream, which takes the rest of it; a call is over with its status.
    if (x.call?.spoken !== true && this.#origin.stream?.sending === true && x.downstream.sendEarlyEnd(trailers)) {
      x.restOnly = true
      x.watch()
      return
    }
    // A request whose rest is not needed ends with its connection.
    x.attempt?.close(null)
    x.downstream.sendEnd(trailers)
    finish(x)
  }

  fail(error: GatewayError): void {
    // A call that could not be ended by the status of its failure keeps the reason of that.
    if (this.#x.localBody === this) cut(this.#x)
    else this.#x.fail(error)
  }

  abort(): void {
    this.#aborted = true
    // What the steps still hold is of no use any more, and must not come behind what is sent instead.
    this.#pipe?.abort()
    this.#tee?.abort()
  }
}
