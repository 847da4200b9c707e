/**
 * A client of an OpenID provider as a Secret holds it. Workers get what a browser may know and a key for sessions that
 * is derived from the client's secret; the secret itself stays with the thread that calls the provider.
 */
import { hkdfSync } from 'node:crypto'

export interface OidcClient {
  readonly issuer: string
  readonly clientID: string
  readonly clientSecret: string
  /** From which keys of sessions are derived, besides what all replicas share; base64. */
  readonly sessionSecret: string
}

export type PublicOidcClient = Omit<OidcClient, 'clientSecret'>

export interface OidcClientFault {
  /** A clause: what is wrong and what to do. It never has a part of a secret. */
  readonly fault: string
}

const MAX_TEXT = 4_096
const MAX_ISSUER = 512
const MAX_CLIENT_ID = 256
/** Of the key of sessions: what is guessed less easily than any password. */
const MIN_COOKIE_SECRET = 32
const SESSION_SECRET_BYTES = 32

const PRINTABLE = /^[\x20-\x7e]+$/

/** @param text of the keys; undefined where one is missing */
export function readOidcClient(text: (key: string) => string | undefined): OidcClient | OidcClientFault {
  const issuer = trimmed(text('issuer'))
  const clientID = trimmed(text('clientID'))
  const clientSecret = trimmed(text('clientSecret'))
  const cookieSecret = text('cookieSecret')
  const fault = issuerFault(issuer)
  if (fault !== undefined) return { fault }
  if (clientID.length > MAX_CLIENT_ID || !PRINTABLE.test(clientID))
    return { fault: 'clientID is not the identifier that the provider has given: printable ASCII' }
  if (clientSecret.length > MAX_TEXT || !PRINTABLE.test(clientSecret))
    return { fault: 'clientSecret is not the secret that the provider has given: printable ASCII' }
  if (cookieSecret !== undefined && (cookieSecret.length < MIN_COOKIE_SECRET || cookieSecret.length > MAX_TEXT))
    return { fault: `cookieSecret has to have ${MIN_COOKIE_SECRET} to ${MAX_TEXT} random bytes; make a new one` }
  const master = hkdfSync('sha256', cookieSecret ?? clientSecret, '', 'headgate oidc sessions', SESSION_SECRET_BYTES)
  return { issuer, clientID, clientSecret, sessionSecret: Buffer.from(master).toString('base64') }
}

/** Files end with a line break, which is none of the value. */
function trimmed(text: string | undefined): string {
  return (text ?? '').replace(/\r?\n$/, '')
}

/** OpenID Connect Discovery 1.0 §2: https, without query and fragment. In clear only at home, for development. */
function issuerFault(issuer: string): string | undefined {
  const wrong = 'issuer is not the https URL of the provider, as its metadata spell it'
  if (issuer.length > MAX_ISSUER || !PRINTABLE.test(issuer) || !URL.canParse(issuer)) return wrong
  const { protocol, username, password } = new URL(issuer)
  if (username !== '' || password !== '' || /[?#]/.test(issuer)) return wrong
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(issuer))) return undefined
  return wrong
}

/** Whether a URL is of this machine, where nobody else reads along: the dial guard refuses it in a cluster. */
export function isLoopback(url: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(new URL(url).hostname)
}

/** The form in which workers get it. */
export function writePublicClient({ issuer, clientID, sessionSecret }: PublicOidcClient): string {
  return JSON.stringify({ issuer, clientID, sessionSecret })
}

/** @param text of {@link writePublicClient} */
export function readPublicClient(text: string): PublicOidcClient {
  return JSON.parse(text) as PublicOidcClient
}
