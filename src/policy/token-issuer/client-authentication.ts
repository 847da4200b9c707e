/** Which client asks, and whether it is that one (RFC 6749 §2.3, RFC 7523 §2.2). */
import { hash } from 'node:crypto'
import { issuerOf } from '../../auth/assertion.ts'
import { fitsClientSecret, MAX_CLIENT_SECRET } from '../../auth/client-secret.ts'
import type { OAuthClient } from '../../auth/oauth-clients.ts'
import { decodeFormText } from '../../pattern/query.ts'
import type { Exchange } from '../exchange.ts'
import type { Form } from './form.ts'
import type { Issuer } from './issuer.ts'
import { OAuthRefusal } from './oauth-response.ts'

/** The ways that the metadata name. */
export const AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt'] as const

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const MAX_CLIENT_ID = 253

interface Secret {
  readonly client: string
  readonly secret: string
}

/** @throws {OAuthRefusal} `invalid_client`, the same whether there is no such client or it cannot prove itself */
export async function authenticateClient(x: Exchange, form: Form, issuer: Issuer): Promise<OAuthClient> {
  const basic = basicSecret(x)
  const posted = form.get('client_secret')
  const assertion = form.get('client_assertion')
  const stated = form.get('client_id')
  if ([basic, posted, assertion].filter((one) => one !== undefined).length > 1)
    throw new OAuthRefusal('invalid_request', 'a client proves itself in one way at a time')
  if (assertion !== undefined) return await byAssertion(x, assertion, form, issuer)
  const given = basic ?? (posted === undefined ? undefined : { client: stated ?? '', secret: posted })
  if (given === undefined) throw invalidClient('no client authentication was sent')
  if (stated !== undefined && stated !== given.client)
    throw invalidClient('client_id is not the client that proves itself')
  return bySecret(given, issuer)
}

function invalidClient(detail: string): OAuthRefusal {
  return new OAuthRefusal('invalid_client', 'the client is not known, or has not proved who it is', detail)
}

/** RFC 6749 §2.3.1: both parts are form-encoded before they are joined. */
function basicSecret(x: Exchange): Secret | undefined {
  const fields = x.request.all('authorization')
  if (fields.length === 0) return undefined
  if (fields.length > 1) throw new OAuthRefusal('invalid_request', 'Authorization is there more than once')
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(fields[0]!) ?? []
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon === -1) throw invalidClient('Authorization is not that of HTTP Basic')
  return { client: decodeFormText(text.slice(0, colon)), secret: decodeFormText(text.slice(colon + 1)) }
}

function bySecret({ client: id, secret }: Secret, issuer: Issuer): OAuthClient {
  const client = id.length > MAX_CLIENT_ID ? undefined : issuer.clients.get(id)
  const given = secret.length > MAX_CLIENT_SECRET ? '' : secret
  const fits = fitsClientSecret(given, client?.secrets ?? [], issuer.now)
  if (client === undefined) throw invalidClient('there is no such client')
  if (!fits) throw invalidClient(`the secret is none of client ${client.id}, or has expired`)
  return client
}

async function byAssertion(x: Exchange, assertion: string, form: Form, issuer: Issuer): Promise<OAuthClient> {
  const stated = form.get('client_id')
  if (form.need('client_assertion_type') !== ASSERTION_TYPE)
    throw new OAuthRefusal('invalid_request', `client_assertion_type has to be ${ASSERTION_TYPE}`)
  const id = issuerOf(assertion)
  if (id === undefined || (stated !== undefined && stated !== id))
    throw invalidClient('client_assertion has no iss, or that of another client')
  const client = id.length > MAX_CLIENT_ID ? undefined : issuer.clients.get(id)
  if (client === undefined || client.keys.length === 0) throw invalidClient('there is no such client with a jwks')
  const rules = { issuer: client.id, keys: client.keys }
  const verified = await issuer.verifyAssertion(assertion, rules, x.clientAddress)
  if ('fault' in verified) throw invalidClient(`the client_assertion of client ${client.id}: ${verified.fault}`)
  if (verified.subject !== client.id) throw invalidClient(`the client_assertion of client ${client.id} has another sub`)
  await useOnce(issuer, client, `client ${client.id}`, verified, invalidClient)
  return client
}

/** @throws {OAuthRefusal} for an assertion that has come before */
export async function useOnce(
  issuer: Issuer,
  client: OAuthClient,
  of: string,
  { id, life }: { readonly id: string; readonly life: number },
  refusal: (detail: string) => OAuthRefusal,
): Promise<void> {
  const outcome = await issuer.ask((store) => store.mark(issuer.owner, markOf('assertion', of, id), client.id, life))
  if (outcome === 'again') throw refusal(`an assertion of ${of} was sent again`)
  if (outcome === 'full')
    throw new OAuthRefusal('temporarily_unavailable', 'try again later', 'the store has no room for ids of assertions')
}

/** A text without what a client chose in it: digests have one length. */
export function markOf(kind: 'assertion' | 'revoked', of: string, id: string): string {
  return hash('sha256', JSON.stringify([kind, of, id]), 'base64url')
}
