/** The error of a request to the API server. Callers decide by its reason; its message is shown to users. */
import type { Milliseconds } from '../../lib/clock.ts'

/** The values of `ApiError.reason` when no response carries one. */
export type ClientReason =
  /** The connection failed or broke. */
  | 'Unreachable'
  /** The response did not arrive, or did not end, within its timeout. */
  | 'TimedOut'
  /** The response violates the API's contract: not JSON, truncated, too large. */
  | 'BadAnswer'
  /** The credentials could not be read or obtained. */
  | 'NoCredentials'
  /** The caller cancelled the request. */
  | 'Aborted'

export interface ApiErrorOptions extends ErrorOptions {
  /** `Retry-After` of the response, or `retryAfterSeconds` of its Status. */
  readonly retryAfter?: Milliseconds | undefined
}

export class ApiError extends Error {
  /** Status code of the response; 0 without a response. */
  readonly status: number
  /** `reason` of the API server's Status (`Expired`, `Forbidden`, `Conflict`, …), or a `ClientReason`. */
  readonly reason: ClientReason | (string & {})
  readonly retryAfter: Milliseconds | undefined

  constructor(status: number, reason: ClientReason | (string & {}), message: string, options: ApiErrorOptions = {}) {
    super(message, options)
    this.name = 'ApiError'
    this.status = status
    this.reason = reason
    this.retryAfter = options.retryAfter
  }

  /** The requested resourceVersion is too old: a new list is needed. */
  get expired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone'
  }
}

/** Upper bound on the Retry-After that is honoured. */
const LONGEST_RETRY_AFTER: Milliseconds = 60_000

const MAX_MESSAGE = 400

/**
 * @param retryAfter the header of that name: seconds only, since API servers send no dates
 * @param body of the response, or the part that was read
 */
export function errorFromResponse(status: number, retryAfter: string | undefined, body: string): ApiError {
  const told = parseStatus(body)
  const seconds = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter.trim()) ? Number(retryAfter) : undefined
  const options = { retryAfter: seconds === undefined ? told?.retryAfter : waitOf(seconds) }
  const message = told?.message ?? (singleLine(body) || 'no explanation')
  return new ApiError(status, told?.reason ?? `Status${status}`, message, options)
}

/** An ERROR event of a watch carries a Status. */
export function errorFromStatus(status: unknown): ApiError {
  const told = readStatus(status)
  if (told === undefined) return new ApiError(0, 'BadAnswer', 'an ERROR event without a Status')
  return new ApiError(told.code, told.reason, told.message, { retryAfter: told.retryAfter })
}

interface ApiStatus {
  readonly code: number
  readonly reason: string
  readonly message: string
  readonly retryAfter: Milliseconds | undefined
}

function parseStatus(body: string): ApiStatus | undefined {
  if (!body.startsWith('{')) return undefined
  try {
    return readStatus(JSON.parse(body))
  } catch {
    return undefined
  }
}

function readStatus(value: unknown): ApiStatus | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kind, code, reason, message, details } = value as Readonly<Record<string, unknown>>
  if (kind !== 'Status') return undefined
  const wait = (details as { retryAfterSeconds?: unknown } | null | undefined)?.retryAfterSeconds
  return {
    code: typeof code === 'number' ? code : 0,
    reason: typeof reason === 'string' && /^[A-Za-z]{1,64}$/.test(reason) ? reason : 'Unknown',
    message: (typeof message === 'string' && singleLine(message)) || 'no explanation',
    retryAfter: typeof wait === 'number' && wait > 0 ? waitOf(wait) : undefined,
  }
}

function waitOf(seconds: number): Milliseconds {
  return Math.min(seconds * 1_000, LONGEST_RETRY_AFTER)
}

/** Reduces text from the server to one line of bounded length, without control characters, for the log. */
function singleLine(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}…` : line
}
