/**
 * Why the API server did not do what was asked, as callers need it: what to do next depends on it, and a person reads
 * it.
 */
import type { Milliseconds } from '../../lib/clock.ts'

/** What `ApiError.reason` is when no answer came that could carry one. */
export type LocalReason =
  /** No connection, or it broke. */
  | 'Unreachable'
  /** No answer, or no end of one, within its time. */
  | 'TimedOut'
  /** An answer that is not what the API promises: not JSON, cut off, too large. */
  | 'BadAnswer'
  /** The credentials could not be read or made. */
  | 'NoCredentials'
  /** The caller does not want the answer any more. */
  | 'Aborted'

export interface ApiErrorOptions extends ErrorOptions {
  /** The server's own wish. */
  readonly retryAfter?: Milliseconds | undefined
}

export class ApiError extends Error {
  /** Of the answer; 0 where there was none. */
  readonly status: number
  /** `reason` of the API server's Status (`Expired`, `Forbidden`, `Conflict`, …), or ours. */
  readonly reason: LocalReason | (string & {})
  readonly retryAfter: Milliseconds | undefined

  constructor(status: number, reason: LocalReason | (string & {}), message: string, options: ApiErrorOptions = {}) {
    super(message, options)
    this.name = 'ApiError'
    this.status = status
    this.reason = reason
    this.retryAfter = options.retryAfter
  }

  /** What was asked for lies too far back: only a new list helps. */
  get expired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone'
  }
}

/** A server that asks for more is not obeyed: it lies, or its clock does. */
const LONGEST_RETRY_AFTER: Milliseconds = 60_000

const MAX_MESSAGE = 400

/**
 * @param retryAfter the header of that name: seconds only, dates are not used by API servers
 * @param body of the answer, or what was read of it
 */
export function errorOfAnswer(status: number, retryAfter: string | undefined, body: string): ApiError {
  const told = parseStatus(body)
  const seconds = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter.trim()) ? Number(retryAfter) : undefined
  const options = { retryAfter: seconds === undefined ? told?.retryAfter : waitOf(seconds) }
  const message = told?.message ?? (plain(body) || 'no explanation')
  return new ApiError(status, told?.reason ?? `Status${status}`, message, options)
}

/** An ERROR event of a watch carries a Status. */
export function errorOfStatus(status: unknown): ApiError {
  const told = readStatus(status)
  if (told === undefined) return new ApiError(0, 'BadAnswer', 'an ERROR event without a Status')
  return new ApiError(told.code, told.reason, told.message, { retryAfter: told.retryAfter })
}

interface Told {
  readonly code: number
  readonly reason: string
  readonly message: string
  readonly retryAfter: Milliseconds | undefined
}

function parseStatus(body: string): Told | undefined {
  if (!body.startsWith('{')) return undefined
  try {
    return readStatus(JSON.parse(body))
  } catch {
    return undefined
  }
}

function readStatus(value: unknown): Told | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kind, code, reason, message, details } = value as Readonly<Record<string, unknown>>
  if (kind !== 'Status') return undefined
  const wait = (details as { retryAfterSeconds?: unknown } | null | undefined)?.retryAfterSeconds
  return {
    code: typeof code === 'number' ? code : 0,
    reason: typeof reason === 'string' && /^[A-Za-z]{1,64}$/.test(reason) ? reason : 'Unknown',
    message: (typeof message === 'string' && plain(message)) || 'no explanation',
    retryAfter: typeof wait === 'number' && wait > 0 ? waitOf(wait) : undefined,
  }
}

function waitOf(seconds: number): Milliseconds {
  return Math.min(seconds * 1_000, LONGEST_RETRY_AFTER)
}

/** One line that can be logged, whatever a server sends. */
function plain(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ').trim()
  return line.length > MAX_MESSAGE ? `${line.slice(0, MAX_MESSAGE)}…` : line
}
