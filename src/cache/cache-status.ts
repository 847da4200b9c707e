/** `Cache-Status` (RFC 9211): a structured field (RFC 9651), one member for each cache that handled a request. */

/** Why a request was sent on (RFC 9211 §2.2). */
export type Forwarded =
  /** Configured not to be handled. */
  | 'bypass'
  /** The method's semantics require it. */
  | 'method'
  /** Nothing is stored for the URI. */
  | 'uri-miss'
  /** What is stored for the URI does not match by `Vary`. */
  | 'vary-miss'
  /** Nothing is stored, and why is not told apart. */
  | 'miss'
  /** Fresh, but the request does not allow its use. */
  | 'request'
  /** Stored and stale. */
  | 'stale'
  /** A part of it is stored, and not all that is asked for. */
  | 'partial'

/** Either it was a hit, or `forwarded` says why not. */
export interface CacheStatus {
  readonly forwarded?: Forwarded
  /** Status of the response to the forwarded request, where it differs from the one that is sent (§2.3). */
  readonly forwardedStatus?: number
  /** Seconds of freshness that are left, negative when it is stale (§2.4). */
  readonly ttl?: number
  /** It is stored now (§2.5). */
  readonly stored?: boolean
  /** It waited for the request of another client (§2.6). */
  readonly collapsed?: boolean
  /** For callers who may see it (§2.7, §6). */
  readonly key?: string
  /** For callers who may see it (§2.8). */
  readonly detail?: string
}

const MAX_TEXT = 512
const TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/

/**
 * The member of this cache, to be added behind those that came with the response: they stay (§2).
 *
 * @param name in the syntax of a token
 */
export function cacheStatusMember(name: string, status: CacheStatus): string {
  const isPlain = status.ttl !== undefined && status.collapsed !== true && status.stored !== true
  if (isPlain && status.forwarded === undefined && status.forwardedStatus === undefined && status.key === undefined)
    if (status.detail === undefined) return hitMember(name, status.ttl)
  if (isStoredMiss(status)) return missMember(name, status.forwarded!)
  const { forwarded, forwardedStatus, ttl, stored, collapsed, key, detail } = status
  let member = forwarded === undefined ? `${name};hit` : `${name};fwd=${forwarded}`
  if (forwardedStatus !== undefined) member += `;fwd-status=${forwardedStatus}`
  if (ttl !== undefined) member += `;ttl=${wholeNumber(ttl)}`
  if (stored === true) member += ';stored'
  if (collapsed === true) member += ';collapsed'
  if (key !== undefined) member += `;key=${text(key)}`
  if (detail !== undefined) member += `;detail=${TOKEN.test(detail) ? detail : text(detail)}`
  return member
}

let hitName = ''
let hitTtl = Number.NaN
let hitText = ''

/** Of a hit, of which nothing else is told: many hits in a second have the same. */
function hitMember(name: string, ttl: number): string {
  if (ttl !== hitTtl || name !== hitName) {
    hitText = `${name};hit;ttl=${wholeNumber(ttl)}`
    hitName = name
    hitTtl = ttl
  }
  return hitText
}

/** Of a response that was asked for and is stored, nothing else is told. */
function isStoredMiss({ forwarded, forwardedStatus, ttl, stored, collapsed, key, detail }: CacheStatus): boolean {
  if (forwarded === undefined || stored !== true || collapsed === true || ttl !== undefined) return false
  return forwardedStatus === undefined && key === undefined && detail === undefined
}

let missName = ''
let missWhy = ''
let missText = ''

function missMember(name: string, forwarded: string): string {
  if (forwarded !== missWhy || name !== missName) {
    missText = `${name};fwd=${forwarded};stored`
    missName = name
    missWhy = forwarded
  }
  return missText
}

/** RFC 9651 §3.3.1: at most 15 digits. */
function wholeNumber(value: number): number {
  return Math.max(-999_999_999_999_999, Math.min(999_999_999_999_999, Math.trunc(value)))
}

/** RFC 9651 §3.3.3: visible ASCII and spaces; anything else is written as `%XX` of its UTF-8 bytes. */
function text(value: string): string {
  const shown = value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT - 3)}...` : value
  return `"${shown.replaceAll(/[^\x20-\x7e]+/gu, percent).replaceAll(/["\\]/g, '\\$&')}"`
}

function percent(characters: string): string {
  let escaped = ''
  for (const byte of Buffer.from(characters, 'utf8')) escaped += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return escaped
}
