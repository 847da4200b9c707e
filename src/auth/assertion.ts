/**
 * Assertions (RFC 7523 §3): a JWT by which a client proves who it is, or that stands for a grant. Besides what holds
 * for every token it is for nobody but us, lives shortly, and has an id by which it is used once.
 */
import { decodeProtectedHeader } from 'jose'
import type { Milliseconds } from '../lib/clock.ts'
import { readTokenHead } from './compact-token.ts'
import { verifyToken } from './jwt-verifier.ts'
import type { Turn } from './token-signature.ts'
import type { VerificationKey } from './verification-keys.ts'

export interface Assertion {
  readonly subject: string
  readonly id: string
  /** For how long its id has to be remembered. */
  readonly life: Milliseconds
}

export interface AssertionRules {
  readonly issuer: string
  readonly keys: readonly VerificationKey[]
  /** Names of ours: it must be for one of them, and for nobody else (RFC 7523 §3, item 3). */
  readonly audiences: readonly string[]
}

/** From now to its `exp`. */
export const MAX_ASSERTION_LIFE: Milliseconds = 3_600_000
const CLOCK_SKEW: Milliseconds = 30_000
const MAX_ID = 256
const MAX_SUBJECT = 256

/** HMAC is none of them: its key would have to be stored as it is. */
export const ASSERTION_ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
]

/** The issuer that it names, which has to be proved. */
export function issuerOf(assertion: string): string | undefined {
  const iss = readTokenHead(assertion)?.claims.iss
  return typeof iss === 'string' ? iss : undefined
}

/** Why it is none, for the access log; never with a part of it. */
export interface AssertionFault {
  readonly fault: string
  /** Its signature is not good, which took time to find out. */
  readonly forged: boolean
}

export async function verifyAssertion(
  text: string,
  { issuer, keys, audiences }: AssertionRules,
  now: number,
  turn?: Turn,
): Promise<Assertion | AssertionFault> {
  const head = readTokenHead(text)
  if (head === undefined) return faulty('it is no token (JWT) in the form that is accepted')
  // Access tokens (RFC 9068) are no assertions, whoever has made them.
  const { typ = 'JWT' } = decodeProtectedHeader(text)
  if (typ.toLowerCase() !== 'jwt') return faulty('its typ is not that of an assertion')
  const rules = { issuer, audiences, algorithms: ASSERTION_ALGORITHMS, clockSkew: CLOCK_SKEW }
  const verified = await verifyToken(text, head, keys, rules, now, turn)
  if ('fault' in verified)
    return { fault: `it is not valid: ${verified.fault}`, forged: verified.fault === 'signature' }
  const { aud, jti, sub } = verified.claims
  if ((Array.isArray(aud) ? aud : [aud]).some((one) => !audiences.includes(one as string)))
    return faulty('its aud names somebody else, too')
  if (typeof sub !== 'string' || sub === '' || sub.length > MAX_SUBJECT) return faulty('its sub is missing or too long')
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_ID) return faulty('its jti is missing or too long')
  const life = verified.expires - now
  if (life > MAX_ASSERTION_LIFE + CLOCK_SKEW)
    return faulty(`its exp is more than ${MAX_ASSERTION_LIFE / 60_000} minutes away`)
  return { subject: sub, id: jti, life }
}

function faulty(fault: string): AssertionFault {
  return { fault, forged: false }
}
