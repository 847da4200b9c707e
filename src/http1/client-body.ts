/**
 * The body that a client sends behind its request's head, and what that means for its connection once the response is
 * complete.
 */
import { BodyReader } from '../http/body-reader.ts'
import type { HeadLimits } from '../message/head.ts'
import type { RequestRest } from '../transport/downstream.ts'

/**
 * An unread rest of a request body up to this size is read and dropped to keep the connection; beyond, it is closed.
 */
const DISCARD_BYTES = 64 * 1024
/** Milliseconds for that. */
export const DISCARD = 2_000

export class ClientBody extends BodyReader {
  /** The client waits for 100 Continue and has sent no body. */
  continuePending = false

  expect(length: number, continuePending: boolean, limits: HeadLimits): void {
    this.begin(length, limits)
    this.continuePending = continuePending
  }

  /** The rest of the body is known to be small enough to be read and discarded. */
  get smallRest(): boolean {
    return !this.continuePending && this.remaining <= DISCARD_BYTES
  }

  /**
   * Whether the connection can be kept when the response is complete before the body is. A final response instead of
   * 100: the client may or may not send its body, so it cannot (RFC 9110 §10.1.1).
   */
  keepsConnection(rest: RequestRest): boolean {
    return rest === 'taken' ? !this.continuePending : rest === 'dropped' && this.smallRest
  }
}
