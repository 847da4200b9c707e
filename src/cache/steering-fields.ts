/**
 * Request fields by which applications take another method, URL or origin than those of the request, and so answer
 * otherwise, while they are no part of a key: a response to a request that has one is stored for nobody. Decided when a
 * response would be stored, so a hit pays nothing for it.
 */
import type { Fields } from '../message/fields.ts'
import { forwardingKindAt, PROXY_ONLY } from '../message/forwarding-names.ts'

/** Besides the reports of proxies, which only a trusted one may send. */
const STEERING = [
  ...['base-url', 'http-url', 'proxy-host', 'proxy-url', 'request-uri', 'x-base-url', 'x-script-name'],
  ...['x-host', 'x-host-override', 'x-http-destinationurl', 'x-http-host-override', 'x-proxy-host'],
  ...['x-http-method', 'x-http-method-override', 'x-http-path-override', 'x-method-override'],
  ...['x-override-url', 'x-proxy-url'],
  // Next.js, which takes the page, its parameters and its status from them, or answers a prefetch with nothing.
  ...['x-invoke-error', 'x-invoke-output', 'x-invoke-path', 'x-invoke-query', 'x-invoke-status', 'x-matched-path'],
  ...['x-middleware-prefetch', 'x-middleware-subrequest', 'x-now-route-matches'],
  // React Router (CVE-2025-43864, CVE-2025-43865) and Astro.
  ...['x-react-router-prerender-data', 'x-react-router-spa-mode', 'x-astro-path'],
]
const BY_LENGTH: readonly (readonly string[] | undefined)[] = (() => {
  const table: string[][] = []
  for (const name of STEERING) (table[name.length] ??= []).push(name)
  return table
})()
/** By the letter that a name begins with, in lower case: few fields have to be looked at. */
const INITIALS: readonly boolean[] = (() => {
  const table = new Array<boolean>(256).fill(false)
  for (const name of [...STEERING, 'x-forwarded-']) table[name.charCodeAt(0)] = true
  return table
})()

/**
 * @param keyed whether a name, in lower case, is a part of the key: chosen by the operator, or named by Vary
 * @returns of the fields of the client, in any spelling
 */
export function hasSteeringField(fields: Fields, keyed: (name: string) => boolean): boolean {
  for (let i = 0; i < fields.count; i++) {
    if (!INITIALS[fields.initialAt(i)] || fields.isRemoved(i)) continue
    if (steers(fields, i) && !keyed(fields.nameAt(i))) return true
  }
  return false
}

function steers(fields: Fields, index: number): boolean {
  const names = BY_LENGTH[fields.nameLength(index)]
  if (names !== undefined) for (const name of names) if (fields.nameIsLoosely(index, name)) return true
  return forwardingKindAt(fields, index) === PROXY_ONLY
}
