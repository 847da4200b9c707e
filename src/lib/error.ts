import { REASONS, type Reason, type ReasonInfo } from './reason.ts'

/**
 * The only error class of the data plane: every failure that ends an exchange early is one. A user's error in a
 * manifest is a condition, a caller's error a `TypeError`.
 */
export class GatewayError extends Error {
  readonly reason: Reason
  /** Details of the failure, for the log; never sent to a client. */
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
