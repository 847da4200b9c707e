/** A real OpenID provider (oidc-provider) on a port of this machine, whose users sign in and consent without a page. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'

export interface TestProvider {
  readonly issuer: string
  readonly provider: Provider
  readonly server: Server
  /** Calls of the token endpoint, by grant. */
  readonly grants: string[]
  /** Who signs in next. */
  user: string
  /** Seconds that ID tokens are good. */
  life: number
  /** What the provider answers instead, where it does. */
  intercept: ((path: string) => { readonly status: number; readonly body: string } | 'hang' | undefined) | undefined
  close(): Promise<void>
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

export interface TestProviderOptions {
  readonly clientID: string
  readonly clientSecret: string
  /** Of the gateway; the provider calls the first. */
  readonly origins: readonly string[]
  readonly redirectPath?: string
  readonly logoutPath?: string
  /** Seconds that an ID token is good. */
  readonly life?: number
  readonly claims?: Readonly<Record<string, unknown>>
  /** Issues no refresh tokens. */
  readonly noRefresh?: boolean
}

/** @param origins before the gateway has a port: the provider listens already, and is configured then */
export async function listenForProvider(): Promise<{
  readonly issuer: string
  readonly begin: (options: TestProviderOptions) => TestProvider
  readonly close: () => Promise<void>
}> {
  const server = createServer()
  // The gateway asks before it has a port: such requests wait.
  const early: Parameters<Handler>[] = []
  const hold: Handler = (...call) => void early.push(call)
  server.on('request', hold)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
  }
  return {
    issuer,
    close,
    begin: (options) => {
      server.off('request', hold)
      const test = begin(server, issuer, options, close)
      for (const call of early) server.emit('request', ...call)
      return test
    },
  }
}

function begin(
  server: Server,
  issuer: string,
  {
    clientID,
    clientSecret,
    origins,
    redirectPath = '/oauth2/callback',
    logoutPath = '/logout',
    ...more
  }: TestProviderOptions,
  close: () => Promise<void>,
): TestProvider {
  const { life = 600, claims = {}, noRefresh = false } = more
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientID,
        client_secret: clientSecret,
        redirect_uris: origins.map((origin) => `${origin}${redirectPath}`),
        post_logout_redirect_uris: origins.map((origin) => `${origin}${logoutPath}`),
        backchannel_logout_uri: `${origins[0]}${logoutPath}`,
        backchannel_logout_session_required: true,
        grant_types: ['authorization_code', 'refresh_token'],
        id_token_signed_response_alg: 'RS256',
      },
    ],
    claims: { openid: ['sub'], profile: Object.keys(claims) },
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        // Nobody has to press a button.
        logoutSource: (ctx, form) => {
          ctx.body = `<!doctype html><body onload="document.forms[0].submit()">${form.replace('</form>', '<input type="hidden" name="logout" value="yes"></form>')}</body>`
        },
      },
      revocation: { enabled: true },
    },
    // Its own refuses addresses of this machine.
    fetch: (url, { method, headers, body, redirect } = {}) =>
      fetch(url, { method, headers, body, redirect } as RequestInit),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...claims }) }),
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    issueRefreshToken: () => !noRefresh,
    rotateRefreshToken: true,
    pkce: { required: () => true },
    ttl: {
      IdToken: () => test.life,
      AccessToken: () => test.life,
      RefreshToken: 3_600,
      Session: 3_600,
      Grant: 3_600,
      Interaction: 600,
    },
    cookies: { keys: ['of a test'] },
  })
  const handle = provider.callback()
  const grants: string[] = []
  provider.on('grant.success', ({ oidc }) => grants.push(String(oidc.params?.grant_type)))
  provider.on('grant.error', ({ oidc }) => grants.push(`${String(oidc.params?.grant_type)} refused`))
  const test: TestProvider = { issuer, provider, server, grants, user: 'alice', life, intercept: undefined, close }
  server.on('request', (request, response) => {
    const path = request.url!.split('?', 1)[0]!
    const other = test.intercept?.(path)
    if (other === 'hang') return
    if (other !== undefined) response.writeHead(other.status, { 'content-type': 'application/json' }).end(other.body)
    else if (path.startsWith('/interaction/'))
      void provider.interactionDetails(request, response).then(async ({ prompt, params, session }) => {
        if (prompt.name === 'login')
          return await provider.interactionFinished(request, response, { login: { accountId: test.user } })
        const grant = new provider.Grant({ accountId: session!.accountId, clientId: String(params.client_id) })
        grant.addOIDCScope(String(params.scope))
        await provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } })
      })
    else void handle(request, response)
  })
  return test
}
