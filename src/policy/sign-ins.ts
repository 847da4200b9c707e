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
  /** Whose session it is. */
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

/** What a worker asks the thread that calls providers. */
export type SignInQuestion =
  | { readonly ask: 'endpoints'; readonly client: SignInClient }
  | { readonly ask: 'redeem'; readonly client: SignInClient; readonly redemption: CodeRedemption }
  | { readonly ask: 'refresh'; readonly client: SignInClient; readonly refresh: SessionRefresh }
  | { readonly ask: 'end'; readonly client: SignInClient; readonly session: EndedSession }
  | { readonly ask: 'end-by-token'; readonly client: SignInClient; readonly token: string }

/** `null`: it is done. */
export type SignInAnswer = ProviderEndpoints | IssuedTokens | SignInFailure | null

/** Sessions of one client are over together: its identity in lists. */
export const clientKey = ({ namespace, secret }: SignInClient): string => `${namespace}/${secret}`

export interface SignIns {
  /** Random bytes that nobody can guess. */
  random(bytes: number): Uint8Array
  /** Shared by all replicas: another array when it changes. */
  readonly seed: Uint8Array
  /** @param issuer of the client: another one has other endpoints */
  endpoints(client: SignInClient, issuer: string): ProviderEndpoints | Promise<ProviderEndpoints | SignInFailure>
  redeem(client: SignInClient, redemption: CodeRedemption): Promise<IssuedTokens | SignInFailure>
  /** Requests for the same session at the same time, of all workers, are one at the provider. */
  refresh(client: SignInClient, refresh: SessionRefresh): Promise<IssuedTokens | SignInFailure>
  /** The user signs out here. */
  end(client: SignInClient, session: EndedSession): Promise<SignInFailure | null>
  /** The provider says that sessions are over (OpenID Connect Back-Channel Logout 1.0). */
  endByToken(client: SignInClient, token: string): Promise<SignInFailure | null>
  isOver(client: SignInClient, session: SessionIdentity): boolean
}
