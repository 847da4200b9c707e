import type { Reason } from '../lib/reason.ts'
import type { BodySink, BodySource } from './body.ts'
import type { Fields } from './fields.ts'

/** A response that the gateway gives itself. */
export interface LocalResponse {
  readonly status: number
  readonly fields: Fields
  /** Already encoded; omitted for HEAD, 204 and 304 by the codec. */
  readonly body: Uint8Array | BodySource | null
  /** Set when it is a refusal: goes to the log and the metrics. */
  readonly reason?: Reason
}

/** One whose body is in memory as a whole. */
export interface CompleteResponse extends LocalResponse {
  readonly body: Uint8Array | null
}

export function isComplete(response: LocalResponse): response is CompleteResponse {
  return response.body === null || response.body instanceof Uint8Array
}

/** Of a body that nobody will read: a stream lets go of what it holds. */
export function discardBody({ body }: LocalResponse): void {
  if (body !== null && !(body instanceof Uint8Array)) body.start(DEAF).abort()
}

const DEAF: BodySink = { write: () => false, end() {}, fail() {} }
