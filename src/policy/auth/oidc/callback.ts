/**
 * The way back from the provider (OpenID Connect Core 1.0 §3.1.2.5, RFC 9207): a code that this browser has asked for
 * is redeemed, and the browser goes on to the page that it wanted.
 */
import type { PublicOidcClient } from '../../../auth/oidc-client.ts'
import type { LocalResponse } from '../../../message/local-response.ts'
import type { Exchange } from '../../exchange.ts'
import type { IssuedTokens, SignInFailure } from '../../sign-ins.ts'
import type { BrowserSessions } from './browser-sessions.ts'
import { originOf } from './relying-party.ts'
import { failed, pageTo, redirectTo, unavailable } from './responses.ts'
import { beginSession } from './session.ts'
import {
  type Browser,
  browserSetCookie,
  browsersOf,
  countSignIn,
  openState,
  type SignInState,
} from './sign-in-state.ts'

/** Characters; codes of real providers have some hundreds. */
const MAX_CODE = 4_096
const SESSION_ID_BYTES = 16

interface Answer {
  readonly state: SignInState
  readonly browser: Browser
  readonly code: string
}

export function finishSignIn(
  sessions: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
): LocalResponse | Promise<LocalResponse> {
  const endpoints = sessions.party.endpoints(client)
  if (endpoints instanceof Promise)
    return endpoints.then((late) =>
      'fault' in late ? unavailable(x, late.detail) : finish(sessions, client, x, late.namesIssuer),
    )
  return finish(sessions, client, x, endpoints.namesIssuer)
}

function finish(
  sessions: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
  namesIssuer: boolean,
): LocalResponse | Promise<LocalResponse> {
  if (x.method !== 'GET') return failed('SignInFailed', x, 'the way back from the provider is not a GET')
  const query = new URLSearchParams(x.query)
  for (const name of ['state', 'code', 'error', 'iss'])
    if (query.getAll(name).length > 1) return failed('SignInFailed', x, `${name} is there twice`)
  const answer = readAnswer(sessions, client, x, query, namesIssuer)
  if (!('code' in answer)) return answer
  // The same address once more, by the back button: its code has been used.
  const open = sessions.find(client, x)
  if (typeof open === 'object' && sessions.isAlive(open)) return redirectTo(originOf(x.origin) + answer.state.path, [])
  if (!sessions.mayTry(x)) return failed('TooManyAttempts', x, 'too many sign-ins of this client')
  const { party } = sessions
  const redemption = {
    code: answer.code,
    verifier: answer.state.verifier,
    redirectURI: originOf(x.origin) + party.plan.redirectPath,
    nonce: answer.state.nonce,
  }
  return party.services.signIns
    .redeem(party.plan.client, redemption)
    .then((tokens) => complete(sessions, client, x, answer, tokens))
}

/** Everything that can be judged without the provider. */
function readAnswer(
  { party }: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
  query: URLSearchParams,
  namesIssuer: boolean,
): Answer | LocalResponse {
  const now = party.services.clock.wall()
  const state = openState(party, client, x.host, query.get('state') ?? '', now)
  if (state === undefined) return failed('SignInFailed', x, 'state is missing, too old or not of this host')
  const browser = browsersOf(party, client, x, now, state.browser).find(({ id }) => id === state.browser)
  if (browser === undefined) return failed('SignInFailed', x, 'state is of another browser')
  const issuer = query.get('iss')
  if (issuer === null ? namesIssuer : issuer !== client.issuer)
    return failed('SignInFailed', x, 'iss is missing or names another provider')
  const error = query.get('error')
  if (error !== null) return failed('SignInRefused', x, `the provider says ${printable(error)}`)
  const code = query.get('code') ?? ''
  if (code === '' || code.length > MAX_CODE) return failed('SignInFailed', x, 'code is missing or too long')
  return { state, browser, code }
}

function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?').slice(0, 64)
}

function complete(
  sessions: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
  { state, browser }: Answer,
  tokens: IssuedTokens | SignInFailure,
): LocalResponse {
  if ('fault' in tokens)
    return tokens.fault === 'unavailable' ? unavailable(x, tokens.detail) : failed('SignInFailed', x, tokens.detail)
  const { clock, signIns } = sessions.party.services
  const now = clock.wall()
  const id = Buffer.from(signIns.random(SESSION_ID_BYTES)).toString('base64url')
  const session = beginSession(id, tokens, now)
  const cookies = session === undefined ? undefined : sessions.cookiesOf(client, x, session)
  if (cookies === undefined) return failed('SignInFailed', x, 'the tokens are longer than cookies can be')
  const set = [...cookies, browserSetCookie(sessions.party, client, x, countSignIn(browser, now))]
  const location = originOf(x.origin) + state.path
  return sessions.party.plan.cookie.sameSite === 'Strict' ? pageTo(location, set) : redirectTo(location, set)
}
