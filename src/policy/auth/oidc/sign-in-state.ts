/**
 * What is remembered between the redirect to the provider and the way back. The request itself stands in `state`
 * (OpenID Connect Core 1.0 §3.1.2.1), sealed: so any number of tabs sign in at the same time, and each comes back to
 * its own page. It is good in the browser that began it alone, which has a cookie that says so.
 */
import { hash } from 'node:crypto'
import type { PublicOidcClient } from '../../../auth/oidc-client.ts'
import type { Milliseconds } from '../../../lib/clock.ts'
import type { Exchange } from '../../exchange.ts'
import type { RelyingParty } from './relying-party.ts'
import { type CookieAttributes, SESSION_COOKIES, setCookie } from './session-cookies.ts'

export interface SignInState {
  /** Of {@link Browser}. */
  readonly browser: string
  readonly nonce: string
  readonly verifier: string
  /** Where the browser wanted to go: path and query, of the same origin. */
  readonly path: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** A browser that signs in. */
export interface Browser {
  readonly id: string
  /** It last began to sign in. */
  readonly at: number
  /** Sign-ins that were completed since `since`: one that keeps no session goes in circles. */
  readonly count: number
  readonly since: number
}

/** For the user to sign in at the provider. */
const STATE_LIFE: Milliseconds = 3_600_000
/** Longer than a state that is sealed for it. */
const BROWSER_LIFE: Milliseconds = 2 * STATE_LIFE
/** Cookies that are opened: whoever sends more wants it to be expensive. */
const MAX_BROWSERS = 8
/** Characters of an id that tell cookies apart. */
const NAME_PART = 8
/** Characters of a path: with it, `state` stays below what providers and proxies take for a query. */
const MAX_PATH = 1_024
/** RFC 7636 §4.1 wants 43 characters or more. */
const SECRET_BYTES = 32

/** Completed sign-ins of one browser in so many milliseconds, beyond which it goes in circles. */
const CIRCLE = { count: 8, within: 60_000 } as const

export function newState(party: RelyingParty, browser: Browser, path: string, now: number): SignInState {
  const random = (): string => Buffer.from(party.services.signIns.random(SECRET_BYTES)).toString('base64url')
  return {
    browser: browser.id,
    nonce: random(),
    verifier: random(),
    path: path.length > MAX_PATH ? '/' : path,
    at: now,
  }
}

/** RFC 7636 §4.2. */
export function challengeOf({ verifier }: SignInState): string {
  return hash('sha256', verifier, 'base64url')
}

/** @returns undefined for what nobody here has sealed for this host, or too long ago */
export function openState(
  party: RelyingParty,
  client: PublicOidcClient,
  host: string,
  text: string,
  now: number,
): SignInState | undefined {
  const opened = party.open('state', client, host, text)
  if (opened === undefined) return undefined
  const state = JSON.parse(opened) as SignInState
  return Math.abs(now - state.at) > STATE_LIFE ? undefined : state
}

/**
 * The browsers that a request says it is: several where pages were opened at the same time before there was a cookie,
 * each of which then has got one. They all stay good, so every page comes to its end.
 *
 * @param id of the one that is looked for
 */
export function browsersOf(
  party: RelyingParty,
  client: PublicOidcClient,
  x: Exchange,
  now: number,
  id = '',
): Browser[] {
  const browsers: Browser[] = []
  const prefix = browserCookie(party, id.slice(0, NAME_PART))
  let looked = 0
  for (const { name, value } of x.get(SESSION_COOKIES) ?? []) {
    if (!name.startsWith(prefix) || looked++ >= MAX_BROWSERS) continue
    const opened = party.open('browser', client, x.host, value)
    if (opened === undefined) continue
    const browser = JSON.parse(opened) as Browser
    if (now - browser.at < BROWSER_LIFE) browsers.push(browser)
  }
  return browsers
}

export function newBrowser(party: RelyingParty, now: number): Browser {
  return { id: Buffer.from(party.services.signIns.random(16)).toString('base64url'), at: now, count: 0, since: now }
}

/** Another sign-in of it is complete. */
export function countSignIn(browser: Browser, now: number): Browser {
  const { count, since } = browser
  return now - since > CIRCLE.within ? { ...browser, count: 1, since: now } : { ...browser, count: count + 1 }
}

export function goesInCircles({ count, since }: Browser, now: number): boolean {
  return count >= CIRCLE.count && now - since <= CIRCLE.within
}

/** `SameSite=Strict` would keep it back on the way from the provider. */
export function browserSetCookie(party: RelyingParty, client: PublicOidcClient, x: Exchange, browser: Browser): string {
  const sealed = party.seal('browser', client, x.host, JSON.stringify(browser))
  return setCookie(browserCookie(party, browser.id.slice(0, NAME_PART)), sealed, {
    ...browserAttributes(party),
    maxAge: BROWSER_LIFE / 1_000,
  })
}

function browserCookie({ plan }: RelyingParty, part: string): string {
  return `${plan.cookie.name}.b-${part}`
}

function browserAttributes({ plan }: RelyingParty): CookieAttributes {
  return { sameSite: plan.cookie.sameSite === 'None' ? 'None' : 'Lax', maxAge: undefined }
}
