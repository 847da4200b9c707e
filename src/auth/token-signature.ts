/**
 * Signatures of tokens (RFC 7518 §3). With most keys a verification takes less time than the way to a thread of the
 * pool and back, so it is done at once; keys that take longer are left to jose, which asks the pool.
 */
import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto'
import { compactVerify, errors } from 'jose'

/** 66 µs; 8,192 bits take 240 µs. On the machine where P-256 takes 64 µs, P-384 620 µs, and Ed25519 105 µs. */
const MAX_QUICK_BITS = 4_096
const QUICK_CURVE = 'prime256v1'
const P256_SIGNATURE_BYTES = 64

/** Begins work that takes long, in its turn. */
export type Turn = (work: () => Promise<boolean>) => Promise<boolean>

/** @returns a promise only with keys that take long */
export function isSigned(
  token: string,
  key: KeyObject,
  algorithm: string,
  turn: Turn = (work) => work(),
): boolean | Promise<boolean> {
  const end = token.lastIndexOf('.')
  const text = token.slice(end + 1)
  const signature = Buffer.from(text, 'base64url')
  // One signature has one spelling.
  if (signature.toString('base64url') !== text) return false
  if (!isQuick(key)) return turn(() => isSignedLater(token, key, algorithm))
  const signed = Buffer.from(token.slice(0, end), 'latin1')
  switch (algorithm.slice(0, 2)) {
    case 'RS':
      return verify(hashOf(algorithm), signed, key, signature)
    case 'PS':
      return verify(hashOf(algorithm), signed, { key, ...PSS }, signature)
    case 'ES':
      return (
        signature.length === P256_SIGNATURE_BYTES &&
        verify(hashOf(algorithm), signed, { key, dsaEncoding: 'ieee-p1363' }, signature)
      )
    case 'HS': {
      const made = createHmac(hashOf(algorithm), key).update(signed).digest()
      return made.length === signature.length && timingSafeEqual(made, signature)
    }
    case 'Ed':
      return verify(null, signed, key, signature)
    default:
      throw new TypeError(`no algorithm of tokens: ${algorithm}`)
  }
}

/** RFC 7518 §3.5. */
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }

const hashOf = (algorithm: string): string => `sha${algorithm.slice(2)}`

function isQuick({ type, asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === 'secret') return true
  if (asymmetricKeyType === 'rsa') return (details?.modulusLength ?? Number.POSITIVE_INFINITY) <= MAX_QUICK_BITS
  return asymmetricKeyType === 'ed25519' || details?.namedCurve === QUICK_CURVE
}

async function isSignedLater(token: string, key: KeyObject, algorithm: string): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [algorithm] })
    return true
  } catch (error) {
    if (error instanceof errors.JOSEError) return false
    throw error
  }
}
