/**
 * Verifies tokens of one issuer (RFC 7519 §7.2, RFC 8725). Which keys and algorithms may be used is decided before a
 * token has a say in it.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { TokenHead } from './compact-token.ts'
import { isSigned, type Turn } from './token-signature.ts'
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

export interface VerifiedToken {
  readonly claims: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch: from then on it is no credential; the tolerance is in it. */
  readonly expires: number
}

export type Verification = VerifiedToken | { readonly fault: TokenFault }

/** @param now milliseconds since the epoch @returns a promise only with keys that take long */
export function verifyToken(
  token: string,
  head: TokenHead,
  keys: readonly VerificationKey[],
  rules: JwtRules,
  now: number,
  turn?: Turn,
): Verification | Promise<Verification> {
  const { algorithm, keyId, claims } = head
  if (!rules.algorithms.includes(algorithm)) return { fault: 'algorithm' }
  const candidates = keys
    .filter((key) => key.algorithms.includes(algorithm) && (keyId === undefined || (key.id ?? keyId) === keyId))
    .slice(0, MAX_TRIALS)
  if (candidates.length === 0) return { fault: 'unknown-key' }
  const judge = (signed: boolean): Verification => (signed ? judgeClaims(claims, rules, now) : { fault: 'signature' })
  const signed = isSignedByOne(token, candidates, algorithm, turn)
  return typeof signed === 'boolean' ? judge(signed) : signed.then(judge)
}

function isSignedByOne(
  token: string,
  [first, ...others]: readonly VerificationKey[],
  algorithm: string,
  turn: Turn | undefined,
): boolean | Promise<boolean> {
  if (first === undefined) return false
  const signed = isSigned(token, first.key, algorithm, turn)
  if (typeof signed === 'boolean') return signed || isSignedByOne(token, others, algorithm, turn)
  return signed.then((late) => late || isSignedByOne(token, others, algorithm, turn))
}

/** RFC 7519 §4.1; `iss`, `aud` and `exp` must be there. */
function judgeClaims(
  claims: TokenHead['claims'],
  { issuer, audiences, clockSkew }: JwtRules,
  now: number,
): Verification {
  const { iss, aud, exp, nbf, iat } = claims
  if (iss !== issuer) return { fault: 'issuer' }
  if (!audiences.some((audience) => (Array.isArray(aud) ? aud.includes(audience) : aud === audience)))
    return { fault: 'audience' }
  if (!isDate(exp)) return { fault: 'claims' }
  if ((nbf !== undefined && !isDate(nbf)) || (iat !== undefined && !isDate(iat))) return { fault: 'claims' }
  if (nbf !== undefined && nbf * 1_000 > now + clockSkew) return { fault: 'not-yet-valid' }
  const expires = exp * 1_000 + clockSkew
  if (expires <= now) return { fault: 'expired' }
  // A token of the future was made by a clock that is wrong, or by somebody who wants it to last.
  if (iat !== undefined && iat * 1_000 > now + clockSkew) return { fault: 'not-yet-valid' }
  return { claims, expires }
}

/** Seconds since the epoch, with parts of one (RFC 7519 §2); `1e999` in a text is no time. */
function isDate(value: unknown): value is number {
  return Number.isFinite(value)
}
