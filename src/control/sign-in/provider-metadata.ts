/** What an OpenID provider says of itself (OpenID Connect Discovery 1.0 §3), as far as it is used. */
import { isLoopback } from '../../auth/oidc-client.ts'
import { parseUniqueObject } from '../../auth/unique-members.ts'
import type { ProviderEndpoints } from '../../policy/sign-ins.ts'

export interface ProviderMetadata extends ProviderEndpoints {
  readonly token: string
  readonly keys: string
  readonly revocation: string | undefined
  /** How the client proves who it is (RFC 6749 §2.3.1). */
  readonly authentication: 'client_secret_basic' | 'client_secret_post'
}

/** Characters of one address. */
const MAX_ADDRESS = 2_048

/** §4.1. */
export function discoveryAddress(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
}

/** @returns a clause that says what is wrong with them */
export function readMetadata(text: string, issuer: string): ProviderMetadata | string {
  const metadata = parseUniqueObject(text)
  if (metadata === undefined) return 'its metadata are no JSON object'
  // §4.3: else another provider could speak for this one.
  if (metadata.issuer !== issuer) return 'its metadata are of another issuer than the Secret names'
  const address = (name: string): string | undefined => addressOf(metadata[name], issuer)
  const [authorization, token, keys] = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'].map(address)
  if (authorization === undefined || token === undefined || keys === undefined)
    return 'its metadata lack authorization_endpoint, token_endpoint or jwks_uri, each an https URL'
  return {
    authorization,
    token,
    keys,
    endSession: address('end_session_endpoint'),
    revocation: address('revocation_endpoint'),
    namesIssuer: metadata.authorization_response_iss_parameter_supported === true,
    authentication: authenticationOf(metadata.token_endpoint_auth_methods_supported),
  }
}

/** In clear only where the issuer itself is: on this machine. */
function addressOf(value: unknown, issuer: string): string | undefined {
  if (typeof value !== 'string' || value.length > MAX_ADDRESS || !/^[\x21-\x7e]+$/.test(value)) return undefined
  if (!URL.canParse(value) || value.includes('#')) return undefined
  const { protocol, username, password } = new URL(value)
  if (username !== '' || password !== '') return undefined
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(issuer) && isLoopback(value)) ? value : undefined
}

/** Absent: basic (§3). */
function authenticationOf(supported: unknown): ProviderMetadata['authentication'] {
  if (!Array.isArray(supported) || supported.includes('client_secret_basic')) return 'client_secret_basic'
  return supported.includes('client_secret_post') ? 'client_secret_post' : 'client_secret_basic'
}
