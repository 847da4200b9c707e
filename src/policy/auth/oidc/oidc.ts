/**
 * `auth.oidc`: signs browsers in at an OpenID provider (OpenID Connect Core 1.0 §3.1) and knows them again by a sealed
 * cookie. A request that comes with one is judged without a promise, until its token is to be refreshed.
 */
import type { PublicOidcClient } from '../../../auth/oidc-client.ts'
import type { LocalResponse } from '../../../message/local-response.ts'
import type { Exchange } from '../../exchange.ts'
import type { FilterServices } from '../../services.ts'
import type { ProviderEndpoints, SignInFailure } from '../../sign-ins.ts'
import { type LeaseState, leaseState } from '../lease.ts'
import type { AuthMethod, Field, Identity, Judgement } from '../method.ts'
import { BrowserSessions } from './browser-sessions.ts'
import { finishSignIn } from './callback.ts'
import type { OidcPlan } from './plan.ts'
import { SessionRefreshes } from './refresh.ts'
import { keepsCookies, originOf, RelyingParty, wantsPage } from './relying-party.ts'
import { failed, redirectTo, unavailable } from './responses.ts'
import { type OpenSession, readSession, type Session, writeSession } from './session.ts'
import { SESSION_COOKIES } from './session-cookies.ts'
import { browserSetCookie, browsersOf, challengeOf, goesInCircles, newBrowser, newState } from './sign-in-state.ts'
import { endByProvider, signOut } from './sign-out.ts'

/** A response with somebody's cookies is in no cache between here and the browser, whatever the backend says. */
const UNSTORED: readonly Field[] = [
  ['cache-control', 'no-store'],
  // RFC 9213.
  ['cdn-cache-control', 'no-store'],
]

export class OidcMethod implements AuthMethod {
  readonly from = []
  readonly kept = false
  readonly claimsToHeaders = []
  readonly answers = true
  readonly sessions = true
  /** There is no registered one for sessions. */
  readonly scheme = 'Session'
  readonly #party: RelyingParty
  readonly #sessions: BrowserSessions
  readonly #refreshes: SessionRefreshes
  /** Of sessions that were opened, made once. */
  readonly #identities = new WeakMap<OpenSession, Identity>()

  constructor(plan: OidcPlan, owner: string, services: FilterServices) {
    this.#party = new RelyingParty(plan, services)
    this.#sessions = new BrowserSessions(this.#party, owner)
    this.#refreshes = new SessionRefreshes(this.#party, owner)
  }

  get wants(): string {
    return `the session of a browser that has signed in (Secret ${this.#party.plan.client.secret})`
  }

  claims(): boolean {
    return false
  }

  judge(): Judgement {
    return { fault: 'invalid' }
  }

  /** What is asked of the two paths of its own; undefined for every other. */
  serve(x: Exchange): LocalResponse | Promise<LocalResponse> | undefined {
    const { redirectPath, logoutPath } = this.#party.plan
    if (x.originalPath !== redirectPath && x.originalPath !== logoutPath) return undefined
    const { client } = this.#party
    if (client === undefined) return unavailable(x)
    if (x.originalPath === logoutPath)
      return x.method === 'POST' ? endByProvider(this.#sessions, client, x) : signOut(this.#sessions, client, x)
    // Nobody was sent there by the provider: a link to sign in.
    return x.query === undefined || x.query === '' ? this.#begin(x, '/') : finishSignIn(this.#sessions, client, x)
  }

  /** Who the session of the request belongs to. */
  judgeExchange(x: Exchange): Judgement | Promise<Judgement> | undefined {
    if (x.get(SESSION_COOKIES) === undefined) return undefined
    const { client } = this.#party
    if (client === undefined) return { response: unavailable(x) }
    const open = this.#sessions.find(client, x)
    if (open === undefined) return undefined
    if (open === 'several') return { response: failed('CredentialAmbiguous', x, 'a session cookie is there twice') }
    return this.#judge(x, client, open)
  }

  #judge(x: Exchange, client: PublicOidcClient, open: OpenSession): Judgement | Promise<Judgement> | undefined {
    if (!this.#sessions.isAlive(open)) return undefined
    const { session } = open
    if (session.refreshToken === undefined || session.renew > this.#party.services.clock.wall())
      return this.#identityOf(client, open)
    const refreshed = this.#refreshes.of(open)
    return refreshed instanceof Promise
      ? refreshed.then((late) => this.#renew(x, client, open, late))
      : this.#renew(x, client, open, refreshed)
  }

  /** The session goes on with what its refresh has brought, or as it is while it is still good. */
  #renew(
    x: Exchange,
    client: PublicOidcClient,
    open: OpenSession,
    found: Session | SignInFailure,
  ): Judgement | Promise<Judgement> {
    const now = this.#party.services.clock.wall()
    if ('fault' in found) {
      // A provider that says no has ended the session.
      if (found.fault !== 'unavailable') return this.#over(x)
      return open.session.expires > now ? this.#identityOf(client, open) : { response: unavailable(x, found.detail) }
    }
    const renewed = readSession(writeSession(found))
    const cookies = this.#sessions.cookiesOf(client, x, found)
    if (renewed === undefined || cookies === undefined || found.expires <= now) return this.#over(x)
    // It may have been ended while it was refreshed.
    if (!this.#sessions.isAlive(renewed)) return this.#over(x)
    const set = cookies.map((cookie) => ['set-cookie', cookie] as const)
    return { ...this.#identityOf(client, renewed), responseFields: [...set, ...UNSTORED] }
  }

  #over(x: Exchange): Judgement | Promise<Judgement> {
    const begun = this.begin(x)
    if (begun instanceof Promise) return begun.then((response) => ({ response }))
    return begun === undefined ? { fault: 'expired' } : { response: begun }
  }

  /** A browser is sent to the provider; a script could not follow, and is told that it needs a credential. */
  begin(x: Exchange): LocalResponse | Promise<LocalResponse> | undefined {
    if (!wantsPage(x)) return undefined
    return this.#begin(x, x.query === undefined ? x.originalPath : `${x.originalPath}?${x.query}`)
  }

  #begin(x: Exchange, path: string): LocalResponse | Promise<LocalResponse> {
    const { client } = this.#party
    if (client === undefined) return unavailable(x)
    if (!keepsCookies(x.origin)) return failed('ClearTextClosed', x, 'browsers keep no session of a page in clear text')
    const endpoints = this.#party.endpoints(client)
    return endpoints instanceof Promise
      ? endpoints.then((late) => this.#redirect(x, client, late, path))
      : this.#redirect(x, client, endpoints, path)
  }

  /** OpenID Connect Core 1.0 §3.1.2.1, RFC 7636 §4.3. */
  #redirect(x: Exchange, client: PublicOidcClient, to: ProviderEndpoints | SignInFailure, path: string): LocalResponse {
    if ('fault' in to) return unavailable(x, to.detail)
    const party = this.#party
    const now = party.services.clock.wall()
    const [known] = browsersOf(party, client, x, now)
    const browser = { ...(known ?? newBrowser(party, now)), at: now }
    if (goesInCircles(browser, now)) return failed('SignInFailed', x, 'the browser does not keep its session')
    const state = newState(party, browser, path, now)
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: client.clientID,
      redirect_uri: originOf(x.origin) + party.plan.redirectPath,
      scope: party.plan.scopes.join(' '),
      state: party.seal('state', client, x.host, JSON.stringify(state)),
      nonce: state.nonce,
      code_challenge: challengeOf(state),
      code_challenge_method: 'S256',
    })
    const join = to.authorization.includes('?') ? '&' : '?'
    return redirectTo(`${to.authorization}${join}${query}`, [browserSetCookie(party, client, x, browser)])
  }

  #identityOf(client: PublicOidcClient, open: OpenSession): Identity {
    let identity = this.#identities.get(open)
    if (identity !== undefined) return identity
    const key = this.#party.keyFor(client)
    identity = { claims: open.claims, ambient: true, lease: { look: () => this.#left(open, key) } }
    this.#identities.set(open, identity)
    return identity
  }

  /** What lasts longer than its request has no cookie to be renewed: it ends with the token that it began with. */
  #left(open: OpenSession, key: Uint8Array): LeaseState {
    const { client, services } = this.#party
    if (client === undefined || Buffer.compare(this.#party.keyFor(client), key) !== 0) return 'CredentialInvalid'
    if (!this.#sessions.isAlive(open)) return 'CredentialInvalid'
    return leaseState(open.session.expires, services.clock.wall())
  }
}
