/**
 * Verifies tokens of one issuer (RFC 7519 §7.2, RFC 8725). The signature and the claims are judged by jose; which keys
 * and algorithms may be used is decided here, before a token has a say in it.
 */
import { errors, type JWTPayload, jwtVerify } from 'jose'
import type { Milliseconds } from '../lib/clock.ts'
import type { TokenHead } from './compact-token.ts'
import { MAX_TRIALS, type VerificationKey } from './verification-keys.ts'

export interface JwtRules {
  readonly issuer: string
  /** One of them must be in `aud`. */
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  /** Tolerance for `exp`, `nbf` and `iat`. */
  readonly clockSkew: Milliseconds
}

/** Why a token is no credential. */
export type TokenFault =
  | 'expired'
  | 'not-yet-valid'
  | 'issuer'
  | 'audience'
  | 'claims'
  | 'algorithm'
  | 'unknown-key'
  | 'signature'

const CLAIM_FAULTS: Readonly<Record<string, TokenFault>> = { iss: 'issuer', aud: 'audience', nbf: 'not-yet-valid' }

export interface VerifiedToken {
  readonly claims: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch: from then on it is no credential; the tolerance is in it. */
  readonly expires: number
}

export type Verification = VerifiedToken | { readonly fault: TokenFault }

/** @param now milliseconds since the epoch */
export async function verifyToken(
  token: string,
  { algorithm, keyId }: TokenHead,
  keys: readonly VerificationKey[],
  { issuer, audiences, algorithms, clockSkew }: JwtRules,
  now: number,
): Promise<Verification> {
  if (!algorithms.includes(algorithm)) return { fault: 'algorithm' }
  const candidates = keys
    .filter((key) => key.algorithms.includes(algorithm) && (keyId === undefined || (key.id ?? keyId) === keyId))
    .slice(0, MAX_TRIALS)
  if (candidates.length === 0) return { fault: 'unknown-key' }
  const options = {
    issuer,
    audience: [...audiences],
    algorithms: [algorithm],
    clockTolerance: clockSkew / 1_000,
    currentDate: new Date(now),
    // Without them jose would accept a token that never expires, or is for nobody in particular.
    requiredClaims: ['exp', 'iss', 'aud'],
  }
  for (const { key } of candidates)
    try {
      const { payload } = await jwtVerify(token, key, options)
      return judgeTimes(payload, clockSkew, now)
    } catch (error) {
      const fault = faultOf(error)
      if (fault !== 'signature') return { fault }
    }
  return { fault: 'signature' }
}

/** A token of the future was made by a clock that is wrong, or by somebody who wants it to last. */
function judgeTimes(payload: JWTPayload, clockSkew: Milliseconds, now: number): Verification {
  const { exp, iat } = payload
  if (iat !== undefined && iat * 1_000 > now + clockSkew) return { fault: 'not-yet-valid' }
  return { claims: payload as Readonly<Record<string, unknown>>, expires: exp! * 1_000 + clockSkew }
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (error instanceof errors.JWTClaimValidationFailed) return CLAIM_FAULTS[error.claim] ?? 'claims'
  if (error instanceof errors.JWTInvalid) return 'claims'
  return 'signature'
}
