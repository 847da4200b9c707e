/** A session of a browser: everything that is known of it stands in its cookie, sealed. */

import { signOutId } from '../../../auth/sign-outs.ts'
import { parseClaims } from '../../../auth/unique-members.ts'
import type { Milliseconds } from '../../../lib/clock.ts'
import type { IssuedTokens, SessionIdentity } from '../../sign-ins.ts'

export interface Session {
  readonly id: string
  /** Of the session at the provider, which tokens of a refresh need not name. */
  readonly sid: string | undefined
  /** Issue of the first ID token: seconds since the epoch, by the clock of the provider. */
  readonly began: number
  /** Milliseconds since the epoch: no refresh goes beyond it. */
  readonly end: number
  /** Until when the ID token is a proof, and from when on it is refreshed. */
  readonly expires: number
  readonly renew: number
  readonly idToken: string
  readonly refreshToken: string | undefined
}

export interface OpenSession {
  readonly session: Session
  /** Of the ID token. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly subject: string
  readonly identity: SessionIdentity
}

/** However often it is refreshed: then the provider is asked who it is again. */
const MAX_SESSION: Milliseconds = 7 * 86_400_000
/** A refresh is due when this part of the life of a token is left. */
const RENEW_PART = 0.2

/** @returns undefined where the tokens are none of a sign-in */
export function beginSession(id: string, tokens: IssuedTokens, now: number): Session | undefined {
  const { idToken } = tokens
  if (idToken === undefined) return undefined
  const { iat, sid } = claimsOf(idToken) ?? {}
  return {
    id,
    sid: typeof sid === 'string' ? sid : undefined,
    began: Number(iat),
    end: now + MAX_SESSION,
    ...timesOf(tokens),
    idToken,
    refreshToken: tokens.refreshToken,
  }
}

export function refreshSession(session: Session, tokens: IssuedTokens): Session {
  const { idToken = session.idToken, refreshToken = session.refreshToken } = tokens
  return { ...session, idToken, refreshToken, ...timesOf(tokens) }
}

function timesOf({ issued, expires }: IssuedTokens): Pick<Session, 'expires' | 'renew'> {
  return { expires, renew: expires - (expires - issued) * RENEW_PART }
}

/** When the cookie of it is of no use any more. */
export function endOf({ refreshToken, expires, end }: Session): number {
  return refreshToken === undefined ? Math.min(expires, end) : end
}

export function writeSession(session: Session): string {
  return JSON.stringify(session)
}

/** @param text of {@link writeSession}, which nobody else can have made */
export function readSession(text: string): OpenSession | undefined {
  const { refreshToken, sid, ...rest } = JSON.parse(text) as Session
  const session: Session = { ...rest, refreshToken, sid }
  const claims = claimsOf(session.idToken)
  if (claims === undefined) return undefined
  const { id, began } = session
  const subject = String(claims.sub)
  const ids = [signOutId('session', id), signOutId('sub', subject)]
  if (sid !== undefined) ids.push(signOutId('sid', sid))
  return { session, claims, subject, identity: { ids, began } }
}

/** Of a token that was verified. */
function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  return parseClaims(Buffer.from(token.split('.', 2)[1] ?? '', 'base64url').toString('utf8'))
}
