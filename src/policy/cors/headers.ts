/**
 * What `cors` says on the way back: to pages of the origins that are listed, on every response, refusals of the gateway
 * included, or a page could not tell what has become of its request. What the upstream says of CORS is dropped: the
 * policy is the one that holds.
 */
import type { Fields } from '../../message/fields.ts'
import { attribute } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter } from '../filter.ts'
import { OriginList } from './origins.ts'
import type { CorsPlan } from './plan.ts'

/** The request comes from a page that may use the user's credentials: of a listed origin, with `allowCredentials`. */
export const TRUSTED_PAGE = attribute<boolean>('trusted page')

const ANSWERS = [
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-expose-headers',
  'access-control-max-age',
]

/** How one policy judges origins. */
export class CorsOrigins {
  readonly #list: OriginList
  readonly #credentials: boolean

  constructor({ allowOrigins, allowCredentials }: CorsPlan) {
    this.#list = new OriginList(allowOrigins)
    this.#credentials = allowCredentials
  }

  /** The answer to an origin does not depend on it. */
  get constant(): boolean {
    return this.#list.any && !this.#credentials
  }

  /** Whether a page of the origin may use credentials here. Never by `*`. */
  trusts(x: Exchange): boolean {
    const origin = originOf(x)
    return this.#credentials && origin !== undefined && this.#list.names(origin)
  }

  /** States who may read the response, and that it depends on who asks. @returns false: this page may not */
  answer(x: Exchange, fields: Fields): boolean {
    if (!this.constant) addVary(fields, 'Origin')
    const origin = originOf(x)
    if (origin === undefined) return false
    if (this.constant) fields.add('access-control-allow-origin', '*')
    else if (this.#list.names(origin)) {
      fields.add('access-control-allow-origin', origin)
      if (this.#credentials) fields.add('access-control-allow-credentials', 'true')
    } else return false
    return true
  }
}

/** Undefined where there is none, or more than one: nobody knows which of them a cache would see. */
function originOf(x: Exchange): string | undefined {
  const origins = x.request.all('origin')
  return origins.length === 1 ? origins[0] : undefined
}

/** Names that are not there yet (RFC 9110 §12.5.5). */
export function addVary(fields: Fields, ...names: readonly string[]): void {
  const known = new Set((fields.joined('vary') ?? '').split(',').map((name) => name.trim().toLowerCase()))
  if (known.has('*')) return
  const missing = names.filter((name) => !known.has(name.toLowerCase()))
  if (missing.length > 0) fields.add('vary', missing.join(', '))
}

export function corsHeaders(plan: CorsPlan): Filter {
  const origins = new CorsOrigins(plan)
  const exposed = plan.exposeHeaders.join(', ')
  return {
    name: 'cors',
    onRequest(x) {
      if (origins.trusts(x)) x.set(TRUSTED_PAGE, true)
      return undefined
    },
    onResponse(x, head) {
      const { fields } = head
      // Of a preflight that was answered here.
      if (x.get(PREFLIGHT) === true) return undefined
      for (const name of ANSWERS) fields.remove(name)
      if (origins.answer(x, fields) && exposed !== '') fields.add('access-control-expose-headers', exposed)
      return undefined
    },
    explain: () => ({ filter: 'cors', effect: `lets pages of ${plan.allowOrigins.join(', ')} read responses` }),
  }
}

/** The response is that to a preflight, whole. */
export const PREFLIGHT = attribute<boolean>('preflight')
