/**
 * The end of a session: by the user (OpenID Connect RP-Initiated Logout 1.0), or by the provider on a way of its own
 * (OpenID Connect Back-Channel Logout 1.0).
 */
import type { PublicOidcClient } from '../../../auth/oidc-client.ts'
import { GatewayError } from '../../../lib/error.ts'
import { Fields } from '../../../message/fields.ts'
import type { LocalResponse } from '../../../message/local-response.ts'
import type { Exchange } from '../../exchange.ts'
import type { ProviderEndpoints, SignInFailure } from '../../sign-ins.ts'
import type { BrowserSessions } from './browser-sessions.ts'
import { isCrossSite, originOf } from './relying-party.ts'
import { failed, redirectTo, signedOut, unavailable } from './responses.ts'
import type { OpenSession } from './session.ts'

/** Of the form with a logout token. */
const MAX_BODY = 32_768
const FORM = 'application/x-www-form-urlencoded'

/** @returns where the provider ends its own session, or that it is done */
export function signOut(
  sessions: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
): LocalResponse | Promise<LocalResponse> {
  if (x.method !== 'GET' && x.method !== 'POST') return failed('SignInFailed', x, 'a session is ended by GET or POST')
  const found = sessions.find(client, x)
  const open = found === 'several' ? undefined : found
  // A page of somebody else could end it by a link, or by an image. The provider comes back when it is over.
  if (isCrossSite(x) && (open !== undefined || !isBack(x)))
    return failed('AccessDenied', x, 'a page of another site asks for the sign-out')
  if (open === undefined && isBack(x)) return signedOut(sessions.endCookies(x))
  const { plan, services } = sessions.party
  const endpoints = sessions.party.endpoints(client)
  const ended = open === undefined ? Promise.resolve() : services.signIns.end(plan.client, endedSession(open))
  return Promise.all([endpoints, ended]).then(([to]) => toProvider(sessions, client, x, open, to))
}

/** The provider sends browsers back with what we gave it as `state`. */
const BACK = 'signed-out'

function isBack(x: Exchange): boolean {
  return new URLSearchParams(x.query).get('state') === BACK
}

function endedSession({ session: { id, began, end, refreshToken } }: OpenSession) {
  return { id, began, until: end, refreshToken }
}

function toProvider(
  sessions: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
  open: OpenSession | undefined,
  to: ProviderEndpoints | SignInFailure,
): LocalResponse {
  const cookies = sessions.endCookies(x)
  // Here it is over whatever the provider says.
  if ('fault' in to || to.endSession === undefined) return signedOut(cookies)
  const query = new URLSearchParams({
    client_id: client.clientID,
    post_logout_redirect_uri: originOf(x.origin) + sessions.party.plan.logoutPath,
    state: BACK,
  })
  if (open !== undefined) query.set('id_token_hint', open.session.idToken)
  const join = to.endSession.includes('?') ? '&' : '?'
  return redirectTo(`${to.endSession}${join}${query}`, cookies, 303)
}

/** §2.5 and §2.8: a form with a token that the provider has signed. A form of a browser has no such token. */
export async function endByProvider(
  sessions: BrowserSessions,
  client: PublicOidcClient,
  x: Exchange,
): Promise<LocalResponse> {
  const type = (x.request.get('content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== FORM) return await signOut(sessions, client, x)
  let form: URLSearchParams
  try {
    form = new URLSearchParams(Buffer.from(await x.readBody(MAX_BODY)).toString('utf8'))
  } catch (error) {
    if (error instanceof GatewayError) throw error
    return refused(x, 'the form cannot be read')
  }
  const tokens = form.getAll('logout_token')
  if (tokens.length === 0) return await signOut(sessions, client, x)
  if (tokens.length > 1) return refused(x, 'logout_token is there twice')
  if (!sessions.mayTry(x)) return failed('TooManyAttempts', x, 'too many logout tokens of this client')
  const failure = await sessions.party.services.signIns.endByToken(sessions.party.plan.client, tokens[0]!)
  if (failure === null) return { status: 200, fields: Fields.from({ 'cache-control': 'no-store' }), body: null }
  return failure.fault === 'unavailable' ? unavailable(x, failure.detail) : refused(x, failure.detail)
}

function refused(x: Exchange, detail: string): LocalResponse {
  const response = failed('SignInFailed', x, detail)
  return { ...response, body: Buffer.from('{"error":"invalid_request"}\n'), fields: jsonFields() }
}

function jsonFields(): Fields {
  return Fields.from({ 'content-type': 'application/json', 'cache-control': 'no-store' })
}
