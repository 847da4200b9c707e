/**
 * What a JWT says of itself before its signature is verified (RFC 7515 §3, RFC 7519 §7.2): enough to refuse what is no
 * token, and to choose the keys. Nothing of it is believed.
 */
import { parseClaims, parseUniqueObject } from './unique-members.ts'

/** Characters of a token. Heads are bounded too, and tokens of identity providers with many groups take some 10,000. */
export const MAX_TOKEN = 16_384
const MAX_KEY_ID = 512

export interface TokenHead {
  readonly algorithm: string
  readonly keyId: string | undefined
  /** Not verified; its `iss` selects among several issuers. */
  readonly claims: Readonly<Record<string, unknown>>
}

/** Three parts in base64url without padding; a signature that is empty would be none. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

/**
 * Types of tokens that are made for other places (RFC 8725 §3.11), such as `logout+jwt`, are no credential here; most
 * access tokens say `JWT` or nothing, those of RFC 9068 `at+jwt`.
 */
const TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt'])
/** Of tokens that end sessions (OpenID Connect Back-Channel Logout 1.0 §2.4); some providers say `JWT`. */
export const LOGOUT_TYPES: ReadonlySet<string> = new Set(['jwt', 'logout+jwt'])

/** @returns undefined for what is no token that could be verified here */
export function readTokenHead(token: string, types = TYPES): TokenHead | undefined {
  if (token.length > MAX_TOKEN || !COMPACT.test(token)) return undefined
  const [first, second] = token.split('.', 2) as [string, string]
  const header = parsePart(first, parseUniqueObject)
  const claims = parsePart(second, parseClaims)
  if (header === undefined || claims === undefined) return undefined
  const { alg, kid, typ } = header
  if (typeof alg !== 'string' || alg.toLowerCase() === 'none') return undefined
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KEY_ID)) return undefined
  // Extensions that must be understood (§4.1.11): there is none that is. Compression and detached payloads neither.
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64') || Object.hasOwn(header, 'zip')) return undefined
  if (typ !== undefined && (typeof typ !== 'string' || !types.has(typ.toLowerCase().replace(/^application\//, ''))))
    return undefined
  // RFC 9864 gives the one curve of EdDSA that is served here a name of its own.
  const algorithm = alg === 'Ed25519' ? 'EdDSA' : alg
  return { algorithm, keyId: kid as string | undefined, claims }
}

function parsePart(part: string, parse: typeof parseClaims): ReturnType<typeof parseClaims> {
  const bytes = Buffer.from(part, 'base64url')
  // Other characters of the last place would decode to the same bytes: one token has one spelling.
  if (bytes.toString('base64url') !== part) return undefined
  try {
    return parse(UTF8.decode(bytes))
  } catch {
    return undefined
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
