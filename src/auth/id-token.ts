/**
 * Judges what a provider says of a user: ID tokens (OpenID Connect Core 1.0 §3.1.3.7, §12.2) and logout tokens
 * (OpenID Connect Back-Channel Logout 1.0 §2.6).
 */
import { hash } from 'node:crypto'
import type { Milliseconds } from '../lib/clock.ts'
import { LOGOUT_TYPES, readTokenHead } from './compact-token.ts'
import { type TokenFault, type Verification, verifyToken } from './jwt-verifier.ts'
import type { VerificationKey } from './verification-keys.ts'

export interface IdTokenRules {
  readonly issuer: string
  readonly clientID: string
  /** Of a sign-in; undefined: of a refresh, whose tokens need none. */
  readonly nonce?: string
  /** Of a refresh: whose session it is. */
  readonly subject?: string
  /** Issued beside it: `at_hash` must be its digest, where it is there. */
  readonly accessToken?: string
}

export interface LogoutToken {
  readonly sessionID: string | undefined
  readonly subject: string | undefined
  /** Seconds since the epoch, by the clock of the provider. */
  readonly issuedAt: number
  readonly tokenID: string
}

export type IdTokenFault = TokenFault | 'form' | 'azp' | 'nonce' | 'subject' | 'at_hash' | 'events'

/** Signatures of the provider alone: with a shared secret the client could make them itself. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const CLOCK_SKEW: Milliseconds = 30_000
/** Characters (§2). */
const MAX_SUBJECT = 255
const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'

/** @param now milliseconds since the epoch */
export async function verifyIdToken(
  token: string,
  keys: readonly VerificationKey[],
  rules: IdTokenRules,
  now: number,
): Promise<{ readonly claims: Readonly<Record<string, unknown>> } | { readonly fault: IdTokenFault }> {
  const verified = await verify(token, keys, rules, now)
  if ('fault' in verified) return verified
  const { claims } = verified
  const { aud, azp, nonce, sub, at_hash: atHash } = claims
  if (azp === undefined ? Array.isArray(aud) && aud.length > 1 : azp !== rules.clientID) return { fault: 'azp' }
  if (rules.nonce !== undefined && nonce !== rules.nonce) return { fault: 'nonce' }
  if (!isSubject(sub) || (rules.subject !== undefined && sub !== rules.subject)) return { fault: 'subject' }
  if (typeof claims.iat !== 'number') return { fault: 'claims' }
  if (atHash !== undefined && rules.accessToken !== undefined && atHash !== halfDigest(token, rules.accessToken))
    return { fault: 'at_hash' }
  return { claims }
}

/** @param now milliseconds since the epoch */
export async function verifyLogoutToken(
  token: string,
  keys: readonly VerificationKey[],
  rules: Pick<IdTokenRules, 'issuer' | 'clientID'>,
  now: number,
): Promise<LogoutToken | { readonly fault: IdTokenFault }> {
  const verified = await verify(token, keys, rules, now, LOGOUT_TYPES)
  if ('fault' in verified) return verified
  const { sub, sid, iat, jti, events, nonce } = verified.claims
  const event = typeof events === 'object' && events !== null && Object.hasOwn(events, LOGOUT_EVENT)
  // With a nonce it could pass for an ID token.
  if (!event || nonce !== undefined) return { fault: 'events' }
  if (typeof iat !== 'number' || typeof jti !== 'string' || jti === '') return { fault: 'claims' }
  if (sid === undefined && sub === undefined) return { fault: 'subject' }
  if ((sid !== undefined && !isSubject(sid)) || (sub !== undefined && !isSubject(sub))) return { fault: 'subject' }
  return { sessionID: sid as string | undefined, subject: sub as string | undefined, issuedAt: iat, tokenID: jti }
}

async function verify(
  token: string,
  keys: readonly VerificationKey[],
  { issuer, clientID }: Pick<IdTokenRules, 'issuer' | 'clientID'>,
  now: number,
  types?: ReadonlySet<string>,
): Promise<Verification | { readonly fault: 'form' }> {
  const head = readTokenHead(token, types)
  if (head === undefined) return { fault: 'form' }
  const rules = { issuer, audiences: [clientID], algorithms: ALGORITHMS, clockSkew: CLOCK_SKEW }
  return await verifyToken(token, head, keys, rules, now)
}

function isSubject(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= MAX_SUBJECT
}

/** §3.1.3.6: the left half of the digest by the hash of `alg`. */
function halfDigest(token: string, accessToken: string): string {
  const { alg } = JSON.parse(Buffer.from(token.split('.', 1)[0]!, 'base64url').toString()) as { readonly alg: string }
  const digest = hash(alg === 'EdDSA' ? 'sha512' : `sha${alg.slice(2)}`, accessToken, 'buffer')
  return digest.subarray(0, digest.length / 2).toString('base64url')
}
