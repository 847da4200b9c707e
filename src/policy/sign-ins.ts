/**
 * What signing in at an OpenID provider needs of others than the filter: calls of the provider, which one thread makes
 * for all, and the list of sessions that are over.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** The client that the gateway is at a provider: the Secret that describes it. */
export interface SignInClient {
  readonly namespace: string
  readonly secret: string
}

/** Of the metadata of a provider (OpenID Connect Discovery 1.0 §3): where browsers are sent. */
export interface ProviderEndpoints {
  readonly authorization: string
  readonly endSession: string | undefined
  /** Its responses name it (RFC 9207). */
  readonly namesIssuer: boolean
}

export interface CodeRedemption {
  readonly code: string
  /** RFC 7636 §4.1. */
  readonly verifier: string
  readonly redirectURI: string
  readonly nonce: string
}

export interface SessionRefresh {
  readonly refreshToken: string
  /** Whose session it is, and at which session of the provider. */
  readonly subject: string
}

/** What a provider has issued, verified. */
export interface IssuedTokens {
  /** Undefined where a refresh brings none: the one before stays. */
  readonly idToken: string | undefined
  readonly refreshToken: string | undefined
  /** From when on it is no proof any more, and since when: milliseconds since the epoch. */
  readonly expires: Milliseconds
  readonly issued: Milliseconds
}

/**
 * `unavailable`: the provider, or who calls it, does not answer. `refused`: it does, and says no. `untrusted`: what it
 * says is not to be believed.
 */
export interface SignInFailure {
  readonly fault: 'unavailable' | 'refused' | 'untrusted'
  /** For the access log. */
  readonly detail: string
}

export interface EndedSession {
  /** Of the session itself. */
  readonly id: string
  /** Seconds since the epoch, by the clock of the provider. */
  readonly began: number
  /** Milliseconds since the epoch. */
  readonly until: number
  /** To be revoked at the provider, where it can do that. */
  readonly refreshToken: string | undefined
}

/** Of a session: what may be said to be over. See `signOutId`. */
export interface SessionIdentity {
  readonly ids: readonly string[]
  /** Seconds since the epoch, by the clock of the provider. */
  readonly began: number
}

export interface SignIns {
  /** Random bytes that nobody can guess. */
  random(bytes: number): Uint8Array
  /** Shared by all replicas: another array when it changes. */
  readonly seed: Uint8Array
  endpoints(client: SignInClient): ProviderEndpoints | Promise<ProviderEndpoints | SignInFailure>
  redeem(client: SignInClient, redemption: CodeRedemption): Promise<IssuedTokens | SignInFailure>
  /** Requests for the same session at the same time, of all workers, are one at the provider. */
  refresh(client: SignInClient, refresh: SessionRefresh): Promise<IssuedTokens | SignInFailure>
  /** The user signs out here. */
  end(client: SignInClient, session: EndedSession): Promise<SignInFailure | undefined>
  /** The provider says that sessions are over (OpenID Connect Back-Channel Logout 1.0). */
  endByToken(client: SignInClient, token: string): Promise<SignInFailure | undefined>
  isOver(client: SignInClient, session: SessionIdentity): boolean
}
