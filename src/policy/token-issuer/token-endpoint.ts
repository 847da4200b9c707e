/** `token`: an access token for a client's own rights, for an assertion, or for a refresh token (RFC 6749 §3.2). */
import { issuerOf } from '../../auth/assertion.ts'
import type { Grant } from '../../auth/grant-store.ts'
import { GRANT_TYPES, type GrantType, type OAuthClient } from '../../auth/oauth-clients.ts'
import {
  FAMILY_BYTES,
  familyOf,
  parseRefreshToken,
  refreshDigest,
  SECRET_BYTES,
  successorOf,
  writeRefreshToken,
} from '../../auth/refresh-token.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Exchange } from '../exchange.ts'
import { useOnce } from './client-authentication.ts'
import type { Form } from './form.ts'
import type { Issuer } from './issuer.ts'
import { OAuthRefusal } from './oauth-response.ts'

/** RFC 6749 §5.1. */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: 'Bearer'
  readonly expires_in: number
  readonly scope?: string
  readonly refresh_token?: string
}

/**
 * In which a token that has a successor may come once more, and gets the same successor: the response may have been
 * lost. From the successor's first use on it may not, since then it has arrived.
 */
export const REFRESH_GRACE: Milliseconds = 10_000

const GRANTS: Readonly<
  Record<GrantType, (form: Form, client: OAuthClient, issuer: Issuer, x: Exchange) => Promise<TokenResponse>>
> = {
  [GRANT_TYPES.clientCredentials]: async (form, client, issuer) =>
    begin(issuer, client, {
      ...{ client: client.id, subject: client.id, assertionIssuer: '' },
      ...{ scopes: scopesOf(form, client.scopes), audiences: audiencesOf(form, client.audiences) },
    }),
  [GRANT_TYPES.jwtBearer]: byAssertion,
  [GRANT_TYPES.refreshToken]: refresh,
}

export async function grantToken(x: Exchange, form: Form, client: OAuthClient, issuer: Issuer): Promise<TokenResponse> {
  const type = form.need('grant_type')
  if (!Object.hasOwn(GRANTS, type))
    throw new OAuthRefusal('unsupported_grant_type', `grant_type is one of ${Object.keys(GRANTS).join(', ')}`)
  if (!client.grantTypes.includes(type as GrantType))
    throw new OAuthRefusal(
      'unauthorized_client',
      'the client may not use this grant_type',
      `client ${client.id}: ${type}`,
    )
  return await GRANTS[type as GrantType](form, client, issuer, x)
}

/** All that may be granted where none is asked for (RFC 6749 §3.3). */
function scopesOf(form: Form, allowed: readonly string[]): readonly string[] {
  const asked = form
    .get('scope')
    ?.split(' ')
    .filter((scope) => scope !== '')
  if (asked === undefined) return allowed
  if (asked.some((scope) => !allowed.includes(scope)))
    throw new OAuthRefusal('invalid_scope', 'a scope is asked for that the client may not have')
  return allowed.filter((scope) => asked.includes(scope))
}

/**
 * By `resource` (RFC 8707) or `audience`. A client with several has to say for which: a token for all of them is good
 * for whoever gets it to ask the others.
 */
function audiencesOf(form: Form, allowed: readonly string[]): readonly string[] {
  const asked = [...form.all('resource'), ...form.all('audience')]
  if (asked.some((one) => !allowed.includes(one)))
    throw new OAuthRefusal('invalid_target', 'a resource or audience is asked for that the client may not have')
  if (asked.length > 0) return allowed.filter((one) => asked.includes(one))
  if (allowed.length > 1)
    throw new OAuthRefusal('invalid_target', 'the client has several audiences: name one by resource or audience')
  return allowed
}

async function byAssertion(form: Form, client: OAuthClient, issuer: Issuer, x: Exchange): Promise<TokenResponse> {
  const text = form.need('assertion')
  const refusal = (detail: string) => new OAuthRefusal('invalid_grant', 'the assertion is not accepted', detail)
  const named = issuerOf(text)
  const trusted = client.assertionIssuers.find((one) => one.issuer === named)
  if (trusted === undefined) throw refusal(`the assertion is of no issuer that client ${client.id} may present`)
  const verified = await issuer.verifyAssertion(text, trusted, x.clientAddress)
  if ('fault' in verified) throw refusal(`the assertion of ${trusted.issuer}: ${verified.fault}`)
  // RFC 9068 §5: who is called like a client would be taken for it.
  if (issuer.clients.has(verified.subject)) throw refusal(`the sub of the assertion is the name of a client`)
  const scopes = scopesOf(form, client.scopes)
  const audiences = audiencesOf(form, client.audiences)
  await useOnce(issuer, client, trusted.issuer, verified, refusal)
  const { subject } = verified
  return await begin(issuer, client, { client: client.id, subject, scopes, audiences, assertionIssuer: trusted.issuer })
}

/** The first tokens of a grant. */
async function begin(issuer: Issuer, client: OAuthClient, grant: Grant): Promise<TokenResponse> {
  if (!client.grantTypes.includes(GRANT_TYPES.refreshToken)) return await respond(issuer, grant, '')
  const familySecret = issuer.random(FAMILY_BYTES)
  const family = familyOf(familySecret)
  const secret = issuer.random(SECRET_BYTES)
  const response = await respond(issuer, grant, family)
  const digest = refreshDigest(secret)
  const { refreshTokenTTL } = issuer.plan
  if (!(await issuer.ask((store) => store.begin(issuer.owner, family, grant, digest, refreshTokenTTL))))
    throw new OAuthRefusal(
      'temporarily_unavailable',
      'there are too many refresh tokens that have not ended; revoke those that are not used',
      `no room for another refresh token of client ${client.id}`,
    )
  return { ...response, refresh_token: writeRefreshToken(familySecret, secret) }
}

async function refresh(form: Form, client: OAuthClient, issuer: Issuer): Promise<TokenResponse> {
  const token = parseRefreshToken(form.need('refresh_token'))
  const refusal = (detail: string) => new OAuthRefusal('invalid_grant', 'the refresh token is not valid', detail)
  if (token === undefined) throw refusal('the refresh token is of another form')
  const { owner, plan } = issuer
  const { family, familySecret, secret } = token
  const known = await issuer.ask((store) => store.find(owner, family))
  if (known === undefined) throw refusal('there is no such family of refresh tokens: it has ended or was revoked')
  if (known.grant.client !== client.id) throw refusal(`client ${client.id} sent a refresh token of another client`)
  const grant = stillGranted(known.grant, client)
  if (grant === undefined) throw refusal(`client ${client.id} may not have any more what the refresh token stands for`)
  // RFC 6749 §6: less than was granted may be asked for, and the refresh token keeps standing for all of it.
  const scopes = scopesOf(form, grant.scopes)
  const asked = [...form.all('resource'), ...form.all('audience')]
  const audiences = asked.length === 0 ? grant.audiences : audiencesOf(form, grant.audiences)
  const response = await respond(issuer, { ...grant, scopes, audiences }, family)
  const nonce = issuer.random(SECRET_BYTES)
  const rotation = await issuer.ask((store) =>
    store.rotate(owner, {
      ...{ family, nonce, life: plan.refreshTokenTTL, grace: REFRESH_GRACE },
      ...{ presented: refreshDigest(secret), next: refreshDigest(successorOf(secret, nonce)) },
    }),
  )
  if (!('nonce' in rotation)) {
    if (rotation.outcome === 'missing') throw refusal('the family of the refresh token was revoked just now')
    throw refusal(`a refresh token of client ${client.id} was used again: its family is revoked`)
  }
  return { ...response, refresh_token: writeRefreshToken(familySecret, successorOf(secret, rotation.nonce)) }
}

/** What of a grant the client may still have: its entry in the Secret may have become smaller. */
function stillGranted(grant: Grant, client: OAuthClient): Grant | undefined {
  const { assertionIssuer } = grant
  if (assertionIssuer !== '' && !client.assertionIssuers.some(({ issuer }) => issuer === assertionIssuer))
    return undefined
  const audiences = grant.audiences.filter((one) => client.audiences.includes(one))
  const scopes = grant.scopes.filter((one) => client.scopes.includes(one))
  // A token without scope may be worth more than one with it.
  if (audiences.length === 0 || (scopes.length === 0 && grant.scopes.length > 0)) return undefined
  return { ...grant, audiences, scopes }
}

/** @param family of refresh tokens, in the id of the access token: it ends with the family */
async function respond(issuer: Issuer, grant: Grant, family: string): Promise<TokenResponse> {
  const { plan, now } = issuer
  const { client, subject, scopes, audiences } = grant
  const id = accessTokenId(family, issuer.random(16))
  const { signer } = issuer
  const claims = { client, subject, scopes, audiences, id }
  return {
    access_token: await issuer.withSignature(() => signer.sign(plan.issuer, claims, plan.accessTokenTTL, now)),
    token_type: 'Bearer',
    expires_in: Math.floor(plan.accessTokenTTL / 1_000),
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
  }
}

function accessTokenId(family: string, random: string): string {
  return family === '' ? random : `${family}.${random}`
}

/** @param id `jti` of an access token */
export function familyOfToken(id: string): string | undefined {
  const dot = id.indexOf('.')
  return dot === -1 ? undefined : id.slice(0, dot)
}
