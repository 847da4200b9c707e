/** What a schema cannot say of who may pass a Route. */
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'

/** Policies that decide about requests, which nobody reads of a connection that is passed through. */
const DECISIONS = ['auth', 'authorization', 'access'] as const

/** Rules of `authorization` that ask who the client is. */
interface AuthorizationShape {
  readonly claim?: string
  readonly scopes?: unknown
  readonly consumers?: unknown
  readonly groups?: unknown
}

/** @param route valid by its schema */
export function accessProblems({ spec }: Route): FieldProblem[] {
  if (spec.tls?.mode !== 'Passthrough') return []
  const [first] = spec.rules
  const problems: FieldProblem[] = []
  for (const key of DECISIONS) {
    const [path, value] = statedBy(spec, first, 0, key) ?? []
    if (path !== undefined && !asksNothing(value))
      problems.push({
        path: ['spec', ...path, key],
        reason: 'Invalid',
        message: `cannot hold for the first rule, which gets the connections with tls.mode: Passthrough and shows the gateway no request; write tls.mode: Terminate, or ${WITHOUT[key]} in policies of that rule`,
      })
  }
  return problems
}

const WITHOUT = { auth: 'auth: { anonymous: {} }', authorization: 'authorization: []', access: 'access: {}' } as const

/** Rules that nobody can pass. */
export function accessWarnings({ spec }: Route): FieldProblem[] {
  return [...identityWarnings(spec), ...certificateWarnings(spec)]
}

/** Nobody asks clients for the certificate that a rule wants of them. */
function certificateWarnings(spec: Spec): FieldProblem[] {
  if (spec.tls?.clientCertificate !== undefined) return []
  const told = new Set<string>()
  return spec.rules.flatMap((rule, i) => {
    const [path, value] = statedBy(spec, rule, i, 'auth') ?? []
    if (path === undefined || told.has(path.join()) || !wantsCertificate(value)) return []
    told.add(path.join())
    return [
      {
        path: ['spec', ...path, 'auth'],
        reason: 'Invalid' as const,
        message: `rule ${rule.name} wants a client certificate, and the Route asks clients for none: unless the owner of the hostname does, nobody has one; add tls.clientCertificate`,
      },
    ]
  })
}

function wantsCertificate(auth: unknown): boolean {
  const { clientCertificate, anyOf } = auth as { readonly clientCertificate?: unknown; readonly anyOf?: unknown }
  return clientCertificate !== undefined || (Array.isArray(anyOf) && anyOf.some(wantsCertificate))
}

function identityWarnings(spec: Spec): FieldProblem[] {
  const told = new Set<string>()
  return spec.rules.flatMap((rule, i) => {
    const [path, value] = statedBy(spec, rule, i, 'authorization') ?? []
    if (path === undefined || !asksForIdentity(value)) return []
    const [, auth] = statedBy(spec, rule, i, 'auth') ?? []
    if ((auth !== undefined && !asksNothing(auth)) || told.has(path.join())) return []
    told.add(path.join())
    return [
      {
        path: ['spec', ...path, 'authorization'],
        reason: 'Invalid' as const,
        message: `rule ${rule.name} asks who the client is, and no auth finds that out: unless the settings or the owner of the hostname state one, every request gets 403; add auth`,
      },
    ]
  })
}

type Spec = Route['spec']
type Stated = readonly [path: readonly (string | number)[], value: unknown]

/** By the Route: what it enforces, else what the rule states, else what it states for all. */
function statedBy(spec: Spec, rule: Spec['rules'][number] | undefined, i: number, key: string): Stated | undefined {
  const places: readonly Stated[] = [
    [['policies', 'enforced'], spec.policies?.enforced],
    [['rules', i, 'policies'], rule?.policies],
    [['policies'], spec.policies],
  ]
  for (const [path, policies] of places) {
    const value = (policies as Readonly<Record<string, unknown>> | undefined)?.[key]
    if (value !== undefined) return [path, value]
  }
  return undefined
}

function asksNothing(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  const { anonymous, ...fields } = value as Readonly<Record<string, unknown>>
  return anonymous !== undefined || Object.values(fields).every((field) => Array.isArray(field) && field.length === 0)
}

function asksForIdentity(value: unknown): boolean {
  return (value as readonly AuthorizationShape[]).some(
    ({ claim, scopes, consumers, groups }) => (claim ?? scopes ?? consumers ?? groups) !== undefined,
  )
}
