/** The heads of messages, whatever carries them. */
import type { Fields } from './fields.ts'

/** A response head, from the upstream or made here. */
export interface ResponseHead {
  status: number
  readonly fields: Fields
  /** Bytes of the body to come, undefined when not known in advance. */
  bodyLength: number | undefined
}

/** Whether a response may have this status and be the last of its request (RFC 9110 §15). */
export function isFinalStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 599
}

/** Bounds of the heads that a peer may send. */
export interface HeadLimits {
  /** Bytes of the whole head. */
  readonly head: number
  /** Number of fields. */
  readonly headers: number
  /** Bytes of the request target. */
  readonly uri: number
}
