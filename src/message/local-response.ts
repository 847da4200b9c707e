import type { Reason } from '../lib/reason.ts'
import type { Fields } from './fields.ts'

/** A complete response that the gateway gives itself. */
export interface LocalResponse {
  readonly status: number
  readonly fields: Fields
  /** Already encoded; omitted for HEAD, 204 and 304 by the codec. */
  readonly body: Uint8Array | null
  /** Set when it is a refusal: goes to the log and the metrics. */
  readonly reason?: Reason
}
