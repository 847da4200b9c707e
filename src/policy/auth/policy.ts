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
import { API_KEYS_SECRET } from '../secret-types.ts'
import { type CredentialPlace, inLowerCase } from './credential.ts'
import { checkExternal, type ExternalValue, externalReferences, planExternal } from './external-policy.ts'
import { authFilter } from './filter.ts'
import { checkJwtFields, DEFAULT_FROM, fieldsOf, type JwtValue, jwtReferences, planJwt } from './jwt-value.ts'
import {
  type ApiKeyPlan,
  type AuthPlan,
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
  readonly external?: ExternalValue
  readonly basic?: { readonly secretName: string; readonly realm?: string }
  readonly anonymous?: object
  readonly anyOf?: readonly AuthValue[]
}

interface ApiKeyValue {
  readonly secretName: string
  readonly from: readonly CredentialPlace[]
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
  for (const [i, [path, { jwt, apiKey, clientCertificate, external }]] of methods.entries()) {
    if (place === 'Settings' && (apiKey !== undefined || (jwt !== undefined && jwt.keys.jwksURI === undefined)))
      problems.push({
        path: [...path, ...(jwt === undefined ? ['apiKey', 'secretName'] : ['jwt', 'keys'])],
        message: 'names a Secret in the namespace of a Route; the settings have none, so write auth in the Routes',
      })
    if (external !== undefined) {
      problems.push(...under([...path, 'external'], checkExternal(external, place)))
      problems.push(...checkPlace(methods, i))
    }
    if (clientCertificate !== undefined)
      problems.push(...under([...path, 'clientCertificate'], checkCertificateHeaders(clientCertificate)))
    if (jwt === undefined) continue
    problems.push(...under([...path, 'jwt'], checkJwtFields(jwt)))
  }
  return problems
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
  const { anyOf } = fieldsOf(value)
  const methods = Array.isArray(anyOf) ? anyOf.map((one, i) => [['anyOf', i], one] as const) : [[[], value] as const]
  for (const [path, method] of methods) {
    for (const one of externalReferences(fieldsOf(method).external))
      yield { ...one, path: [...path, 'external', ...one.path] }
    const { secretName } = fieldsOf(fieldsOf(method).apiKey)
    if (typeof secretName === 'string')
      yield { path: [...path, 'apiKey', 'secretName'], kind: 'Secret', name: secretName, type: API_KEYS_SECRET.type }
    for (const reference of jwtReferences(fieldsOf(method).jwt))
      yield { ...reference, path: [...path, 'jwt', ...reference.path] }
  }
}

function planAuth(value: AuthValue, namespace: string | undefined): AuthPlan | undefined {
  const stated = methodsOf(value).map(([, method]) => method)
  const methods = stated.flatMap((method) => planMethod(method, namespace) ?? [])
  const anonymous = stated.some((method) => method.anonymous !== undefined)
  if (methods.length === 0 && anonymous) return undefined
  return { owner: namespace ?? '', methods, anonymous }
}

/** @returns undefined of `anonymous` */
function planMethod({ jwt, apiKey, clientCertificate, external }: AuthValue, namespace: string | undefined) {
  if (jwt !== undefined) return { jwt: planJwt(jwt, namespace) } satisfies MethodPlan
  if (apiKey !== undefined) return { apiKey: planApiKey(apiKey, namespace) } satisfies MethodPlan
  if (external !== undefined) return { external: planExternal(external, namespace) } satisfies MethodPlan
  return clientCertificate && ({ clientCertificate: planCertificate(clientCertificate) } satisfies MethodPlan)
}

function planCertificate({ toHeaders = [] }: ClientCertificateValue): ClientCertificatePlan {
  return { toHeaders: toHeaders.map(({ field, header }) => ({ field, header: header.toLowerCase() })) }
}

function planApiKey({ secretName, from }: ApiKeyValue, namespace: string | undefined): ApiKeyPlan {
  if (namespace === undefined) throw new TypeError('API keys stand in a Secret of a namespace')
  const { type, all } = API_KEYS_SECRET
  return {
    content: contentId({ kind: 'Secret', namespace, name: secretName, key: all, type }),
    from: from.map(inLowerCase),
  }
}
