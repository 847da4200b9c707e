/**
 * Keys that verify tokens, as Secrets and JSON Web Key Sets (RFC 7517) hold them: read, and refused where whoever can
 * guess or look up the other half could make tokens.
 */
import { createPublicKey, createSecretKey, hash, type KeyObject } from 'node:crypto'
import { parseUniqueObject } from './unique-members.ts'

export interface VerificationKey {
  readonly key: KeyObject
  /** Only tokens of these algorithms (RFC 7518 §3.1) are verified with it. */
  readonly algorithms: readonly string[]
  /** Tokens that name another key are not verified with it. */
  readonly id: string | undefined
}

export interface KeyFault {
  /** A clause: what is wrong and what to do. It never has a part of a key. */
  readonly fault: string
}

export type KeysReading = { readonly keys: readonly VerificationKey[] } | KeyFault

export const MAX_KEYS = 64
/**
 * Keys that one token is tried with where nothing tells them apart: each trial is a signature, and whoever sends the
 * token has no claim to that work yet.
 */
export const MAX_TRIALS = 4
export const MAX_KEY_TEXT = 262_144

/** A signature with a key of twice the bits takes three times as long to verify. */
const MAX_MODULUS_BITS = 8_192
const MIN_MODULUS_BITS = 2_048
/**
 * With the exponent 1 everybody can sign, and one as long as the modulus makes a verification as expensive as signing:
 * milliseconds for a token of anybody. Everyone uses 65537.
 */
const MIN_EXPONENT = 3n
const MAX_EXPONENT = 0xffff_ffffn
/** RFC 7518 §3.2: at least as long as the output of the hash. */
const MIN_SECRET_BYTES = 32
export const MAX_SECRET_BYTES = 4_096

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const CURVES: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }

/**
 * SHA-256 of keys that stand in documents everybody has: RFC 7515 appendix A.1 to A.3, RFC 8037 appendix A, and the
 * secrets that jwt.io fills in. Of public keys the DER form.
 */
const PUBLISHED: ReadonlySet<string> = new Set([
  '6fd13c2435a361e7c588cd17f55f5ad3df0177a66c1727a6a200845f4d7ab88c',
  '2bd1bb0c44a897c30a7aa0991cde38d8062fe441de50da0f46825344f602e827',
  '06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9',
  'c8ecc9361a05e285f04c26f9572131a6deab07e9e2b865053c6f75a4d8bd2b32',
  '465d9ad5d5528ebe287b5dce4fb51620833d09b290e49ddcc70ca6c4a0aea01b',
  'db6833593279d7373592ef70e51f3daf048c04475739f8ed024b0821fd9e7fde',
])

export function isPublished(key: KeyObject): boolean {
  return PUBLISHED.has(hash('sha256', key.export({ type: 'spki', format: 'der' }), 'hex'))
}

const PEM = /-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----/g

/** One or several public keys or certificates in PEM: all of them verify, so that a key can be rotated. */
export function readPublicKeys(text: string): KeysReading {
  if (text.length > MAX_KEY_TEXT) return { fault: `it is larger than ${MAX_KEY_TEXT} bytes` }
  const keys: VerificationKey[] = []
  for (const [block, label] of text.matchAll(PEM)) {
    if (label!.endsWith('PRIVATE KEY'))
      return { fault: 'it holds a private key, which must stay with the issuer; store the public key alone' }
    if (keys.length === MAX_KEYS) return { fault: `it has more than ${MAX_KEYS} keys` }
    let key: KeyObject
    try {
      key = createPublicKey(block)
    } catch {
      return { fault: `its block ${keys.length + 1}, ${label}, is damaged or no public key; store keys in PEM` }
    }
    const read = publicKey(key, undefined)
    if ('fault' in read) return { fault: `key ${keys.length + 1} in it ${read.fault}` }
    if (keys.filter(({ algorithms }) => algorithms[0] === read.algorithms[0]).length === MAX_TRIALS)
      return {
        fault: `it has more than ${MAX_TRIALS} keys of one kind; store a JSON Web Key Set, where each has a name`,
      }
    keys.push(read)
  }
  return keys.length === 0 ? { fault: 'it has no public key in PEM (BEGIN PUBLIC KEY)' } : { keys }
}

/** A secret that issuer and gateway share, for HMAC. */
export function readSharedSecret(bytes: Uint8Array): KeysReading {
  if (bytes.length < MIN_SECRET_BYTES || bytes.length > MAX_SECRET_BYTES)
    return { fault: `a shared key has ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} random bytes; make a new one` }
  if (PUBLISHED.has(hash('sha256', bytes, 'hex'))) return { fault: 'its key is published in documents; make a new one' }
  if (new Set(bytes).size < 8) return { fault: 'its key can be guessed; make one of random bytes' }
  // RFC 7518 §3.2: a longer hash needs a longer key.
  const algorithms = ['HS256', ...(bytes.length >= 48 ? ['HS384'] : []), ...(bytes.length >= 64 ? ['HS512'] : [])]
  return { keys: [{ key: createSecretKey(bytes), algorithms, id: undefined }] }
}

/**
 * A JSON Web Key Set. Keys for other uses and of kinds that are not known are passed over (RFC 7517 §5); a set that
 * shows secrets is refused as a whole, since everybody who has read it can make tokens.
 */
export function readKeySet(text: string): KeysReading {
  if (text.length > MAX_KEY_TEXT) return { fault: `it is larger than ${MAX_KEY_TEXT} bytes` }
  const list = parseUniqueObject(text)?.keys
  if (!Array.isArray(list)) return { fault: 'it is no JSON Web Key Set: an object whose member keys is a list' }
  if (list.length > MAX_KEYS) return { fault: `it has more than ${MAX_KEYS} keys` }
  const keys: VerificationKey[] = []
  for (const [i, jwk] of (list as readonly unknown[]).entries()) {
    if (typeof jwk !== 'object' || jwk === null) return { fault: `its key ${i + 1} is no object` }
    const read = readSetKey(jwk)
    if (read === undefined) continue
    if (read === 'secret')
      return { fault: `key ${i + 1} in it is a private or shared key; publish public keys alone, and replace this one` }
    if ('fault' in read) return { fault: `key ${i + 1} in it ${read.fault}` }
    keys.push(read)
  }
  return keys.length === 0 ? { fault: 'none of its keys is a public key for signatures' } : { keys }
}

type JsonWebKey = Readonly<Record<string, unknown>>

/** @returns undefined for a key of another use or kind; `'secret'` for one that must not be shown to anybody */
export function readSetKey(value: unknown): VerificationKey | KeyFault | 'secret' | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const jwk = value as JsonWebKey
  const { kty, use, alg, kid, key_ops: operations } = jwk
  if (kty === 'oct' || ['d', 'k', 'priv'].some((member) => Object.hasOwn(jwk, member))) return 'secret'
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') return undefined
  if (use !== undefined && use !== 'sig') return undefined
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined
  let key: KeyObject
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    // A curve that this OpenSSL does not have, or a damaged key.
    return undefined
  }
  const read = publicKey(key, typeof kid === 'string' ? kid : undefined)
  if ('fault' in read || alg === undefined) return read
  const named = alg === 'Ed25519' ? 'EdDSA' : alg
  const algorithms = read.algorithms.filter((one) => one === named)
  return algorithms.length === 0 ? undefined : { ...read, algorithms }
}

/** @returns the fault as the end of a sentence about the key */
function publicKey(key: KeyObject, id: string | undefined): VerificationKey | KeyFault {
  if (isPublished(key)) return { fault: 'is published in documents with its private half; make a new one' }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  switch (type) {
    case 'rsa': {
      const bits = details?.modulusLength ?? 0
      if (bits < MIN_MODULUS_BITS || bits > MAX_MODULUS_BITS)
        return { fault: `is of RSA with ${bits} bits; ${MIN_MODULUS_BITS} to ${MAX_MODULUS_BITS} may be used` }
      const exponent = details?.publicExponent ?? 0n
      if (exponent < MIN_EXPONENT || exponent > MAX_EXPONENT)
        return { fault: 'is of RSA with a public exponent below 3 or above 2^32; make a key with 65537' }
      return { key, algorithms: RSA, id }
    }
    case 'ec': {
      const algorithm = CURVES[details?.namedCurve ?? '']
      if (algorithm === undefined)
        return { fault: `is of the curve ${details?.namedCurve}; P-256, P-384 and P-521 may be used` }
      return { key, algorithms: [algorithm], id }
    }
    case 'ed25519':
      return { key, algorithms: ['EdDSA'], id }
    default:
      return { fault: `is of the kind ${type}; RSA, elliptic curves and Ed25519 may be used` }
  }
}
