/** `auth`: what a user writes, and what of it a worker gets. */
import { parseDuration } from '../../lib/quantity.ts'
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
import { API_KEYS_SECRET, JWKS_SECRET, JWT_KEY_SECRET, OIDC_CLIENT_SECRET } from '../secret-types.ts'
import type { CredentialPlace } from './credential.ts'
import { authFilter } from './filter.ts'
import { checkOidc, checkSeveralOidc, type OidcValue, oidcPaths, planOidc } from './oidc/value.ts'
import {
  type ApiKeyPlan,
  type AuthPlan,
  type CertificateField,
  type ClientCertificatePlan,
  identityFieldsOf,
  type JwtPlan,
  type KeyForm,
  type KeySource,
  type MethodPlan,
} from './plan.ts'

/** As it stands in a document; see the schema. Methods that are not built yet are refused before. */
interface AuthValue {
  readonly jwt?: JwtValue
  readonly apiKey?: ApiKeyValue
  readonly clientCertificate?: ClientCertificateValue
  readonly oidc?: OidcValue
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

interface JwtValue {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly algorithms?: readonly string[]
  readonly keys: Readonly<Record<string, string | undefined>>
  readonly from?: readonly CredentialPlace[]
  readonly claimsToHeaders?: readonly { readonly claim: string; readonly header: string }[]
  readonly keepToken?: boolean
  readonly clockSkew?: string
}

const DEFAULT_ALGORITHMS = ['RS256', 'ES256', 'EdDSA']
const DEFAULT_FROM: readonly CredentialPlace[] = [{ header: 'authorization', scheme: 'Bearer' }]
const DEFAULT_SKEW = '30s'

/** The Secrets that keys may be had from, by the field that names one. */
const KEY_SECRETS: Readonly<Record<string, { readonly form: KeyForm; readonly type: string; readonly key: string }>> = {
  publicKeySecretName: { form: 'PublicKeys', type: JWT_KEY_SECRET.type, key: JWT_KEY_SECRET.publicKey },
  sharedSecretName: { form: 'SharedSecret', type: JWT_KEY_SECRET.type, key: JWT_KEY_SECRET.secret },
  jwksSecretName: { form: 'KeySet', type: JWKS_SECRET.type, key: JWKS_SECRET.key },
}

export const auth: PolicyDefinition<AuthValue, AuthPlan> = {
  key: 'auth',
  phase: 'auth',
  check: checkAuth,
  references: { kinds: ['Secret'], find: authReferences },
  plan: planOnce(planAuth),
  byRoute: (value) => methodsOf(value).some(([, { oidc }]) => oidc !== undefined),
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
  for (const [path, method] of methodsOf(value)) {
    const { jwt, clientCertificate, oidc } = method
    const secret = secretField(method)
    if (place === 'Settings' && secret !== undefined)
      problems.push({
        path: [...path, ...secret],
        message: 'names a Secret in the namespace of a Route; the settings have none, so write auth in the Routes',
      })
    if (clientCertificate !== undefined)
      problems.push(...under([...path, 'clientCertificate'], checkCertificateHeaders(clientCertificate)))
    if (oidc !== undefined) problems.push(...under([...path, 'oidc'], checkOidc(oidc)))
    if (jwt === undefined) continue
    problems.push(...under([...path, 'jwt'], checkJwtFields(jwt)))
  }
  problems.push(...checkSeveralOidc(methodsOf(value).flatMap(([path, { oidc }]) => (oidc ? [{ path, oidc }] : []))))
  return problems
}

/** Where the Secret is named. */
function secretField({ jwt, apiKey, oidc }: AuthValue): readonly string[] | undefined {
  if (jwt !== undefined) return ['jwt', 'keys']
  if (apiKey !== undefined) return ['apiKey', 'secretName']
  return oidc === undefined ? undefined : ['oidc', 'secretName']
}

function* checkJwtFields({ algorithms, keys, from, claimsToHeaders }: JwtValue): Generator<PolicyProblem> {
  for (const [i, algorithm] of (algorithms ?? []).entries())
    if (algorithm.startsWith('HS') !== (keys.sharedSecretName !== undefined))
      yield {
        path: ['algorithms', i],
        message: algorithm.startsWith('HS')
          ? `${algorithm} goes with sharedSecretName alone: with public keys everybody could make tokens`
          : `${algorithm} cannot be verified with a shared key; write HS256, or name a public key`,
      }
  const taken = new Set((from ?? []).flatMap(({ header }) => (header === undefined ? [] : [looseName(header)])))
  for (const [i, { claim, header }] of (claimsToHeaders ?? []).entries()) {
    const problem = checkFieldName(header.toLowerCase())
    if (problem !== undefined) yield { path: ['claimsToHeaders', i, 'header'], message: problem }
    if (/[{}]/.test(claim))
      yield { path: ['claimsToHeaders', i, 'claim'], message: 'is no path of a claim: names with dots between them' }
    if (taken.has(looseName(header)))
      yield { path: ['claimsToHeaders', i, 'header'], message: 'is the header of a token or of another claim' }
    taken.add(looseName(header))
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
    const { secretName } = fieldsOf(fieldsOf(method).apiKey)
    if (typeof secretName === 'string')
      yield { path: [...path, 'apiKey', 'secretName'], kind: 'Secret', name: secretName, type: API_KEYS_SECRET.type }
    const { secretName: client } = fieldsOf(fieldsOf(method).oidc)
    if (typeof client === 'string') {
      const { type } = OIDC_CLIENT_SECRET
      yield { path: [...path, 'oidc', 'secretName'], kind: 'Secret', name: client, type }
    }
    const keys = fieldsOf(fieldsOf(fieldsOf(method).jwt).keys)
    for (const [field, { type, key }] of Object.entries(KEY_SECRETS)) {
      const name = keys[field]
      if (typeof name === 'string') yield { path: [...path, 'jwt', 'keys', field], kind: 'Secret', name, key, type }
    }
  }
}

/** As {@link methodsOf}, of a value that may not have been validated. */
function rawMethods(value: unknown): readonly (readonly [path: readonly (string | number)[], method: unknown])[] {
  const { anyOf } = fieldsOf(value)
  return Array.isArray(anyOf) ? anyOf.map((one, i) => [['anyOf', i], one]) : [[[], value]]
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function planAuth(value: AuthValue, namespace: string | undefined, route = ''): AuthPlan | undefined {
  const stated = methodsOf(value).map(([, method]) => method)
  const methods = stated.flatMap((method) => planMethod(method, namespace, route) ?? [])
  const anonymous = stated.some((method) => method.anonymous !== undefined)
  if (methods.length === 0 && anonymous) return undefined
  return { owner: namespace ?? '', methods, anonymous }
}

/** @returns undefined of `anonymous` */
function planMethod({ jwt, apiKey, clientCertificate, oidc }: AuthValue, namespace: string | undefined, route: string) {
  if (jwt !== undefined) return { jwt: planJwt(jwt, namespace) } satisfies MethodPlan
  if (apiKey !== undefined) return { apiKey: planApiKey(apiKey, namespace) } satisfies MethodPlan
  if (oidc !== undefined) return { oidc: planOidc(oidc, namespace, route) } satisfies MethodPlan
  return clientCertificate && ({ clientCertificate: planCertificate(clientCertificate) } satisfies MethodPlan)
}

function planCertificate({ toHeaders = [] }: ClientCertificateValue): ClientCertificatePlan {
  return { toHeaders: toHeaders.map(({ field, header }) => ({ field, header: header.toLowerCase() })) }
}

function planJwt(jwt: JwtValue, namespace: string | undefined): JwtPlan {
  const { issuer, audiences, keys, claimsToHeaders = [], keepToken = false, clockSkew = DEFAULT_SKEW } = jwt
  const shared = keys.sharedSecretName !== undefined
  return {
    issuer,
    audiences,
    algorithms: jwt.algorithms ?? (shared ? ['HS256'] : DEFAULT_ALGORITHMS),
    keys: keySource(keys, namespace),
    from: (jwt.from ?? DEFAULT_FROM).map(inLowerCase),
    claimsToHeaders: claimsToHeaders.map(({ claim, header }) => ({
      claim,
      header: header.toLowerCase(),
    })),
    keepToken,
    clockSkew: parseDuration(clockSkew),
  }
}

function planApiKey({ secretName, from }: ApiKeyValue, namespace: string | undefined): ApiKeyPlan {
  if (namespace === undefined) throw new TypeError('API keys stand in a Secret of a namespace')
  const { type, all } = API_KEYS_SECRET
  return {
    content: contentId({ kind: 'Secret', namespace, name: secretName, key: all, type }),
    from: from.map(inLowerCase),
  }
}

function inLowerCase(place: CredentialPlace): CredentialPlace {
  return place.header === undefined ? place : { ...place, header: place.header.toLowerCase() }
}

function keySource(keys: JwtValue['keys'], namespace: string | undefined): KeySource {
  const [field, secret] = Object.entries(KEY_SECRETS).find(([name]) => keys[name] !== undefined) ?? []
  if (field === undefined || secret === undefined || namespace === undefined)
    throw new TypeError('keys of tokens stand in a Secret of a namespace')
  const { form, type, key } = secret
  return { form, content: contentId({ kind: 'Secret', namespace, name: keys[field]!, key, type }) }
}
