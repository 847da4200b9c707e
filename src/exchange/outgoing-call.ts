/** One request of the gateway's own, from its connection to the end of its response. */
import type { Endpoint } from '../balance/endpoint.ts'
import { MAX_REFUSALS, mayRetry, NO_RETRIES } from '../balance/retry.ts'
import { GatewayError } from '../lib/error.ts'
import { NO_GRPC_STATUS } from '../lib/grpc-status.ts'
import type { Reason } from '../lib/reason.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import type { BodyControl, BodySink, BodySource } from '../message/body.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type { OutgoingResponse } from '../policy/services.ts'
import { TimerEntry } from '../transport/timers.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../transport/upstream.ts'
import type { ExchangeContext } from './exchange-context.ts'
import { countUnanswered, type Unanswered } from './unanswered.ts'

export interface CallPlan {
  readonly backend: LinkedBackend
  readonly endpoint: Endpoint
  readonly request: UpstreamRequest
  readonly body: Uint8Array | null
  readonly signal: AbortSignal | null
  /** Milliseconds until the head, and then between two pieces of the body. */
  readonly timeout: number
  resolve(response: OutgoingResponse): void
  reject(error: GatewayError): void
  /** Called exactly once, when nothing of it is in flight. */
  over(): void
}

export class OutgoingCall extends TimerEntry implements UpstreamHandler, BodySource, BodyControl {
  readonly #context: ExchangeContext
  readonly #plan: CallPlan
  #stream: UpstreamStream | null = null
  #reused = false
  #refreshed = false
  #over = false
  /** The head has arrived and was passed to the caller. */
  #answered = false
  length: number | undefined = undefined
  #sink: BodySink | null = null
  /** What came before somebody read the body: at most one read, since the upstream is paused. */
  #early: Buffer[] = []
  #complete = false
  #trailers: Fields | null = null
  /** Why the body breaks off. */
  #failure: GatewayError | null = null
  readonly #startedAt: number
  #sentAt = -1
  #headAt = -1
  #status = 0
  readonly #unanswered: Unanswered | null
  readonly #onAbort = (): void => this.#giveUp(new GatewayError('ClientGone', 'the call was given up'))

  constructor(context: ExchangeContext, plan: CallPlan) {
    super()
    this.#context = context
    this.#plan = plan
    this.#startedAt = context.timers.touch()
    plan.signal?.addEventListener('abort', this.#onAbort)
    context.observer.attemptStarted(plan.backend, plan.endpoint)
    this.#unanswered = countUnanswered(context, plan.backend, plan.endpoint)
  }

  begin(fresh: boolean): void {
    const { backend, endpoint, request } = this.#plan
    this.#wait()
    try {
      backend.pool(endpoint).dispatch(request, this, fresh)
    } catch (error) {
      this.#giveUp(new GatewayError('InternalError', String(error), { cause: error }))
    }
  }

  /** Something must come within the time-out. */
  #wait(): void {
    const { timers } = this.#context
    timers.arm(this, timers.now + this.#plan.timeout)
  }

  // ---- the upstream ----

  onStream(stream: UpstreamStream, reused: boolean): void {
    this.#stream = stream
    this.#reused = reused
    this.#sentAt = this.#context.timers.now
    const { body } = this.#plan
    if (body === null || body.length === 0) return
    stream.write(body)
    stream.end(null)
  }

  onInformational(): void {
    this.#wait()
  }

  onHead(head: ResponseHead): void {
    head.fields.detach()
    this.#answered = true
    this.#status = head.status
    this.#headAt = this.#context.timers.touch()
    this.#unanswered?.answered(head.status, this.#headAt - this.#sentAt)
    this.length = head.bodyLength
    this.#wait()
    // The body has no reader yet.
    this.#stream?.pause()
    this.#plan.resolve({ status: head.status, fields: head.fields, body: this })
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const chunk = Buffer.from(bytes.subarray(start, end))
    if (this.#sink === null) this.#early.push(chunk)
    else {
      const sink = this.#sink
      this.#guard(() => this.#pass(sink, chunk))
    }
  }

  /** Whoever reads the body may throw, and here is nobody else between that and the end of the thread. */
  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#context.unexpected(error)
      this.abort()
    }
  }

  #pass(sink: BodySink, chunk: Buffer): void {
    if (sink.write(chunk)) this.#wait()
    else if (!this.#over) {
      // The reader is slow, not the upstream.
      this.#context.timers.disarm(this)
      this.#stream?.pause()
    }
  }

  onEnd(trailers: Fields | null): void {
    trailers?.detach()
    // The rest of the request is not needed once its response is complete.
    if (this.#stream?.sending === true) this.#stream.abort()
    this.#stream = null
    this.#complete = true
    this.#trailers = trailers
    this.#end(null)
    this.#guard(() => this.#sink?.end(trailers))
  }

  onError(error: GatewayError): void {
    if (this.#over) return
    this.#stream = null
    if (!this.#answered && this.#mayRefresh(error.reason)) {
      this.#refreshed = true
      this.begin(true)
    } else this.#fail(error)
  }

  #mayRefresh(what: Reason): boolean {
    const refusals = this.#refreshed ? MAX_REFUSALS : 0
    const failure = {
      what,
      grpcStatus: NO_GRPC_STATUS,
      reused: this.#reused,
      refreshed: this.#refreshed,
      refusals,
      responseStarted: false,
    }
    const { method } = this.#plan.request
    return mayRetry(failure, method, NO_RETRIES, 0, this.#plan.body === null ? 'none' : 'replayable') !== 'no'
  }

  onDrain(): void {}

  onBatchEnd(): void {}

  onUpgrade(_head: ResponseHead, duplex: Duplex): void {
    duplex.destroy()
    this.#fail(new GatewayError('UpstreamProtocolError', 'a switch of protocols that was not asked for'))
  }

  expired(): void {
    this.#giveUp(new GatewayError(this.#answered ? 'IdleTimeout' : 'ResponseHeadTimeout'))
  }

  // ---- the body of the response ----

  start(sink: BodySink): BodyControl {
    if (this.#sink !== null) throw new TypeError('a body is read once')
    this.#sink = sink
    const early = this.#early
    this.#early = []
    let room = true
    for (const chunk of early) room = sink.write(chunk)
    if (this.#failure !== null) sink.fail(this.#failure)
    else if (this.#complete) sink.end(this.#trailers)
    else if (room) this.resume()
    else this.#context.timers.disarm(this)
    return this
  }

  resume(): void {
    if (this.#over) return
    this.#wait()
    this.#stream?.resume()
  }

  abort(): void {
    this.#sink = DEAF
    if (this.#over) return
    this.#close()
    this.#end(null)
  }

  // ---- the end ----

  #giveUp(error: GatewayError): void {
    if (this.#over) return
    this.#close()
    this.#fail(error)
  }

  #close(): void {
    const { backend, endpoint } = this.#plan
    if (this.#stream !== null) this.#stream.abort()
    else backend.pool(endpoint).cancel(this)
    this.#stream = null
  }

  #fail(error: GatewayError): void {
    this.#failure = error
    this.#end(error.reason)
    if (!this.#answered) this.#plan.reject(error)
    else this.#guard(() => this.#sink?.fail(error))
  }

  #end(failure: Reason | null): void {
    if (this.#over) return
    this.#over = true
    const { timers, observer } = this.#context
    const { backend, endpoint, signal } = this.#plan
    timers.disarm(this)
    signal?.removeEventListener('abort', this.#onAbort)
    this.#plan.over()
    this.#unanswered?.over(failure)
    observer.attemptEnded({
      backend,
      endpoint,
      failure,
      status: this.#status,
      grpcStatus: NO_GRPC_STATUS,
      unanswered: this.#sentAt >= 0 && !this.#answered,
      slowClient: false,
      reused: this.#reused,
      startedAt: this.#startedAt,
      sentAt: this.#sentAt,
      headAt: this.#headAt,
      endedAt: timers.now,
    })
  }
}

const DEAF: BodySink = { write: () => false, end() {}, fail() {} }
