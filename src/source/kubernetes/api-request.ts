/** Sends one request to the API server and streams its response; every wait is bounded. */
import type { Dispatcher } from 'undici'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { ApiError, errorFromResponse } from './api-error.ts'

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly origin: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Until the response's head has arrived. */
  readonly headersTimeout: Milliseconds
  /** Longest silence within the body; 0 = unlimited. */
  readonly bodyTimeout: Milliseconds
  /** For the whole exchange; absent = unlimited. */
  readonly deadline?: Milliseconds
}

/** Consumes a response with a status of 200 to 299. An exception ends the request. */
export interface ResponseReceiver {
  /** The head has arrived. */
  begin?(): void
  /** Further data is held back until the returned promise resolves. */
  data(chunk: Buffer): Promise<void> | undefined
}

/** Bytes of an error's body that are read for its message. */
const MAX_ERROR_BYTES = 65_536

/**
 * @returns when the body is complete by its framing
 * @throws {ApiError} on any failure; `Aborted` when `signal` fires
 */
export function sendRequest(
  dispatcher: Dispatcher,
  call: ApiRequest,
  receiver: ResponseReceiver,
  time: Pick<TimerClock, 'after'>,
  signal?: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const running = new InFlightRequest(receiver, () => {
    cancelDeadline?.()
    signal?.removeEventListener('abort', abort)
    if (running.failure === undefined) resolve()
    else reject(running.failure)
  })
  const abort = (): void => running.end(new ApiError(0, 'Aborted', 'the request was cancelled'))
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

class InFlightRequest implements Dispatcher.DispatchHandler {
  readonly #receiver: ResponseReceiver
  readonly #done: () => void
  #controller: Dispatcher.DispatchController | undefined
  #status = 0
  #retryAfter: string | undefined
  #errorBody = ''
  #over = false
  failure: ApiError | undefined

  constructor(receiver: ResponseReceiver, done: () => void) {
    this.#receiver = receiver
    this.#done = done
  }

  /** Ends the request once; later calls have no effect. */
  end(failure?: ApiError): void {
    if (this.#over) return
    this.#over = true
    this.failure = failure
    if (failure !== undefined) this.#controller?.abort(failure)
    this.#done()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // Aborted while it waited for a connection.
    if (this.#over) controller.abort(this.failure ?? new Error('over'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, unknown>): void {
    // Interim responses precede the final one.
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
      const room = MAX_ERROR_BYTES - this.#errorBody.length
      if (room > 0) this.#errorBody += chunk.toString('utf8', 0, Math.min(chunk.length, room))
      else this.#failWithResponse()
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
    else this.#failWithResponse()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    // A partial error body still explains the failure.
    if (this.#status !== 0 && !this.#ok) this.#failWithResponse()
    else this.end(transportError(error, this.#status))
  }

  get #ok(): boolean {
    return this.#status >= 200 && this.#status < 300
  }

  #failWithResponse(): void {
    this.end(errorFromResponse(this.#status, this.#retryAfter, this.#errorBody))
  }
}

const TIMEOUTS: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])

/** @param status of the response, 0 before its head */
function transportError(error: Error, status: number): ApiError {
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

/** Whether the connection broke before any response, which happens when the server has closed an idle connection. */
export function brokeBeforeResponse(error: unknown): boolean {
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
