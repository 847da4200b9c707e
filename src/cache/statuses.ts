/** What a cache has to know of statuses (RFC 9111 §3, RFC 9110 §15). */

/** RFC 9110 §15.1, with an estimated lifetime where none is stated. */
const HEURISTIC: ReadonlySet<number> = new Set([200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501])

/** Of RFC 9110 §15, RFC 7725 and RFC 8297's relatives: those whose meaning for a cache is known here. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  ...HEURISTIC,
  ...[
    201, 202, 205, 302, 303, 305, 307, 400, 402, 403, 406, 409, 411, 413, 415, 422, 424, 451, 500, 502, 503, 504, 505,
  ],
])

/**
 * Never stored, whatever the response says. They answer what is no part of a key: a precondition (304, 412), a
 * difference that the client can apply (226: RFC 3229 §10.4.1), a range (416), an expectation (417), a credential (401,
 * 407), a connection (408, 421, 425, 426), a client's own doing (428, 429, 431, 511: RFC 6585 §3 to §6 forbids it).
 */
const NEVER_STORED: ReadonlySet<number> = new Set([
  226, 304, 401, 407, 408, 412, 416, 417, 421, 425, 426, 428, 429, 431, 511,
])

export const PARTIAL_CONTENT = 206

export function isHeuristicallyCacheable(status: number): boolean {
  return HEURISTIC.has(status)
}

/** For `must-understand` (RFC 9111 §5.2.2.3). */
export function isUnderstood(status: number): boolean {
  return UNDERSTOOD.has(status)
}

/** Final (RFC 9110 §15), and no answer to something that the key does not hold. */
export function isStorable(status: number): boolean {
  return status >= 200 && status <= 599 && !NEVER_STORED.has(status)
}
