/** One attempt of an exchange at one endpoint. */
import type { Endpoint } from '../balance/endpoint.ts'
import { statusOf } from '../balance/fault.ts'
import type { GatewayError } from '../lib/error.ts'
import { NO_GRPC_STATUS, parseGrpcStatus } from '../lib/grpc-status.ts'
import type { Reason } from '../lib/reason.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import { TimerEntry } from '../transport/timers.ts'
import type { UpstreamHandler, UpstreamPool, UpstreamStream } from '../transport/upstream.ts'
import type { AttemptOutcome } from './attempt-observer.ts'
import { endRest } from './ending.ts'
import type { CurrentAttempt, ProxyExchange } from './exchange.ts'
import { type ResponseOrigin, ResponseRelay } from './response.ts'
import { upgradeExchange } from './tunnel.ts'
import { countUnanswered, type Unanswered } from './unanswered.ts'
import { checkRefusal } from './upgrade.ts'
import { clientConnection, NO_REQUEST, upstreamRequest } from './upstream-request.ts'

/** Decides what follows an attempt. */
export interface AttemptOwner {
  /** The attempt failed before its response was complete, and has been closed. */
  failed(x: ProxyExchange, attempt: Attempt, error: GatewayError): void
  /**
   * A response that the retry policy may name, or one of two, has come, before any filter sees it.
   * @returns true: another attempt follows or goes on, and the response of this one is discarded
   */
  answered(x: ProxyExchange, attempt: Attempt, head: ResponseHead): boolean
}

/** Bytes of a discarded response that are read so that its connection can be used again, and the time for them. */
const DISCARD_BYTES = 64 * 1024
const DISCARD_MILLISECONDS = 1_000

const GRPC_STATUS = 'grpc-status'
/**
 * An attempt that was ended by the end of the exchange's time had time enough with this, or with half of what the rule
 * allows: a client that states a deadline of a millisecond learns nothing about an endpoint, nor does a retry that
 * began just before the end.
 */
const PATIENCE = 1_000
/** An endpoint that waited so long for the client, all in all, and then broke off may have done so for that. */
const CLIENT_PAUSE = 1_000

/** Reused for every attempt of the thread; its first values are never read. */
const OUTCOME = {} as AttemptOutcome

export class Attempt implements UpstreamHandler, CurrentAttempt, ResponseOrigin {
  readonly #x: ProxyExchange
  readonly #backend: LinkedBackend
  readonly endpoint: Endpoint
  readonly #owner: AttemptOwner
  readonly #pool: UpstreamPool
  stream: UpstreamStream | null = null
  #relay: ResponseRelay | null = null
  /** An upgrade that the upstream has agreed to. */
  #duplex: Duplex | null = null
  /** The request waits in the pool for a connection. */
  connecting = false
  #done = false
  /** The upstream has sent all of its response. */
  #responseDone = false
  /** All of the request is with the connection. */
  #requestSent = false
  /** Bytes of the response's body, as far as its head says. */
  #bodyLength = 0
  /** Discarded bytes of the response; -1 while it is relayed. */
  #discarded = -1
  #discardDeadline: DiscardDeadline | null = null
  /** The connection had served an exchange before. */
  reused = false
  readonly startedAt: number
  waitingSince: number
  awaitingHead = false
  sentAt = -1
  #headAt = -1
  #status = 0
  #grpcStatus = NO_GRPC_STATUS
  /** The head came in the read that is being handed over. */
  #headCame = false
  /** Since when the client takes no more of the response; -1 = it does. */
  #heldSince = -1
  /** Milliseconds for which it took no more, until then. */
  #heldFor = 0
  /** Where the endpoint has an adaptive limit. */
  readonly #unanswered: Unanswered | null

  constructor(x: ProxyExchange, backend: LinkedBackend, endpoint: Endpoint, owner: AttemptOwner) {
    this.#x = x
    this.#backend = backend
    this.endpoint = endpoint
    this.#owner = owner
    this.#pool = x.opaque ? backend.tunnels(endpoint) : backend.pool(endpoint)
    this.startedAt = x.context.timers.now
    this.waitingSince = this.startedAt
    x.context.observer.attemptStarted(backend, endpoint)
    // A tunnel of bytes is not answered, it is over at some time.
    this.#unanswered = x.opaque ? null : countUnanswered(x.context, backend, endpoint)
  }

  get answered(): boolean {
    return this.#headAt >= 0
  }

  /** @param fresh only a new connection will do */
  start(fresh: boolean): void {
    this.connecting = true
    const x = this.#x
    const request = x.opaque ? { ...NO_REQUEST, client: clientConnection(x) } : upstreamRequest(x, this.endpoint)
    this.#pool.dispatch(request, this, fresh)
  }

  // ---- the request's body ----

  send(chunk: Uint8Array): boolean {
    return this.stream?.write(chunk) ?? true
  }

  sendEnd(trailers: Fields | null): void {
    this.stream?.end(trailers)
    this.#requestSent = true
    if (this.#responseDone) {
      this.stream = null
      this.#restOver()
      return
    }
    this.awaitingHead = this.#relay === null
    if (this.#headAt < 0) this.#unanswered?.resume()
    this.waitingSince = this.#x.context.timers.now
    // The next deadline has changed, and may be sooner.
    this.#x.watch()
  }

  // ---- the upstream ----

  onStream(stream: UpstreamStream, reused: boolean): void {
    const x = this.#x
    const { now } = x.context.timers
    this.stream = stream
    this.connecting = false
    this.reused = reused
    this.sentAt = now
    x.upstreamStartedAt = now
    x.lastActivity = now
    if (x.body !== null) {
      this.#unanswered?.pause()
      x.body.open()
    } else {
      this.#requestSent = true
      this.awaitingHead = true
      this.waitingSince = now
    }
    x.watch()
  }

  onInformational(status: number, fields: Fields): void {
    const x = this.#x
    x.lastActivity = x.context.timers.touch()
    // Which of two attempts answers is open.
    if (x.rival !== null) return
    x.interim = true
    x.downstream.sendInformational(status, fields)
  }

  onHead(head: ResponseHead): void {
    const x = this.#x
    if (x.call !== null) this.#grpcStatus = parseGrpcStatus(head.fields.get(GRPC_STATUS))
    this.#headArrived(head.status)
    this.#headCame = true
    if (x.method !== 'HEAD') this.#bodyLength = head.bodyLength ?? 0
    try {
      if (x.upgrade !== null) checkRefusal(x, head.status)
      if ((x.rival !== null || x.linked!.retriesResponses) && this.#owner.answered(x, this, head)) return
      x.body?.release()
      this.#relay = new ResponseRelay(x, this)
      this.#relay.begin(head)
    } catch (error) {
      // Without this catch a filter's exception would end the thread.
      x.fail(error)
    }
  }

  #headArrived(status: number): void {
    const x = this.#x
    x.lastActivity = x.context.timers.touch()
    const latency = this.awaitingHead ? x.lastActivity - this.waitingSince : -1
    this.awaitingHead = false
    this.#headAt = x.lastActivity
    this.#status = status
    const means = x.call === null ? status : statusOf(status, this.#grpcStatus)
    this.#unanswered?.answered(means, latency)
    x.context.observer.attemptAnswered?.(this.#backend, this.endpoint, means, x.lastActivity - this.startedAt)
  }

  onData(bytes: Buffer, start: number, end: number): void {
    if (this.#discarded < 0) this.#relay?.data(bytes, start, end)
    else {
      this.#discarded += end - start
      if (this.#discarded > DISCARD_BYTES) this.close(null)
    }
  }

  onEnd(trailers: Fields | null): void {
    this.#responseDone = true
    if (this.#x.call !== null && trailers?.has(GRPC_STATUS) === true)
      this.#grpcStatus = parseGrpcStatus(trailers.get(GRPC_STATUS))
    if (this.stream?.sending !== true) this.stream = null
    if (this.#discarded < 0) this.#relay?.complete(trailers)
    else this.close(null)
  }

  onError(error: GatewayError): void {
    if (this.#done) return
    this.stream = null
    this.connecting = false
    if (this.#responseDone) {
      this.#restOver()
      return
    }
    if (this.#discarded >= 0) return this.close(error.reason)
    // A response of gRPC that has begun is ended by a status, and so it is not aborted here.
    if (this.#x.call === null || !this.#x.headSent) this.close(error.reason)
    this.#owner.failed(this.#x, this, error)
  }

  onDrain(): void {
    if (this.#discarded >= 0) return
    this.#x.lastActivity = this.#x.context.timers.now
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
    this.stream = null
    this.#duplex = duplex
    this.#headArrived(head.status)
    try {
      upgradeExchange(this.#x, head, duplex)
    } catch (error) {
      this.#x.fail(error)
    }
  }

  /** The upstream, which has answered, has the rest of the request or takes no more of it. */
  #restOver(): void {
    if (this.#x.restOnly) endRest(this.#x)
  }

  discard(): void {
    if (this.#done) return
    const { stream } = this
    if (stream === null || this.#responseDone || !this.#requestSent || this.#bodyLength > DISCARD_BYTES)
      return this.close(null)
    this.#discarded = 0
    this.#discardDeadline = new DiscardDeadline(this)
    const { timers } = this.#x.context
    timers.arm(this.#discardDeadline, timers.now + DISCARD_MILLISECONDS)
    // It stands still where a filter had to be awaited.
    stream.resume()
  }

  clientDrained(): void {
    this.#relay?.drained()
  }

  hold(): void {
    this.#heldSince = this.#x.context.timers.now
    this.stream?.pause()
  }

  goOn(): void {
    this.#heldFor += this.#x.context.timers.now - this.#heldSince
    this.#heldSince = -1
    this.stream?.resume()
  }

  endCall(failure: Reason, trailers: Fields): boolean {
    const relay = this.#relay
    // It goes on without its attempt.
    this.#relay = null
    this.close(failure)
    relay?.endCall(trailers)
    return relay !== null
  }

  close(failure: Reason | null): void {
    if (this.#done) return
    this.#done = true
    const { stream } = this
    this.stream = null
    if (this.#discardDeadline !== null) this.#x.context.timers.disarm(this.#discardDeadline)
    this.#relay?.abort()
    if (stream !== null) stream.abort()
    else if (this.connecting) this.#pool.cancel(this)
    this.#duplex?.destroy()
    this.#reportOutcome(failure)
  }

  /** See {@link PATIENCE}. */
  #hadTime(now: number): boolean {
    const { call, limits } = this.#x
    const half = call?.deadlineIsSooner === true || limits === null ? PATIENCE : limits.request / 2
    return now - this.startedAt >= Math.min(PATIENCE, half)
  }

  /** Milliseconds for which the endpoint waited for the client, to send its body or to take the response. */
  #clientPause(now: number): number {
    const held = this.#heldFor + (this.#heldSince < 0 ? 0 : now - this.#heldSince)
    const { body } = this.#x
    const isAwaited = body !== null && !body.complete && !body.blocked && this.sentAt >= 0
    return isAwaited ? Math.max(held, now - this.sentAt) : held
  }

  #reportOutcome(failure: Reason | null): void {
    const { observer, timers } = this.#x.context
    const outcome = OUTCOME
    outcome.backend = this.#backend
    outcome.endpoint = this.endpoint
    outcome.failure = failure
    outcome.status = this.#status
    outcome.grpcStatus = this.#grpcStatus
    outcome.unanswered = this.awaitingHead && (failure !== 'RequestTimeout' || this.#hadTime(timers.now))
    outcome.slowClient = this.#clientPause(timers.now) >= CLIENT_PAUSE
    outcome.reused = this.reused
    outcome.startedAt = this.startedAt
    outcome.sentAt = this.sentAt
    outcome.headAt = this.#headAt
    outcome.endedAt = timers.now
    this.#unanswered?.over(failure)
    observer.attemptEnded(outcome)
  }
}

/** Of an attempt whose response is discarded: the exchange may have ended, and its timer with it. */
class DiscardDeadline extends TimerEntry {
  readonly #attempt: Attempt

  constructor(attempt: Attempt) {
    super()
    this.#attempt = attempt
  }

  expired(): void {
    this.#attempt.close(null)
  }
}
