/**
 * Observers of attempts: counts in flight, ejections, latency averages. The wiring gives one; it is called for every
 * attempt, on the path of every request, and must not throw.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { Reason } from '../lib/reason.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'

export interface AttemptObserver {
  /**
   * Whether a request may go to an endpoint that was picked: to one on trial, a single request of all workers may.
   * Where it may, an attempt starts in the same turn of the loop.
   */
  admits?(backend: LinkedBackend, endpoint: Endpoint): boolean
  /** Whether the last request of an endpoint failed, or it has just ended a connection that lay idle. */
  isSuspect?(backend: LinkedBackend, endpoint: Endpoint): boolean
  attemptStarted(backend: LinkedBackend, endpoint: Endpoint): void
  /**
   * The head of the response has come.
   *
   * @param status of HTTP, or what `grpc-status` stands for where the head says that the call failed
   * @param took milliseconds since the attempt started
   */
  attemptAnswered?(backend: LinkedBackend, endpoint: Endpoint, status: number, took: number): void
  /** Exactly once for each attempt that started. @param outcome valid during the call: the object is reused */
  attemptEnded(outcome: Readonly<AttemptOutcome>): void
}

/** Times are monotonic milliseconds, -1 when the attempt never came so far. */
export interface AttemptOutcome {
  backend: LinkedBackend
  endpoint: Endpoint
  /**
   * Why the attempt ended before its response was complete: a fault of the endpoint (`ConnectFailure`,
   * `ResponseHeadTimeout`), or of somebody else (`ClientGone`, `BodyTooLarge`). Null when the response was complete, or
   * the gateway needed no more of it.
   */
  failure: Reason | null
  /** Status of the response; 0 when none came. */
  status: number
  /** `grpc-status` of the endpoint's response to a call of gRPC; -1 where there is none. */
  grpcStatus: number
  /** The endpoint had all of the request and time enough, and its response was awaited when the attempt ended. */
  unanswered: boolean
  /** The endpoint waited for the client a second or more, so that it may have broken off for that. */
  slowClient: boolean
  /** The connection had served an exchange before. */
  reused: boolean
  /** The attempt began to look for a connection. */
  startedAt: number
  /** The request's head went to a connection. */
  sentAt: number
  /** The response's head came. */
  headAt: number
  endedAt: number
}
