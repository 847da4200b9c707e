/**
 * How fields are encoded, by their names. Indexed are only names whose values are known to repeat and to be no secret:
 * on a connection to an upstream the fields of many clients share one table, and who can watch its size and send
 * requests of their own could test guesses (RFC 7541 §7.1).
 */
import { STATIC_ENTRIES } from './hpack-static-table.ts'

/** Literal, without indexing. */
export const LITERAL = 0
/** Put into the dynamic table once a value has come twice. */
export const INDEXED = 1
/** A credential: nobody who passes it on may index it (RFC 7541 §7.1.3). */
export const NEVER_INDEXED = 2
/** Is about one HTTP/1.1 connection (RFC 9113 §8.2.2), or is said by a pseudo-header field: not sent. */
export const UNSENT = 3

export type IndexingPolicy = typeof LITERAL | typeof INDEXED | typeof NEVER_INDEXED | typeof UNSENT

export interface KnownName {
  readonly id: number
  readonly name: string
  readonly policy: IndexingPolicy
  /** In the static table; 0 = not there. */
  readonly index: number
  /** Values that stand there with it: value, index, … */
  readonly entries: readonly (readonly [value: string, index: number])[]
}

const REPEATING = `:authority :method :scheme accept accept-charset accept-encoding accept-language accept-ranges
  access-control-allow-credentials access-control-allow-headers access-control-allow-methods
  access-control-allow-origin access-control-expose-headers access-control-max-age allow alt-svc cache-control cdn-loop
  content-encoding content-language content-security-policy content-type cross-origin-embedder-policy
  cross-origin-opener-policy cross-origin-resource-policy date expires grpc-accept-encoding grpc-encoding grpc-status
  origin permissions-policy pragma priority referrer-policy sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform
  sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user server strict-transport-security timing-allow-origin
  trailer upgrade-insecure-requests user-agent vary via x-content-type-options x-forwarded-host x-forwarded-port
  x-forwarded-proto x-frame-options x-powered-by x-xss-protection`.split(/\s+/)

const CREDENTIALS = `authentication-info authorization cookie cookie2 proxy-authentication-info proxy-authorization
  set-cookie x-amz-security-token x-api-key x-auth-token x-csrf-token x-forwarded-access-token x-xsrf-token`.split(
  /\s+/,
)

const CONNECTION = 'connection host http2-settings keep-alive proxy-connection te transfer-encoding upgrade'.split(' ')

const KNOWN: readonly KnownName[] = (() => {
  const names = new Set([...STATIC_ENTRIES.map(([name]) => name), ...REPEATING, ...CREDENTIALS, ...CONNECTION])
  return [...names].map((name, id): KnownName => {
    const policy = CONNECTION.includes(name)
      ? UNSENT
      : CREDENTIALS.includes(name)
        ? NEVER_INDEXED
        : REPEATING.includes(name)
          ? INDEXED
          : LITERAL
    const entries = STATIC_ENTRIES.flatMap(([entry, value], at): [string, number][] =>
      entry === name && value !== '' ? [[value, at + 1]] : [],
    )
    return { id, name, policy, index: STATIC_ENTRIES.findIndex(([entry]) => entry === name) + 1, entries }
  })
})()

const BY_NAME: ReadonlyMap<string, KnownName> = new Map(KNOWN.map((known) => [known.name, known]))

const BUCKETS: (KnownName[] | undefined)[] = new Array(256)
for (const known of KNOWN) {
  const { name } = known
  const key = bucketOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1))
  ;(BUCKETS[key] ??= []).push(known)
}

function bucketOf(length: number, first: number, last: number): number {
  return (length * 67 + first * 5 + last * 23) & 0xff
}

/** @param name in lower case */
export function knownName(name: string): KnownName | undefined {
  return BY_NAME.get(name)
}

/** @param bytes the name in them may be in any case */
export function knownNameIn(bytes: Buffer, start: number, end: number): KnownName | undefined {
  const length = end - start
  const bucket = BUCKETS[bucketOf(length, lower(bytes[start]!), lower(bytes[end - 1]!))]
  if (bucket === undefined) return undefined
  next: for (let i = 0; i < bucket.length; i++) {
    const known = bucket[i]!
    const { name } = known
    if (name.length !== length) continue
    for (let at = 0; at < length; at++) if (lower(bytes[start + at]!) !== name.charCodeAt(at)) continue next
    return known
  }
  return undefined
}

export function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}
