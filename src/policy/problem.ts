/**
 * Refusals as `application/problem+json` (RFC 9457): the body is prebuilt for every reason but for the id of the
 * request.
 */

import { REASON_LIST, REASONS, type Reason } from '../lib/reason.ts'
import { Fields } from '../message/fields.ts'
import type { CompleteResponse } from '../message/local-response.ts'

const TYPE_BASE = 'https://headgate.dev/errors/'

/** Up to the value of `instance`, and from there. */
interface ProblemFrame {
  readonly before: string
  readonly after: string
}

const FRAMES: ReadonlyMap<Reason, ProblemFrame> = new Map(REASON_LIST.map((reason) => [reason, frameOf(reason)]))

function frameOf(reason: Reason): ProblemFrame {
  const { status, title } = REASONS[reason]
  const text = JSON.stringify({ type: problemType(reason), title, status, instance: '\u0000', reason })
  const [before, after] = text.split('\\u0000') as [string, string]
  return { before, after: `${after}\n` }
}

/** The URI that names a kind of problem; it need not lead anywhere (RFC 9457 §3.1.1). */
export function problemType(reason: Reason): string {
  return TYPE_BASE + reason
}

/**
 * @param reason one with a status: after `ClientGone` nothing can be answered
 * @param x whose id becomes `instance`: a relative reference (RFC 9457 §3.1.5), so the same text as in the access log
 */
export function problemResponse(reason: Reason, x: { readonly id: string }): CompleteResponse {
  const frame = FRAMES.get(reason)!
  const fields = new Fields()
  fields.add('content-type', 'application/problem+json')
  // 404, 405, 414 and 501 may be cached without being asked (RFC 9110 §15.1); a refusal ends with the edit that caused
  // it.
  fields.add('cache-control', 'no-store')
  // RFC 9110 §15.5.6: a 405 must say what is allowed.
  if (reason === 'ConnectNotAllowed') fields.add('allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  // An id is made of characters that JSON does not escape: request-id.ts sees to it.
  const body = Buffer.from(frame.before + x.id + frame.after, 'utf8')
  return { status: REASONS[reason].status, fields, body, reason }
}
