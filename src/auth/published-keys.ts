/**
 * What identity providers publish: key sets (RFC 7517) and the metadata that leads to them (OpenID Connect Discovery
 * 1.0 §3, RFC 8414). Nothing of it is believed: public keys alone are taken out, in a form and order of our own, so
 * that a set that says the same is the same text.
 */
import type { KeyObject } from 'node:crypto'
import { parseUniqueObject } from './unique-members.ts'
import { MAX_KEY_TEXT, MAX_KEYS, readSetKey, type VerificationKey } from './verification-keys.ts'

export interface PublicationFault {
  /** A clause about the server: what is wrong. */
  readonly fault: string
  /**
   * The provider itself says that its keys must not be used: what was known before is void. Otherwise what it sent says
   * nothing about keys, and those of before go on.
   */
  readonly withdrawn: boolean
}

/** `text`: a JSON Web Key Set of the usable keys. */
export type PublishedKeys = { readonly text: string } | PublicationFault

export interface ProviderMetadata {
  readonly issuer: string
  /** `jwks_uri`. */
  readonly keysAddress: string
}

/** Characters of `jwks_uri`, and of an issuer. */
const MAX_ADDRESS = 2_048
/** No token can name a longer one. */
const MAX_KEY_ID = 512

/** @param body of a response with the status 200 */
export function readPublishedKeys(body: Uint8Array): PublishedKeys {
  const list = objectOf(body)?.keys
  if (!Array.isArray(list)) return { fault: `${NO_OBJECT} whose member keys is a list`, withdrawn: false }
  if (list.length > MAX_KEYS) return { fault: `it has ${list.length} keys; ${MAX_KEYS} may be used`, withdrawn: false }
  const texts = new Set<string>()
  for (const [i, jwk] of (list as readonly unknown[]).entries()) {
    const read = readSetKey(jwk)
    if (read === 'secret')
      return { fault: `its key ${i + 1} is a private or shared key, so that everybody can sign`, withdrawn: true }
    // Keys of other kinds, and those that are too weak, verify nothing; the others in the set go on (RFC 7517 §5).
    if (read !== undefined && !('fault' in read) && (read.id?.length ?? 0) <= MAX_KEY_ID) texts.add(textOf(read))
  }
  if (texts.size === 0) return { fault: 'none of its keys is a public key that may be used', withdrawn: true }
  return { text: `{"keys":[${[...texts].sort().join(',')}]}` }
}

const NO_OBJECT = 'what it sends is no JSON object'

export function readProviderMetadata(body: Uint8Array): ProviderMetadata | PublicationFault {
  const { issuer, jwks_uri: keysAddress } = objectOf(body) ?? {}
  const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= MAX_ADDRESS
  if (isText(issuer) && isText(keysAddress) && URL.canParse(keysAddress)) return { issuer, keysAddress }
  return { fault: `${NO_OBJECT} with issuer and jwks_uri`, withdrawn: false }
}

function objectOf(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  if (body.length > MAX_KEY_TEXT) return undefined
  try {
    return parseUniqueObject(UTF8.decode(body))
  } catch {
    return undefined
  }
}

function textOf({ key, algorithms, id }: VerificationKey): string {
  const { kty, crv, n, e, x, y } = (key as KeyObject).export({ format: 'jwk' })
  const alg = algorithms.length === 1 ? algorithms[0] : undefined
  return JSON.stringify({ kid: id, kty, alg, crv, n, e, x, y })
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })
