/** `auth`: what a user writes, and what of it a worker gets. */
import { looseName } from '../../message/fields.ts'
import { contentId } from '../contents.ts'
import {
  type PolicyDefinition,
  type PolicyPlace,
  type PolicyProblem,
  type PolicyReference,
  planOnce,
} from '../definition.ts'
import { checkFieldName } from '../header-edits/field-names.ts'
import { API_KEYS_SECRET, HTPASSWD_SECRET, OIDC_CLIENT_SECRET } from '../secret-types.ts'
import { type CredentialPlace, inLowerCase } from './credential.ts'
import { checkExternal, type ExternalValue, externalReferences, planExternal } from './external-policy.ts'
import { authFilter } from './filter.ts'
import { checkJwtFields, DEFAULT_FROM, fieldsOf, type JwtValue, jwtReferences, planJwt } from './jwt-value.ts'
import { checkOidc, checkSeveralOidc, type OidcValue, oidcPaths, planOidc } from './oidc/value.ts'
import {
  type ApiKeyPlan,
  type AuthPlan,
  type BasicPlan,
  type CertificateField,
  type ClientCertificatePlan,
  identityFieldsOf,
  type MethodPlan,
} from './plan.ts'

/** As it stands in a document; see the schema. Methods that are not built yet are refused before. */
interface AuthValue {
  readonly jwt?: JwtValue
  readonly apiKey?: ApiKeyValue
  readonly clientCertificate?: ClientCertificateValue
  readonly oidc?: OidcValue
  readonly external?: ExternalValue
  readonly basic?: BasicValue
  readonly anonymous?: object
  readonly anyOf?: readonly AuthValue[]
}

interface ApiKeyValue {
  readonly secretName: string
  readonly from: readonly CredentialPlace[]
}

interface BasicValue {
  readonly secretName: string
  readonly realm?: string
}

interface ClientCertificateValue {
  readonly toHeaders?: readonly { readonly field: CertificateField; readonly header: string }[]
}

export const auth: PolicyDefinition<AuthValue, AuthPlan> = {
  key: 'auth',
  phase: 'auth',
  check: checkAuth,
  references: { kinds: ['Secret', 'Backend', 'Service'], find: authReferences },
  plan: planOnce(planAuth),
  byRoute: (value) =>
    methodsOf(value).some(([, { oidc, jwt }]) => oidc !== undefined || jwt?.keys.issuerRule !== undefined),
  paths: (value) => rawMethods(value).flatMap(([, method]) => [...oidcPaths(fieldsOf(method).oidc)]),
  identityFields: ({ methods }) => methods.flatMap(identityFieldsOf),
  create: authFilter,
}

/** The methods of a value in their order, each with its path. */
function methodsOf(value: AuthValue): readonly (readonly [path: readonly (string | number)[], method: AuthValue])[] {
  if (value.anyOf === undefined) return [[[], value]]
  return value.anyOf.map((method, i) => [['anyOf', i], method] as const)
}

function checkAuth(value: AuthValue, place: PolicyPlace): readonly PolicyProblem[] {
  const problems: PolicyProblem[] = []
  const methods = methodsOf(value)
  for (const [i, [path, method]] of methods.entries()) {
    const { jwt, clientCertificate, external, oidc } = method
    const secret = secretField(method)
    if (place === 'Settings' && secret !== undefined)
      problems.push({
        path: [...path, ...secret],
        message: 'names a Secret in the namespace of a Route; the settings have none, so write auth in the Routes',
      })
    if (external !== undefined) {
      problems.push(...under([...path, 'external'], checkExternal(external, place)))
      problems.push(...checkPlace(methods, i))
    }
    if (clientCertificate !== undefined)
      problems.push(...under([...path, 'clientCertificate'], checkCertificateHeaders(clientCertificate)))
    if (oidc !== undefined) problems.push(...under([...path, 'oidc'], checkOidc(oidc)))
    if (jwt === undefined) continue
    problems.push(...under([...path, 'jwt'], checkJwtFields(jwt)))
  }
  problems.push(...checkSeveralOidc(methodsOf(value).flatMap(([path, { oidc }]) => (oidc ? [{ path, oidc }] : []))))
  return problems
}

/** Where a Secret is named. */
function secretField({ jwt, apiKey, oidc, basic }: AuthValue): readonly string[] | undefined {
  if (jwt !== undefined) return jwt.keys.jwksURI === undefined ? ['jwt', 'keys'] : undefined
  if (apiKey !== undefined) return ['apiKey', 'secretName']
  if (basic !== undefined) return ['basic', 'secretName']
  return oidc === undefined ? undefined : ['oidc', 'secretName']
}

/** The service is asked about every request: it stands last, and decides for those without a credential, too. */
function* checkPlace(methods: ReturnType<typeof methodsOf>, position: number): Generator<PolicyProblem> {
  const [path, { external }] = methods[position]!
  if (position < methods.length - 1)
    yield { path, message: 'decides about every request, so what stands behind it is never asked; put it last' }
  if (methods.some(([, { anonymous }]) => anonymous !== undefined))
    yield { path, message: 'decides about requests without a credential, too; leave anonymous out' }
  const taken = new Set(
    methods.flatMap(([, { jwt, apiKey, basic }]) =>
      [
        ...(jwt === undefined ? [] : (jwt.from ?? DEFAULT_FROM)),
        ...(apiKey?.from ?? []),
        ...(basic === undefined ? [] : DEFAULT_FROM),
      ].flatMap(({ header }) => (header === undefined ? [] : [looseName(header)])),
    ),
  )
  for (const [i, name] of (external?.responseHeaders ?? []).entries())
    if (taken.has(looseName(name)))
      yield {
        path: [...path, 'external', 'responseHeaders', i],
        message: 'is where another method of the list has its credential',
      }
}

function* checkCertificateHeaders({ toHeaders }: ClientCertificateValue): Generator<PolicyProblem> {
  const taken = new Set<string>()
  for (const [i, { header }] of (toHeaders ?? []).entries()) {
    const problem = checkFieldName(header.toLowerCase())
    if (problem !== undefined) yield { path: ['toHeaders', i, 'header'], message: problem }
    if (taken.has(looseName(header)))
      yield { path: ['toHeaders', i, 'header'], message: 'is the header of another field of the certificate' }
    taken.add(looseName(header))
  }
}

function under(path: PolicyProblem['path'], problems: Iterable<PolicyProblem>): PolicyProblem[] {
  return Array.from(problems, (one) => ({ ...one, path: [...path, ...one.path] }))
}

function* authReferences(value: unknown): Generator<PolicyReference> {
  for (const [path, method] of rawMethods(value)) {
    for (const one of externalReferences(fieldsOf(method).external))
      yield { ...one, path: [...path, 'external', ...one.path] }
    const { secretName } = fieldsOf(fieldsOf(method).apiKey)
    if (typeof secretName === 'string')
      yield { path: [...path, 'apiKey', 'secretName'], kind: 'Secret', name: secretName, type: API_KEYS_SECRET.type }
    const { secretName: users } = fieldsOf(fieldsOf(method).basic)
    const { type, key } = HTPASSWD_SECRET
    if (typeof users === 'string')
      yield { path: [...path, 'basic', 'secretName'], kind: 'Secret', name: users, key, type }
    const { secretName: client } = fieldsOf(fieldsOf(method).oidc)
    if (typeof client === 'string') {
      const { type } = OIDC_CLIENT_SECRET
      yield { path: [...path, 'oidc', 'secretName'], kind: 'Secret', name: client, type }
    }
    for (const reference of jwtReferences(fieldsOf(method).jwt))
      yield { ...reference, path: [...path, 'jwt', ...reference.path] }
  }
}

/** As {@link methodsOf}, of a value that may not have been validated. */
function rawMethods(value: unknown): readonly (readonly [path: readonly (string | number)[], method: unknown])[] {
  const { anyOf } = fieldsOf(value)
  return Array.isArray(anyOf) ? anyOf.map((one, i) => [['anyOf', i], one]) : [[[], value]]
}

function planAuth(value: AuthValue, namespace: string | undefined, route = ''): AuthPlan | undefined {
  const stated = methodsOf(value).map(([, method]) => method)
  const methods = stated.flatMap((method) => planMethod(method, namespace, route) ?? [])
  const anonymous = stated.some((method) => method.anonymous !== undefined)
  if (methods.length === 0 && anonymous) return undefined
  return { owner: namespace ?? '', methods, anonymous }
}

/** @returns undefined of `anonymous` */
function planMethod(value: AuthValue, namespace: string | undefined, route: string) {
  const { jwt, apiKey, clientCertificate, external, oidc, basic } = value
  if (jwt !== undefined) return { jwt: planJwt(jwt, namespace) } satisfies MethodPlan
  if (apiKey !== undefined) return { apiKey: planApiKey(apiKey, namespace) } satisfies MethodPlan
  if (basic !== undefined) return { basic: planBasic(basic, namespace) } satisfies MethodPlan
  if (external !== undefined) return { external: planExternal(external, namespace) } satisfies MethodPlan
  if (oidc !== undefined) return { oidc: planOidc(oidc, namespace, route) } satisfies MethodPlan
  return clientCertificate && ({ clientCertificate: planCertificate(clientCertificate) } satisfies MethodPlan)
}

function planCertificate({ toHeaders = [] }: ClientCertificateValue): ClientCertificatePlan {
  return { toHeaders: toHeaders.map(({ field, header }) => ({ field, header: header.toLowerCase() })) }
}

function planBasic({ secretName, realm }: BasicValue, namespace: string | undefined): BasicPlan {
  if (namespace === undefined) throw new TypeError('passwords stand in a Secret of a namespace')
  const { type, key } = HTPASSWD_SECRET
  const content = contentId({ kind: 'Secret', namespace, name: secretName, key, type })
  return realm === undefined ? { content } : { content, realm }
}

function planApiKey({ secretName, from }: ApiKeyValue, namespace: string | undefined): ApiKeyPlan {
  if (namespace === undefined) throw new TypeError('API keys stand in a Secret of a namespace')
  const { type, all } = API_KEYS_SECRET
  return {
    content: contentId({ kind: 'Secret', namespace, name: secretName, key: all, type }),
    from: from.map(inLowerCase),
  }
}
