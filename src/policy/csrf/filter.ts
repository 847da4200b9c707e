/**
 * Refuses what pages of other sites make a browser do with the user's credential, where it is one that browsers attach
 * by themselves: a cookie, a password, a client certificate. It asks `Sec-Fetch-Site`, which no page can change, and
 * `Origin` where a browser does not send that. Who sends neither is no browser of today, and no page has sent it.
 */
import { AMBIENT_CREDENTIAL } from '../attribute.ts'
import { TRUSTED_PAGE } from '../cors/headers.ts'
import type { Exchange } from '../exchange.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'
import { isSameOrigin } from './same-origin.ts'

/** Change nothing (RFC 9110 §9.2.1), so that links from elsewhere work. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])
/** The page is of this origin, or a person has typed the address. */
const OWN: ReadonlySet<string> = new Set(['same-origin', 'none'])

/** @returns what the request says of the page that made it, where that may not; else undefined */
function foreignPage(x: Exchange): string | undefined {
  const sites = x.request.all('sec-fetch-site')
  if (sites.length > 0) return sites.every((site) => OWN.has(site)) ? undefined : `sec-fetch-site: ${sites.join(', ')}`
  const origins = x.request.all('origin')
  return origins.every((origin) => isSameOrigin(x.origin, origin)) ? undefined : `origin: ${origins.join(', ')}`
}

export const crossSite: FilterDefinition = {
  name: 'cross-site',
  phase: 'cross-site',
  create({ policies }) {
    if (policies?.auth === undefined) return undefined
    const effect = 'refuses what pages of other sites send with cookies, passwords and client certificates'
    return {
      name: 'cross-site',
      onRequest(x) {
        if (x.get(AMBIENT_CREDENTIAL) !== true || SAFE.has(x.method) || x.get(TRUSTED_PAGE) === true) return undefined
        const detail = foreignPage(x)
        if (detail === undefined) return undefined
        return { type: 'respond', response: { ...problemResponse('CrossSiteRequest', x), detail } }
      },
      explain: () => ({ filter: 'cross-site', effect }),
    }
  },
}
