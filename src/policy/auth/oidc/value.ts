/** `auth.oidc` as a user writes it: defaults, what the schema cannot say, and the plan. */
import { normalizePath } from '../../../pattern/path.ts'
import { contentId } from '../../contents.ts'
import type { PolicyPath, PolicyProblem } from '../../definition.ts'
import { OIDC_CLIENT_SECRET } from '../../secret-types.ts'
import type { OidcPlan } from './plan.ts'

export interface OidcValue {
  readonly secretName: string
  readonly scopes?: readonly string[]
  readonly redirectPath?: string
  readonly logoutPath?: string
  readonly cookie?: { readonly name?: string; readonly sameSite?: 'Lax' | 'Strict' | 'None' }
}

const REDIRECT_PATH = '/oauth2/callback'
const LOGOUT_PATH = '/logout'
const COOKIE = '__Host-hg'
/** Without it the provider signs nobody in (OpenID Connect Core 1.0 §3.1.2.1). */
const OPENID = 'openid'

function withDefaults({ secretName, scopes = [OPENID, 'email'], cookie = {}, ...paths }: OidcValue) {
  const { redirectPath = REDIRECT_PATH, logoutPath = LOGOUT_PATH } = paths
  const { name = COOKIE, sameSite = 'Lax' as const } = cookie
  const all = scopes.includes(OPENID) ? scopes : [OPENID, ...scopes]
  return { secretName, scopes: all, redirectPath, logoutPath, cookie: { name, sameSite } }
}

export function* checkOidc(value: OidcValue): Generator<PolicyProblem> {
  const { redirectPath, logoutPath } = withDefaults(value)
  for (const [field, path] of [
    ['redirectPath', redirectPath],
    ['logoutPath', logoutPath],
  ] as const)
    if (normalizePath(path, 'Strict') !== path)
      yield { path: [field], message: 'is no path in normal form, so no request has it' }
  if (redirectPath === logoutPath)
    yield { path: ['logoutPath'], message: 'is redirectPath too; give each a path of its own' }
}

/** Of one `anyOf`: each needs its own paths and its own cookie. */
export function* checkSeveralOidc(
  values: readonly { readonly path: PolicyProblem['path']; readonly oidc: OidcValue }[],
): Generator<PolicyProblem> {
  const taken = new Set<string>()
  for (const { path, oidc } of values) {
    const { redirectPath, logoutPath, cookie } = withDefaults(oidc)
    for (const [field, text] of [
      [['redirectPath'], redirectPath],
      [['logoutPath'], logoutPath],
      [['cookie', 'name'], `cookie ${cookie.name}`],
    ] as const) {
      if (taken.has(text) && values.length > 1)
        yield { path: [...path, 'oidc', ...field], message: 'is that of another oidc in the list; name another' }
      taken.add(text)
    }
  }
}

/** @param value of `oidc`, or whatever stands there */
export function* oidcPaths(value: unknown): Generator<PolicyPath> {
  if (typeof value !== 'object' || value === null) return
  const { redirectPath = REDIRECT_PATH, logoutPath = LOGOUT_PATH } = value as Readonly<Record<string, unknown>>
  const server = JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  for (const path of [redirectPath, logoutPath]) if (typeof path === 'string') yield { path, server }
}

export function planOidc(value: OidcValue, namespace: string | undefined, route: string): OidcPlan {
  if (namespace === undefined) throw new TypeError('a client of a provider stands in a Secret of a namespace')
  const { secretName, ...rest } = withDefaults(value)
  const { type, all } = OIDC_CLIENT_SECRET
  return {
    client: { namespace, secret: secretName },
    content: contentId({ kind: 'Secret', namespace, name: secretName, key: all, type }),
    route,
    ...rest,
  }
}
