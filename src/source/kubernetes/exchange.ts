/** One request to the API server and its answer as it arrives, with every wait bounded. */
import type { Dispatcher } from 'undici'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { ApiError, errorOfAnswer } from './api-error.ts'

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly origin: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Until the head of the answer has come. */
  readonly headersTimeout: Milliseconds
  /** Longest silence in the body; 0 = any. */
  readonly bodyTimeout: Milliseconds
  /** For all of it; none = as long as it takes. */
  readonly deadline?: Milliseconds
}

/** Takes an answer of 200 to 299. What it throws ends the exchange. */
export interface Receiver {
  /** The head has come. */
  begin?(): void
  /** A promise holds further data back until it resolves. */
  data(chunk: Buffer): Promise<void> | undefined
}

/** Of an answer that is an error, for the explanation in it. */
const MAX_ERROR_BYTES = 65_536

/**
 * @returns when the body has ended as the framing says it must
 * @throws {ApiError} always this; `Aborted` as soon as `signal` says so
 */
export function exchange(
  dispatcher: Dispatcher,
  call: Call,
  receiver: Receiver,
  time: Pick<TimerClock, 'after'>,
  signal?: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const running = new RunningExchange(receiver, () => {
    cancelDeadline?.()
    signal?.removeEventListener('abort', abort)
    if (running.failure === undefined) resolve()
    else reject(running.failure)
  })
  const abort = (): void => running.end(new ApiError(0, 'Aborted', 'not wanted any more'))
  const cancelDeadline =
    call.deadline === undefined
      ? undefined
      : time.after(call.deadline, () =>
          running.end(new ApiError(0, 'TimedOut', `no end of the answer within ${call.deadline! / 1_000} s`)),
        )
  if (signal?.aborted === true) abort()
  else {
    signal?.addEventListener('abort', abort)
    const { origin, method, path, headers, body = null, headersTimeout, bodyTimeout } = call
    dispatcher.dispatch({ origin, method, path, headers, body, headersTimeout, bodyTimeout }, running)
  }
  return promise
}

class RunningExchange implements Dispatcher.DispatchHandler {
  readonly #receiver: Receiver
  readonly #done: () => void
  #controller: Dispatcher.DispatchController | undefined
  #status = 0
  #retryAfter: string | undefined
  #explanation = ''
  #over = false
  failure: ApiError | undefined

  constructor(receiver: Receiver, done: () => void) {
    this.#receiver = receiver
    this.#done = done
  }

  /** Over, from whichever side first. */
  end(failure?: ApiError): void {
    if (this.#over) return
    this.#over = true
    this.failure = failure
    if (failure !== undefined) this.#controller?.abort(failure)
    this.#done()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // Given up while it waited for a connection.
    if (this.#over) controller.abort(this.failure ?? new Error('over'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, unknown>): void {
    // Informational answers come before the real one.
    if (status < 200) return
    this.#status = status
    const retryAfter = headers['retry-after']
    this.#retryAfter = typeof retryAfter === 'string' ? retryAfter : undefined
    if (!this.#ok || this.#over) return
    const type = String(headers['content-type'] ?? '')
    if (!/^application\/json *(;|$)/i.test(type))
      this.end(
        new ApiError(status, 'BadAnswer', `it answered with ${type.slice(0, 80) || 'no content type'}, not JSON`),
      )
    else this.#receiver.begin?.()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) return
    if (!this.#ok) {
      const room = MAX_ERROR_BYTES - this.#explanation.length
      if (room > 0) this.#explanation += chunk.toString('utf8', 0, Math.min(chunk.length, room))
      else this.#refused()
      return
    }
    try {
      const wait = this.#receiver.data(chunk)
      if (wait === undefined) return
      controller.pause()
      wait.then(
        () => this.#over || controller.resume(),
        (error: unknown) => this.end(asApiError(error)),
      )
    } catch (error) {
      this.end(asApiError(error))
    }
  }

  onResponseEnd(): void {
    if (this.#ok) this.end()
    else this.#refused()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    // What came of the explanation is more than nothing.
    if (this.#status !== 0 && !this.#ok) this.#refused()
    else this.end(errorOfTransport(error, this.#status))
  }

  get #ok(): boolean {
    return this.#status >= 200 && this.#status < 300
  }

  #refused(): void {
    this.end(errorOfAnswer(this.#status, this.#retryAfter, this.#explanation))
  }
}

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])

/** @param status of the answer where its head had come */
function errorOfTransport(error: Error, status: number): ApiError {
  const code = codeOf(error)
  const reason = TIMEOUTS.has(code) ? 'TimedOut' : 'Unreachable'
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : []
  const text = error.message || (first instanceof Error ? first.message : '') || code || error.name
  return new ApiError(status, reason, text, { cause: error })
}

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  return new ApiError(0, 'BadAnswer', error instanceof Error ? error.message : String(error), { cause: error })
}

const BROKEN: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])

/** Whether a connection broke before any answer: perhaps one that the server had closed long ago. */
export function brokeBeforeAnswer(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    error.reason === 'Unreachable' &&
    error.status === 0 &&
    error.cause instanceof Error &&
    BROKEN.has(codeOf(error.cause))
  )
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}
