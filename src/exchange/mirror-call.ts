/** One copy of a request on its way; its response is read and dropped. */
import type { Endpoint } from '../balance/endpoint.ts'
import { mayRetry, NO_RETRIES } from '../balance/retry.ts'
import type { GatewayError } from '../lib/error.ts'
import { NO_GRPC_STATUS } from '../lib/grpc-status.ts'
import type { Reason } from '../lib/reason.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import type { Duplex } from '../message/duplex.ts'
import type { ResponseHead } from '../message/head.ts'
import { TimerEntry } from '../transport/timers.ts'
import type { UpstreamHandler, UpstreamPool, UpstreamRequest, UpstreamStream } from '../transport/upstream.ts'
import type { ExchangeContext } from './exchange-context.ts'

/** Milliseconds for all of it. */
export const MIRROR_TIME = 30_000
/** Bytes of a response that are read so that its connection can be used again. */
const RESPONSE_BYTES = 1024 * 1024

export class MirrorCall extends TimerEntry implements UpstreamHandler {
  readonly #context: ExchangeContext
  readonly #backend: LinkedBackend
  readonly #endpoint: Endpoint
  readonly #pool: UpstreamPool
  readonly #request: UpstreamRequest
  readonly #body: Uint8Array | null
  readonly #over: () => void
  readonly #startedAt: number
  #stream: UpstreamStream | null = null
  #reused = false
  #refreshed = false
  #ended = false
  #read = 0
  #status = 0
  #sentAt = -1
  #headAt = -1

  /** @param over called exactly once, when nothing of it is in flight */
  constructor(
    context: ExchangeContext,
    to: { readonly backend: LinkedBackend; readonly endpoint: Endpoint },
    request: UpstreamRequest,
    body: Uint8Array | null,
    over: () => void,
  ) {
    super()
    this.#context = context
    this.#backend = to.backend
    this.#endpoint = to.endpoint
    this.#pool = to.backend.mirrors(to.endpoint)
    this.#request = request
    this.#body = body
    this.#over = over
    this.#startedAt = context.timers.touch()
    context.observer.attemptStarted(to.backend, to.endpoint)
    context.timers.arm(this, this.#startedAt + MIRROR_TIME)
  }

  begin(fresh: boolean): void {
    try {
      this.#pool.dispatch(this.#request, this, fresh)
    } catch (error) {
      this.#context.unexpected(error)
      this.#close('InternalError')
    }
  }

  onStream(stream: UpstreamStream, reused: boolean): void {
    this.#stream = stream
    this.#reused = reused
    this.#sentAt = this.#context.timers.now
    if (!this.#refreshed) this.#context.metrics.mirrored()
    if (this.#body === null) return
    stream.write(this.#body)
    stream.end(null)
  }

  onInformational(): void {}

  onHead({ status }: ResponseHead): void {
    const { timers, observer } = this.#context
    this.#status = status
    this.#headAt = timers.touch()
    observer.attemptAnswered?.(this.#backend, this.#endpoint, status, this.#headAt - this.#startedAt)
  }

  onData(_bytes: Buffer, start: number, end: number): void {
    this.#read += end - start
    if (this.#read > RESPONSE_BYTES) this.#close(null)
  }

  onEnd(): void {
    if (this.#stream?.sending !== true) this.#stream = null
    this.#close(null)
  }

  onError(error: GatewayError): void {
    if (this.#ended) return
    this.#stream = null
    if (this.#headAt < 0 && this.#mayRefresh(error.reason)) {
      this.#refreshed = true
      this.#sentAt = -1
      return this.begin(true)
    }
    this.#close(error.reason)
  }

  /** Only a connection that died of age is replaced. */
  #mayRefresh(what: Reason): boolean {
    if (this.#refreshed) return false
    const failure = { what, grpcStatus: NO_GRPC_STATUS, reused: this.#reused, refreshed: false, refusals: 0 }
    const body = this.#body === null ? 'none' : 'replayable'
    return mayRetry({ ...failure, responseStarted: false }, this.#request.method, NO_RETRIES, 0, body) !== 'no'
  }

  onDrain(): void {}

  onBatchEnd(): void {}

  onUpgrade(_head: ResponseHead, duplex: Duplex): void {
    duplex.destroy()
    this.#close('UpstreamProtocolError')
  }

  /** A copy that takes long says nothing about the endpoint beyond what its probes and own requests do. */
  expired(): void {
    this.#close(null)
  }

  #close(failure: Reason | null): void {
    if (this.#ended) return
    this.#ended = true
    const { timers, observer, metrics } = this.#context
    timers.disarm(this)
    if (this.#sentAt < 0 && !this.#refreshed) metrics.mirrorDropped()
    if (this.#stream !== null) this.#stream.abort()
    else if (this.#sentAt < 0) this.#pool.cancel(this)
    this.#stream = null
    this.#over()
    observer.attemptEnded({
      backend: this.#backend,
      endpoint: this.#endpoint,
      failure,
      status: this.#status,
      grpcStatus: NO_GRPC_STATUS,
      unanswered: this.#sentAt >= 0 && this.#headAt < 0,
      slowClient: false,
      reused: this.#reused,
      startedAt: this.#startedAt,
      sentAt: this.#sentAt,
      headAt: this.#headAt,
      endedAt: timers.now,
    })
  }
}
