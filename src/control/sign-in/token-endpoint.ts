/** Calls of a provider's token endpoint (RFC 6749 §4.1.3, §6) and of its revocation endpoint (RFC 7009). */
import type { OidcClient } from '../../auth/oidc-client.ts'
import { parseUniqueObject } from '../../auth/unique-members.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type ProviderClient, ProviderError } from '../../policy/provider-client.ts'
import type { SignInFailure } from '../../policy/sign-ins.ts'
import type { ProviderMetadata } from './provider-metadata.ts'

export interface TokenResponse {
  readonly idToken: string | undefined
  readonly accessToken: string | undefined
  readonly refreshToken: string | undefined
  /** Seconds. */
  readonly expiresIn: number
}

export interface TokenCall {
  readonly http: ProviderClient
  readonly owner: string
  readonly client: OidcClient
  readonly provider: ProviderMetadata
}

const TIMEOUT: Milliseconds = 10_000
const MAX_BYTES = 131_072
/** Characters; of a refresh token, which goes into a cookie. */
const MAX_REFRESH_TOKEN = 8_192
/** Of a provider that does not say it. */
const EXPIRES_IN = 300
const MAX_EXPIRES_IN = 86_400
/** The grant, and not the client, is what is not good. */
const REFUSALS: ReadonlySet<unknown> = new Set(['invalid_grant', 'interaction_required', 'login_required'])

export async function callTokenEndpoint(
  call: TokenCall,
  parameters: Readonly<Record<string, string>>,
): Promise<TokenResponse | SignInFailure> {
  let text: string
  let status: number
  try {
    const response = await post(call, call.provider.token, parameters)
    status = response.status
    text = Buffer.from(response.body).toString('utf8')
  } catch (error) {
    return unavailable(error instanceof ProviderError ? error.message : String(error))
  }
  const members = parseUniqueObject(text)
  if (status === 200 && members !== undefined) return readTokens(members)
  const error = members?.error
  if (status >= 400 && status < 500 && REFUSALS.has(error))
    return { fault: 'refused', detail: `the provider says ${String(error)}` }
  const said = typeof error === 'string' && /^[\x21-\x7e]{1,64}$/.test(error) ? ` and ${error}` : ''
  return unavailable(`its token endpoint answers with status ${status}${said}`)
}

function readTokens(members: Readonly<Record<string, unknown>>): TokenResponse {
  const { id_token: id, access_token: access, refresh_token: refresh, expires_in: expires } = members
  const seconds = Number(expires)
  return {
    idToken: typeof id === 'string' ? id : undefined,
    accessToken: typeof access === 'string' ? access : undefined,
    refreshToken: typeof refresh === 'string' && refresh.length <= MAX_REFRESH_TOKEN ? refresh : undefined,
    expiresIn: seconds > 0 ? Math.min(seconds, MAX_EXPIRES_IN) : EXPIRES_IN,
  }
}

/** Best effort: the session is over here, whatever comes of it. */
export async function revoke(call: TokenCall, token: string): Promise<void> {
  const { revocation } = call.provider
  if (revocation === undefined) return
  try {
    await post(call, revocation, { token, token_type_hint: 'refresh_token' })
  } catch {}
}

async function post({ http, owner, client, provider }: TokenCall, url: string, form: Readonly<Record<string, string>>) {
  const { clientID, clientSecret } = client
  const body = new URLSearchParams(form)
  const headers: Record<string, string> = {
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json',
  }
  if (provider.authentication === 'client_secret_post') {
    body.set('client_id', clientID)
    body.set('client_secret', clientSecret)
  } else
    headers.authorization = `Basic ${Buffer.from(`${formText(clientID)}:${formText(clientSecret)}`).toString('base64')}`
  return await http.request({
    owner,
    method: 'POST',
    url,
    headers,
    body: body.toString(),
    timeout: TIMEOUT,
    maxBytes: MAX_BYTES,
  })
}

/** RFC 6749 §2.3.1 and appendix B. */
function formText(text: string): string {
  return new URLSearchParams({ t: text }).toString().slice(2)
}

export function unavailable(detail: string): SignInFailure {
  return { fault: 'unavailable', detail }
}
