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

export class ClientBody extends BodyReader {
  /** The client waits for 100 and has sent nothing. */
  continuePending = false

  expect(length: number, continuePending: boolean, limits: HeadLimits): void {
    this.begin(length, limits)
    this.continuePending = continuePending
  }

  /** What is still to come is known to be so little, or nothing, that it can be read and dropped. */
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
