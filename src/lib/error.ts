import { REASONS, type Reason, type ReasonInfo } from './reason.ts'

/**
 * The one error class of the data plane. A user's mistake in a manifest is a condition, a caller's
 * mistake is a `TypeError`; everything that ends an exchange early is one of these.
 */
export class GatewayError extends Error {
  readonly reason: Reason
  /** What exactly happened, for the log; never sent to a client. */
  readonly detail: string

  constructor(reason: Reason, detail = '', options?: ErrorOptions) {
    super(detail === '' ? reason : `${reason}: ${detail}`, options)
    this.name = 'GatewayError'
    this.reason = reason
    this.detail = detail
  }

  get info(): ReasonInfo {
    return REASONS[this.reason]
  }

  get status(): number {
    return REASONS[this.reason].status
  }
}
