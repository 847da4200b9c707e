/**
 * Answers preflights, which browsers send without credentials (Fetch, "CORS-preflight fetch"): so they come before
 * `auth` and are never sent to a backend.
 */
import { Fields } from '../../message/fields.ts'
import type { Exchange } from '../exchange.ts'
import type { RequestDecision } from '../filter.ts'
import type { FilterDefinition } from '../registry.ts'
import { addVary, CorsOrigins, PREFLIGHT } from './headers.ts'
import type { CorsPlan } from './plan.ts'

const METHOD = 'access-control-request-method'
const HEADERS = 'access-control-request-headers'
/** What pages may send without asking (Fetch, "CORS-safelisted method"): asked for with other headers. */
const SAFELISTED = ['GET', 'HEAD', 'POST']
/** Names of one preflight that are looked at. */
const MAX_HEADERS = 64
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/

class Preflight {
  readonly #origins: CorsOrigins
  readonly #methods: ReadonlySet<string>
  readonly #plan: CorsPlan

  constructor(plan: CorsPlan) {
    this.#plan = plan
    this.#origins = new CorsOrigins(plan)
    this.#methods = new Set(plan.allowMethods.length === 0 ? SAFELISTED : plan.allowMethods)
  }

  /** A page that may not gets the same 204 without a word of what would be allowed: its browser stops there. */
  answer(x: Exchange): RequestDecision {
    if (x.method !== 'OPTIONS' || !x.request.has('origin')) return undefined
    const asked = x.request.all(METHOD)
    if (asked.length === 0) return undefined
    const fields = new Fields()
    addVary(fields, 'Origin', 'Access-Control-Request-Method', 'Access-Control-Request-Headers')
    x.set(PREFLIGHT, true)
    if (asked.length === 1 && this.#origins.answer(x, fields)) this.#allow(x, fields, asked[0]!)
    return { type: 'respond', response: { status: 204, fields, body: null } }
  }

  #allow(x: Exchange, fields: Fields, method: string): void {
    const { allowMethods, allowHeaders, allowCredentials, maxAge } = this.#plan
    // With credentials a browser takes * for a method of that name.
    const anyMethod = this.#methods.has('*') && TOKEN.test(method)
    const methods = anyMethod
      ? [allowCredentials ? method : '*']
      : allowMethods.length === 0
        ? SAFELISTED
        : allowMethods
    fields.add('access-control-allow-methods', methods.join(', '))
    const headers = allowCredentials && allowHeaders.includes('*') ? askedHeaders(x) : allowHeaders
    if (headers.length > 0) fields.add('access-control-allow-headers', headers.join(', '))
    if (maxAge !== undefined) fields.add('access-control-max-age', String(maxAge))
  }
}

/** With credentials a browser takes * for a header of that name, too. */
function askedHeaders(x: Exchange): readonly string[] {
  const names = (x.request.joined(HEADERS) ?? '').split(',', MAX_HEADERS).map((name) => name.trim())
  return names.filter((name) => TOKEN.test(name))
}

export const corsPreflight: FilterDefinition = {
  name: 'cors-preflight',
  phase: 'cors-preflight',
  create({ policies }) {
    const plan = policies?.cors as CorsPlan | undefined
    if (plan === undefined) return undefined
    const preflight = new Preflight(plan)
    const effect = `answers preflights of ${plan.allowOrigins.join(', ')} with 204`
    return {
      name: 'cors-preflight',
      onRequest: (x) => preflight.answer(x),
      explain: () => ({ filter: 'cors-preflight', effect }),
    }
  },
}
