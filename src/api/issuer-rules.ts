/**
 * `issuerRule`: tokens that a rule of the same Route issues. The name of its Secret is put beside the name of the rule,
 * under a symbol: in no document, and part of the value for whoever compares or plans it, also where others inherit it.
 */
import { ISSUER_SECRET } from '../policy/auth/jwt-value.ts'
import type { FieldProblem } from './object.ts'
import { policyPlaces } from './policy-places.ts'
import { list, member } from './raw-object.ts'
import type { Route } from './route.ts'

interface Use {
  readonly path: readonly (string | number)[]
  readonly jwt: unknown
  readonly keys: object
  readonly rule: string
}

/**
 * @param route valid by its schema
 * @returns a Route whose values have what they need to be planned
 */
export function resolveIssuerRules<T extends object>(
  object: T,
): { readonly problems: readonly FieldProblem[]; readonly object: T } {
  const route = object as unknown as Route
  const problems: FieldProblem[] = []
  let resolved = object
  for (const { path, jwt, keys, rule: name } of uses(route)) {
    const at = [...path, 'jwt', 'keys', 'issuerRule']
    const issuer = route.spec.rules.find((rule) => rule.name === name)?.tokenIssuer
    if (issuer === undefined)
      problems.push({ path: at, reason: 'Invalid', message: `names no rule with tokenIssuer of this Route` })
    else if (member(jwt, 'issuer') !== issuer.issuer)
      problems.push({
        path: [...path, 'jwt', 'issuer'],
        reason: 'Invalid',
        message: `is another issuer than that of the rule ${name}; write ${issuer.issuer}`,
      })
    else
      resolved = replaced(resolved, at.slice(0, -1), {
        ...keys,
        [ISSUER_SECRET]: issuer.signingKeySecretName,
      }) as T
  }
  return { problems, object: resolved }
}

function* uses(route: Route): Generator<Use> {
  for (const { path, policies } of policyPlaces('Route', route)) {
    const auth = member(policies, 'auth')
    yield* useIn(auth, [...path, 'auth'])
    for (const [i, method] of list(member(auth, 'anyOf')).entries()) yield* useIn(method, [...path, 'auth', 'anyOf', i])
  }
}

function* useIn(method: unknown, path: readonly (string | number)[]): Generator<Use> {
  const jwt = member(method, 'jwt')
  const keys = member(jwt, 'keys')
  const rule = member(keys, 'issuerRule')
  if (typeof rule === 'string') yield { path, jwt, keys: keys as object, rule }
}

/** A copy, frozen as what is validated is, with another value at a path. */
function replaced(object: unknown, [step, ...rest]: readonly (string | number)[], value: object): unknown {
  if (step === undefined) return Object.freeze(value)
  const inner = replaced((object as Record<string | number, unknown>)[step], rest, value)
  if (Array.isArray(object)) return Object.freeze(object.with(step as number, inner))
  return Object.freeze({ ...(object as object), [step]: inner })
}
