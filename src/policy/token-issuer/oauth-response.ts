/** Responses of the issuer's endpoints: JSON that nobody may store (RFC 6749 §5), and errors by registered names. */
import type { Reason } from '../../lib/reason.ts'
import { Fields } from '../../message/fields.ts'
import type { CompleteResponse } from '../../message/local-response.ts'

/** RFC 6749 §5.2, RFC 7009 §2.2.1, RFC 8707 §2. */
export type OAuthError =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unauthorized_client'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'temporarily_unavailable'

/** Why a request is refused: the error for the client, and more for the access log alone. */
export class OAuthRefusal extends Error {
  override readonly name = 'OAuthRefusal'
  readonly error: OAuthError
  /** For the client: what to do, without anything that it does not know. */
  readonly description: string
  /** For those who run the gateway. */
  readonly detail: string
  /** Seconds; present: it is the client's own doing that it has to wait. */
  readonly retryAfter: number | undefined

  constructor(error: OAuthError, description: string, detail = description, retryAfter?: number) {
    super(detail)
    this.error = error
    this.description = description
    this.detail = detail
    this.retryAfter = retryAfter
  }
}

/** Seconds. */
const RETRY_AFTER = '1'

export function refusalResponse(refusal: OAuthRefusal, realm: string): CompleteResponse {
  const { error, description, detail, retryAfter } = refusal
  const status = statusOf(refusal)
  const response = jsonResponse(status, { error, error_description: description })
  // RFC 9110 §11.6.1 wants a challenge with every 401. A host in normal form needs no escapes.
  if (status === 401) response.fields.add('www-authenticate', `Basic realm="${realm}", charset="UTF-8"`)
  if (status === 503) response.fields.add('retry-after', RETRY_AFTER)
  if (retryAfter !== undefined) response.fields.add('retry-after', String(retryAfter))
  const reason = status === 429 ? 'TooManyAttempts' : (REASON_OF[error] ?? 'TokenRequestRefused')
  return { ...response, reason, verbatim: true, detail: `${error}: ${detail}` }
}

function statusOf({ error, retryAfter }: OAuthRefusal): number {
  if (retryAfter !== undefined) return 429
  if (error === 'invalid_client') return 401
  return error === 'temporarily_unavailable' ? 503 : 400
}

const REASON_OF: Readonly<Partial<Record<OAuthError, Reason>>> = {
  invalid_client: 'CredentialInvalid',
  temporarily_unavailable: 'AuthUnavailable',
}

export function jsonResponse(status: number, value: object): CompleteResponse {
  const fields = new Fields()
  fields.add('content-type', 'application/json')
  fields.add('cache-control', 'no-store')
  fields.add('pragma', 'no-cache')
  return { status, fields, body: Buffer.from(`${JSON.stringify(value)}\n`) }
}

/** @param maxAge seconds for which it may be kept */
export function publicResponse(body: Uint8Array, maxAge: number): CompleteResponse {
  const fields = new Fields()
  fields.add('content-type', 'application/json')
  fields.add('cache-control', `public, max-age=${maxAge}`)
  return { status: 200, fields, body }
}
