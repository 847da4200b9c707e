/**
 * The room of sign-ins: answers what workers ask about providers, each question at a provider once for all workers, and
 * tells them which sessions are over.
 */
import { hash } from 'node:crypto'
import { type IdTokenFault, verifyIdToken, verifyLogoutToken } from '../../auth/id-token.ts'
import type { OidcClient } from '../../auth/oidc-client.ts'
import { type SignOut, signOutId } from '../../auth/sign-outs.ts'
import type { VerificationKey } from '../../auth/verification-keys.ts'
import { OwnedLru } from '../../cache/owned-lru.ts'
import type { Clock, Milliseconds } from '../../lib/clock.ts'
import type { ProviderClient } from '../../policy/provider-client.ts'
import {
  type CodeRedemption,
  clientKey,
  type EndedSession,
  type IssuedTokens,
  type SessionRefresh,
  type SignInAnswer,
  type SignInClient,
  type SignInFailure,
  type SignInQuestion,
} from '../../policy/sign-ins.ts'
import type { ToWorker } from '../../thread/messages.ts'
import type { ProviderMetadata } from './provider-metadata.ts'
import { Providers, type ProviderUnavailable } from './providers.ts'
import { callTokenEndpoint, revoke, type TokenCall, type TokenResponse, unavailable } from './token-endpoint.ts'

export interface SignInRoomOptions {
  readonly http: ProviderClient
  readonly time: Clock
  /** The client that a Secret describes; undefined while there is none that can be used. */
  readonly clientOf: (client: SignInClient) => OidcClient | undefined
  readonly send: (message: ToWorker) => void
}

/** Of a refresh: for requests that come with the cookie from before it, to any worker. */
const KEPT: Milliseconds = 60_000
const REFRESHED_BYTES = 8 * 1024 * 1024
const ENTRY_BYTES = 512
/** As long as sessions last. */
const SIGN_OUT_LIFE: Milliseconds = 7 * 86_400_000

type Refreshed = IssuedTokens | SignInFailure

interface Call extends TokenCall {
  readonly provider: ProviderMetadata
}

export class SignIns {
  readonly #options: SignInRoomOptions
  readonly #providers: Providers
  readonly #refreshes = new Map<string, Promise<Refreshed>>()
  readonly #refreshed: OwnedLru<Refreshed>
  #started = false

  constructor(options: SignInRoomOptions) {
    this.#options = options
    this.#providers = new Providers({ client: options.http, now: () => options.time.monotonic() })
    this.#refreshed = new OwnedLru(REFRESHED_BYTES, options.time)
  }

  /** The dial guard is known: from now on providers are called. */
  start(): void {
    this.#started = true
  }

  /** Why a provider cannot be used, for the conditions of Routes; it is fetched when that is due. */
  providerFault(namespace: string, issuer: string): string | undefined {
    return this.#started ? this.#providers.faultOf(namespace, issuer) : undefined
  }

  async answer(question: SignInQuestion): Promise<SignInAnswer> {
    const call = await this.#callOf(question.client)
    if (question.ask === 'end') return this.#end(question.client, question.session, 'fault' in call ? undefined : call)
    if ('fault' in call) return call
    switch (question.ask) {
      case 'endpoints': {
        const { authorization, endSession, namesIssuer } = call.provider
        return { authorization, endSession, namesIssuer }
      }
      case 'redeem':
        return await this.#redeem(call, question.redemption)
      case 'refresh':
        return await this.#refresh(call, question.client, question.refresh)
      case 'end-by-token':
        return await this.#endByToken(call, question.client, question.token)
    }
  }

  async #callOf(of: SignInClient): Promise<Call | SignInFailure> {
    if (!this.#started) return unavailable('the control thread has just begun')
    const client = this.#options.clientOf(of)
    if (client === undefined) return unavailable('the Secret of the client is missing or cannot be used')
    const provider = await this.#providers.metadata(of.namespace, client.issuer)
    if ('unavailable' in provider) return unavailable(`the provider cannot be used: ${provider.unavailable}`)
    return { http: this.#options.http, owner: of.namespace, client, provider }
  }

  /** OpenID Connect Core 1.0 §3.1.3. */
  async #redeem(call: Call, redemption: CodeRedemption): Promise<IssuedTokens | SignInFailure> {
    const { code, verifier, redirectURI, nonce } = redemption
    const tokens = await callTokenEndpoint(call, {
      grant_type: 'authorization_code',
      code,
      redirect_uri: redirectURI,
      code_verifier: verifier,
    })
    if ('fault' in tokens) return tokens
    if (tokens.idToken === undefined) return { fault: 'untrusted', detail: 'the provider gives no ID token' }
    return await this.#issued(call, tokens, { nonce })
  }

  #refresh(call: Call, of: SignInClient, refresh: SessionRefresh): Promise<Refreshed> {
    const key = hash('sha256', `${clientKey(of)} ${refresh.refreshToken}`, 'base64url')
    const known = this.#refreshed.get(of.namespace, key)
    if (known !== undefined) return Promise.resolve(known)
    let running = this.#refreshes.get(key)
    if (running === undefined) {
      running = this.#askRefresh(call, refresh)
        .then((outcome) => {
          const size = ENTRY_BYTES + ('fault' in outcome ? 0 : sizeOf(outcome))
          if (!('fault' in outcome) || outcome.fault !== 'unavailable')
            this.#refreshed.set(of.namespace, key, outcome, size, KEPT)
          return outcome
        })
        .finally(() => this.#refreshes.delete(key))
      this.#refreshes.set(key, running)
    }
    return running
  }

  /** §12. */
  async #askRefresh(call: Call, { refreshToken, subject }: SessionRefresh): Promise<Refreshed> {
    const tokens = await callTokenEndpoint(call, { grant_type: 'refresh_token', refresh_token: refreshToken })
    return 'fault' in tokens ? tokens : await this.#issued(call, tokens, { subject })
  }

  async #issued(
    call: Call,
    { idToken, accessToken, refreshToken, expiresIn }: TokenResponse,
    expected: { readonly nonce?: string; readonly subject?: string },
  ): Promise<IssuedTokens | SignInFailure> {
    const issued = this.#options.time.wall()
    if (idToken === undefined) return { idToken, refreshToken, issued, expires: issued + expiresIn * 1_000 }
    const { issuer, clientID } = call.client
    const rules = { issuer, clientID, ...expected, ...(accessToken === undefined ? {} : { accessToken }) }
    const verified = await this.#withKeys(call, (keys) => verifyIdToken(idToken, keys, rules, issued))
    if ('unavailable' in verified) return unavailable(`the keys of the provider: ${verified.unavailable}`)
    if ('fault' in verified) return { fault: 'untrusted', detail: `the ID token is not good (${verified.fault})` }
    return { idToken, refreshToken, issued, expires: Number(verified.claims.exp) * 1_000 }
  }

  /** Once more where the provider may have keys that are not known yet. */
  async #withKeys<Judged extends object>(
    { owner, client: { issuer } }: Call,
    judge: (keys: readonly VerificationKey[]) => Promise<Judged | { readonly fault: IdTokenFault }>,
  ): Promise<Judged | { readonly fault: IdTokenFault } | ProviderUnavailable> {
    const keys = await this.#providers.keys(owner, issuer)
    if ('unavailable' in keys) return keys
    const judged = await judge(keys)
    const unknown = 'fault' in judged && (judged.fault === 'unknown-key' || judged.fault === 'signature')
    if (!unknown || !(await this.#providers.renewKeys(owner, issuer))) return judged
    const renewed = await this.#providers.keys(owner, issuer)
    return 'unavailable' in renewed ? judged : await judge(renewed)
  }

  #end(of: SignInClient, { id, began, until, refreshToken }: EndedSession, call: Call | undefined): null {
    this.#signOut(of, { id: signOutId('session', id), before: began, until })
    if (refreshToken !== undefined && call !== undefined) void revoke(call, refreshToken)
    return null
  }

  /** OpenID Connect Back-Channel Logout 1.0 §2.6, §2.7. */
  async #endByToken(call: Call, of: SignInClient, token: string): Promise<SignInFailure | null> {
    const now = this.#options.time.wall()
    const verified = await this.#withKeys(call, (keys) => verifyLogoutToken(token, keys, call.client, now))
    if ('unavailable' in verified) return unavailable(`the keys of the provider: ${verified.unavailable}`)
    if ('fault' in verified) return { fault: 'untrusted', detail: `the logout token is not good (${verified.fault})` }
    const { sessionID, subject = '', issuedAt } = verified
    const id = sessionID === undefined ? signOutId('sub', subject) : signOutId('sid', sessionID)
    this.#signOut(of, { id, before: issuedAt, until: now + SIGN_OUT_LIFE })
    return null
  }

  #signOut(of: SignInClient, entry: SignOut): void {
    this.#options.send({ type: 'sign-outs', owner: of.namespace, client: clientKey(of), entries: [entry] })
  }
}

function sizeOf({ idToken = '', refreshToken = '' }: IssuedTokens): number {
  return idToken.length + refreshToken.length
}
