/**
 * `tokenIssuer`: the rule is an authorization server for clients that are programs (RFC 6749): token, revoke,
 * introspect, its keys, and its metadata (RFC 8414), each below the prefix that the rule matches.
 */

import { ASSERTION_ALGORITHMS } from '../../auth/assertion.ts'
import type { OAuthClient } from '../../auth/oauth-clients.ts'
import { GRANT_TYPES } from '../../auth/oauth-clients.ts'
import { KEY_SET_MAX_AGE } from '../../auth/signing-keys.ts'
import { Fields } from '../../message/fields.ts'
import type { CompleteResponse } from '../../message/local-response.ts'
import { CONSUMER } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'
import { AUTH_METHODS, authenticateClient } from './client-authentication.ts'
import { type Form, readForm } from './form.ts'
import { Issuer } from './issuer.ts'
import { jsonResponse, OAuthRefusal, publicResponse, refusalResponse } from './oauth-response.ts'
import { metadataPathOf } from './plan.ts'
import { grantToken } from './token-endpoint.ts'
import { introspect, revoke } from './token-state.ts'

type Answer = CompleteResponse | Promise<CompleteResponse>

interface Endpoint {
  readonly methods: readonly string[]
  answer(x: Exchange, issuer: Issuer): Answer
}

const READ = ['GET', 'HEAD']
const MAX_AGE = KEY_SET_MAX_AGE / 1_000

const METADATA: Endpoint = { methods: READ, answer: (_x, issuer) => publicResponse(metadataOf(issuer), MAX_AGE) }

/** By the path below the prefix. */
const ENDPOINTS: ReadonlyMap<string, Endpoint> = new Map([
  [
    'token',
    forClients(async (form, client, issuer, x) => jsonResponse(200, await grantToken(x, form, client, issuer))),
  ],
  [
    'revoke',
    forClients(async (form, client, issuer) => {
      await revoke(form, client, issuer)
      return jsonResponse(200, {})
    }),
  ],
  ['introspect', forClients(async (form, client, issuer) => jsonResponse(200, await introspect(form, client, issuer)))],
  ['jwks', { methods: READ, answer: (_x, issuer) => publicResponse(issuer.signer.published, MAX_AGE) }],
  ['.well-known/oauth-authorization-server', METADATA],
  // Where clients of OpenID Connect look (RFC 8414 §5).
  ['.well-known/openid-configuration', METADATA],
])

function forClients(
  answer: (form: Form, client: OAuthClient, issuer: Issuer, x: Exchange) => Promise<CompleteResponse>,
): Endpoint {
  return {
    methods: ['POST'],
    async answer(x, issuer) {
      const form = await readForm(x)
      const client = await authenticateClient(x, form, issuer)
      x.set(CONSUMER, client.id)
      return await answer(form, client, issuer, x)
    },
  }
}

function endpointOf(x: Exchange, metadataPath: string): Endpoint | undefined {
  const { path, matchedPrefix } = x
  if (path === metadataPath) return METADATA
  const rest = path.slice(matchedPrefix)
  return ENDPOINTS.get(rest.startsWith('/') ? rest.slice(1) : rest)
}

const METADATA_BYTES = new WeakMap<Issuer, Uint8Array>()

function metadataOf(issuer: Issuer): Uint8Array {
  let bytes = METADATA_BYTES.get(issuer)
  if (bytes === undefined) {
    const methods = { values: [...AUTH_METHODS], algorithms: [...ASSERTION_ALGORITHMS, 'Ed25519'] }
    bytes = Buffer.from(
      `${JSON.stringify({
        issuer: issuer.plan.issuer,
        token_endpoint: issuer.url('token'),
        jwks_uri: issuer.url('jwks'),
        revocation_endpoint: issuer.url('revoke'),
        introspection_endpoint: issuer.url('introspect'),
        // There is no authorization endpoint, so no type of response (RFC 8414 §2 wants the member).
        response_types_supported: [],
        grant_types_supported: Object.values(GRANT_TYPES),
        token_endpoint_auth_methods_supported: methods.values,
        token_endpoint_auth_signing_alg_values_supported: methods.algorithms,
        revocation_endpoint_auth_methods_supported: methods.values,
        revocation_endpoint_auth_signing_alg_values_supported: methods.algorithms,
        introspection_endpoint_auth_methods_supported: methods.values,
        introspection_endpoint_auth_signing_alg_values_supported: methods.algorithms,
      })}\n`,
    )
    METADATA_BYTES.set(issuer, bytes)
  }
  return bytes
}

function notAllowed(methods: readonly string[]): CompleteResponse {
  const fields = new Fields()
  fields.add('allow', methods.join(', '))
  fields.add('cache-control', 'no-store')
  return { status: 405, fields, body: null }
}

function refused(error: unknown, x: Exchange): CompleteResponse {
  if (error instanceof OAuthRefusal) return refusalResponse(error, x.host)
  throw error
}

function answer(x: Exchange, issuer: Issuer, metadataPath: string): Answer {
  const endpoint = endpointOf(x, metadataPath)
  if (endpoint === undefined) return problemResponse('RouteNotFound', x)
  if (!endpoint.methods.includes(x.method)) return notAllowed(endpoint.methods)
  try {
    const response = endpoint.answer(x, issuer)
    return response instanceof Promise ? response.catch((error: unknown) => refused(error, x)) : response
  } catch (error) {
    return refused(error, x)
  }
}

export const tokenIssuer: FilterDefinition = {
  name: 'token-issuer',
  phase: 'answer',
  create({ action }, services) {
    if (action.type !== 'issueTokens') return undefined
    const issuer = new Issuer(action, services)
    // So that the first request finds a store that is connected.
    services.grants.store(action.store)
    const metadataPath = metadataPathOf(action.issuer)
    return {
      name: 'token-issuer',
      onRequest(x) {
        const response = answer(x, issuer, metadataPath)
        if (response instanceof Promise) return response.then((late) => ({ type: 'respond', response: late }))
        return { type: 'respond', response }
      },
      explain: () => ({ filter: 'token-issuer', effect: `issues tokens of ${action.issuer}` }),
    }
  },
}
