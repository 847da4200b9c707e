/** `introspect` (RFC 7662) and `revoke` (RFC 7009): what of a token is still good, and the end of it. */
import { GRANT_TYPES, type OAuthClient } from '../../auth/oauth-clients.ts'
import { parseRefreshToken, refreshDigest } from '../../auth/refresh-token.ts'
import { markOf } from './client-authentication.ts'
import type { Form } from './form.ts'
import type { Issuer } from './issuer.ts'
import { OAuthRefusal } from './oauth-response.ts'
import { familyOfToken } from './token-endpoint.ts'

const INACTIVE = { active: false } as const

/** A client sees its own tokens, and those of all where its entry says so: others are as if they did not exist. */
export async function introspect(form: Form, client: OAuthClient, issuer: Issuer): Promise<object> {
  const text = form.need('token')
  const refresh = parseRefreshToken(text)
  if (refresh !== undefined) return await introspectRefresh(refresh, client, issuer)
  const { now, plan, signer } = issuer
  const claims = await issuer.withSignature(() => signer.verify(text, plan.issuer, now))
  if (claims === undefined || typeof claims.client_id !== 'string') return INACTIVE
  if (!maySee(client, claims.client_id) || issuer.clients.get(claims.client_id) === undefined) return INACTIVE
  if (await hasEnded(claims.jti!, issuer)) return INACTIVE
  const { iss, sub, aud, exp, iat, jti, client_id, scope } = claims
  return {
    active: true,
    token_type: 'Bearer',
    client_id,
    ...(scope === undefined ? {} : { scope }),
    iss,
    sub,
    aud,
    exp,
    iat,
    jti,
  }
}

async function introspectRefresh(
  { family, secret }: { readonly family: string; readonly secret: string },
  client: OAuthClient,
  issuer: Issuer,
): Promise<object> {
  const known = await issuer.ask((store) => store.find(issuer.owner, family))
  if (known === undefined || known.current !== refreshDigest(secret)) return INACTIVE
  const { grant, ends } = known
  const owner = issuer.clients.get(grant.client)
  if (!maySee(client, grant.client) || owner?.grantTypes.includes(GRANT_TYPES.refreshToken) !== true) return INACTIVE
  return {
    ...{ active: true, token_type: 'refresh_token', client_id: grant.client },
    ...(grant.scopes.length === 0 ? {} : { scope: grant.scopes.join(' ') }),
    ...{ iss: issuer.plan.issuer, sub: grant.subject, aud: grant.audiences, exp: Math.floor(ends / 1_000) },
  }
}

function maySee(client: OAuthClient, owner: string): boolean {
  return client.introspects || client.id === owner
}

/** An access token ends with its family, or by itself. */
async function hasEnded(id: string, issuer: Issuer): Promise<boolean> {
  const family = familyOfToken(id)
  // Without a store nothing could be revoked; a token with a family was issued when there was one.
  if (family === undefined && !issuer.storeIsConfigured) return false
  if (family !== undefined && (await issuer.ask((store) => store.find(issuer.owner, family))) === undefined) return true
  return await issuer.ask((store) => store.isMarked(issuer.owner, markOf('revoked', '', id)))
}

/** Of a token that is not valid nothing is left to revoke (RFC 7009 §2.2). */
export async function revoke(form: Form, client: OAuthClient, issuer: Issuer): Promise<void> {
  const text = form.need('token')
  const refresh = parseRefreshToken(text)
  const { now, owner, plan, signer } = issuer
  if (refresh !== undefined) {
    const known = await issuer.ask((store) => store.find(owner, refresh.family))
    if (known === undefined) return
    if (known.grant.client !== client.id) throw ofAnother(client)
    return await issuer.ask((store) => store.revoke(owner, refresh.family))
  }
  const claims = await issuer.withSignature(() => signer.verify(text, plan.issuer, now))
  if (claims === undefined) return
  if (claims.client_id !== client.id) throw ofAnother(client)
  const mark = markOf('revoked', '', claims.jti!)
  const outcome = await issuer.ask((store) => store.mark(owner, mark, client.id, claims.exp! * 1_000 - now))
  if (outcome === 'full')
    throw new OAuthRefusal('temporarily_unavailable', 'try again later', 'the store has no room for revoked tokens')
}

function ofAnother({ id }: OAuthClient): OAuthRefusal {
  return new OAuthRefusal(
    'unauthorized_client',
    'the token is of another client',
    `client ${id} revokes a token of another`,
  )
}
