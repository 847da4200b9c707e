/**
 * The gateway as the client of a provider, on one hostname: its keys, its cookies, its addresses. What is sealed is
 * bound to namespace, Route, issuer, client and hostname, so that nothing of one opens at another.
 */
import { hkdfSync } from 'node:crypto'
import { type PublicOidcClient, readPublicClient } from '../../../auth/oidc-client.ts'
import { open, type SealingKey, seal } from '../../../auth/sealed-text.ts'
import type { ClientOrigin } from '../../../message/client-origin.ts'
import { authorityOf } from '../../../pattern/host.ts'
import type { Exchange } from '../../exchange.ts'
import type { FilterServices } from '../../services.ts'
import type { ProviderEndpoints, SignInFailure } from '../../sign-ins.ts'
import type { OidcPlan } from './plan.ts'

/** What of sealed texts is what: none passes for another. */
export type SealedKind = 'session' | 'state' | 'browser'

/** Clients as they were read from the bytes of a Secret. */
const READ = new WeakMap<Uint8Array, PublicOidcClient>()
const KEY_BYTES = 32

export class RelyingParty {
  readonly plan: OidcPlan
  readonly services: FilterServices
  #keyOf: { readonly seed: Uint8Array; readonly client: PublicOidcClient; readonly key: Uint8Array } | undefined

  constructor(plan: OidcPlan, services: FilterServices) {
    this.plan = plan
    this.services = services
  }

  /** Undefined while its Secret is missing or cannot be used. */
  get client(): PublicOidcClient | undefined {
    const bytes = this.services.contents.get(this.plan.content)
    if (bytes === undefined) return undefined
    let client = READ.get(bytes)
    if (client === undefined) READ.set(bytes, (client = readPublicClient(Buffer.from(bytes).toString('utf8'))))
    return client
  }

  endpoints({ issuer }: PublicOidcClient): ProviderEndpoints | Promise<ProviderEndpoints | SignInFailure> {
    return this.services.signIns.endpoints(this.plan.client, issuer)
  }

  seal(kind: SealedKind, client: PublicOidcClient, host: string, text: string): string {
    return seal(this.#sealing(kind, client, host), text, (bytes) => this.services.signIns.random(bytes))
  }

  open(kind: SealedKind, client: PublicOidcClient, host: string, text: string): string | undefined {
    return open(this.#sealing(kind, client, host), text)
  }

  /** Of the key and of what is bound to it: what was made under another is unknown under this. */
  keyFor(client: PublicOidcClient): Uint8Array {
    const { seed } = this.services.signIns
    if (this.#keyOf?.seed === seed && this.#keyOf.client === client) return this.#keyOf.key
    const { namespace, secret } = this.plan.client
    const scope = JSON.stringify(['sessions', namespace, this.plan.route, secret, client.issuer, client.clientID])
    const secrets = Buffer.concat([seed, Buffer.from(client.sessionSecret, 'base64')])
    const key = new Uint8Array(hkdfSync('sha256', secrets, '', scope, KEY_BYTES))
    this.#keyOf = { seed, client, key }
    return key
  }

  #sealing(kind: SealedKind, client: PublicOidcClient, host: string): SealingKey {
    return { key: this.keyFor(client), purpose: `${kind}\n${host}\n${this.plan.cookie.name}` }
  }
}

/** RFC 6454 §6.2, as the client names it. */
export function originOf({ scheme, host, port }: ClientOrigin): string {
  return `${scheme}://${authorityOf(scheme, host, port)}`
}

/** Browsers keep `Secure` cookies of pages that came by https, and of this machine. */
export function keepsCookies({ scheme, host }: ClientOrigin): boolean {
  return scheme === 'https' || /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(host)
}

/**
 * A page that somebody looks at, and not what a script asks for: a script cannot follow a redirect to a sign-in, and is
 * told 401 instead.
 */
export function wantsPage({ method, request }: Exchange): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false
  const mode = request.get('sec-fetch-mode')
  if (mode !== undefined) return mode === 'navigate' && PAGES.has(request.get('sec-fetch-dest') ?? '')
  if (request.get('x-requested-with')?.toLowerCase() === 'xmlhttprequest') return false
  return request.all('accept').some((accept) => accept.includes('text/html'))
}

/** Fetch Metadata §2.1. */
const PAGES: ReadonlySet<string> = new Set(['document', 'iframe', 'frame'])

/** Of another site, by its own browser (Fetch Metadata §2.3); browsers that say nothing are old, or none. */
export function isCrossSite({ request }: Exchange): boolean {
  return request.get('sec-fetch-site') === 'cross-site'
}
