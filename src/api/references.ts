/**
 * What objects refer to: one extractor for each kind, the only place that knows in which fields names stand. An
 * extractor reads objects that have not been validated as well as those that have: nothing is believed, nothing throws,
 * and what is no name is no reference.
 */

import { KEY_SET, KEY_SET_PART } from '../policy/auth/key-set.ts'
import { POLICIES } from '../policy/built-in.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import { CA_SECRET, CRL_SECRET, REDIS_SECRET, TICKET_KEY_SECRET, TLS_SECRET } from '../policy/secret-types.ts'
import { ISSUER_SECRETS } from '../policy/token-issuer/plan.ts'
import { policyPlaces } from './policy-places.ts'
import { list, member } from './raw-object.ts'

export interface Reference {
  /** Where it stands: property names and list indexes. */
  readonly path: readonly (string | number)[]
  /** A row of the table of kinds. */
  readonly kind: string
  /** Empty for a kind without namespaces. */
  readonly namespace: string
  /** {@link ALL} = every object of the kind. */
  readonly name: string
  /** Of a Service. */
  readonly port?: number | string
  /** Of a ConfigMap or Secret. */
  readonly key?: string
  /**
   * Of a Secret: the type that it must have. Without `key`: what is read of that type. Of a key set: the issuer that
   * its metadata must name.
   */
  readonly type?: string
  /**
   * Of a Secret in another namespace: the namespace that it must be shared with. Of a key set: whose reference it is.
   */
  readonly sharedWith?: string
  readonly purpose: Purpose
}

/**
 * `Traffic`: requests are sent there. `Endpoints`: it lists the pods of a Backend. `Policy`: a policy uses it. `TLS`:
 * handshakes use it. `Labels`: they decide who may. `Guard`: it tells what must not be dialled.
 */
export type Purpose = 'Traffic' | 'Endpoints' | 'Policy' | 'TLS' | 'Labels' | 'Guard'

/** The name in a reference to every object of a kind: no object is called so. */
export const ALL = '*'

export interface Extractor {
  /** Kinds of the referenced objects, which a role must be permitted to read. */
  readonly names: readonly string[]
  find(object: unknown, namespace: string): Iterable<Reference>
}

export const routeReferences: Extractor = extractorOfRoutes(POLICIES)

/** @param policies tests pass rows of their own */
export function extractorOfRoutes(policies: readonly PolicyDefinition[]): Extractor {
  const ofPolicies = policies.flatMap(({ references }) => references?.kinds ?? [])
  return {
    names: [...new Set<string>(['Backend', 'Service', 'Namespace', 'Secret', ...ofPolicies])],
    find: (object, namespace) => findInRoute(object, namespace, policies),
  }
}

function* findInRoute(object: unknown, namespace: string, rows: readonly PolicyDefinition[]): Generator<Reference> {
  const spec = member(object, 'spec')
  for (const [i, delegate] of list(member(spec, 'delegates')).entries())
    if (member(member(delegate, 'namespaces'), 'from') === 'Selector')
      yield labelsOfNamespaces(['spec', 'delegates', i, 'namespaces', 'selector'])
  yield* routeTlsReferences(member(spec, 'tls'), namespace)
  for (const [i, rule] of list(member(spec, 'rules')).entries())
    for (const [j, ref] of list(member(rule, 'backendRefs')).entries())
      yield* backendReference(ref, namespace, ['spec', 'rules', i, 'backendRefs', j])
  for (const [i, rule] of list(member(spec, 'rules')).entries())
    yield* issuerReferences(member(rule, 'tokenIssuer'), namespace, ['spec', 'rules', i, 'tokenIssuer'])
  for (const { path, policies } of policyPlaces('Route', object))
    for (const row of rows) yield* policyReferences(row, member(policies, row.key), namespace, [...path, row.key])
}

export const backendReferences: Extractor = {
  names: ['Service', 'Secret'],
  *find(object, namespace) {
    const spec = member(object, 'spec')
    yield* serviceReference(member(spec, 'service'), namespace, ['spec', 'service'], 'Endpoints')
    const tls = member(spec, 'tls')
    yield* upstreamSecret(tls, 'caSecretName', namespace, CA_SECRET.type, [CA_SECRET.key])
    const { type, certificate, key } = TLS_SECRET
    yield* upstreamSecret(tls, 'clientCertificateSecretName', namespace, type, [certificate, key])
  },
}

/** The keys that are read of a Secret that a field of a Backend's `tls` names. */
function* upstreamSecret(
  tls: unknown,
  field: string,
  namespace: string,
  type: string,
  keys: readonly string[],
): Generator<Reference> {
  const name = member(tls, field)
  if (!isName(name)) return
  for (const key of keys)
    yield { path: ['spec', 'tls', field], kind: 'Secret', namespace, name, key, type, purpose: 'TLS' }
}

export const ingressReferences: Extractor = {
  names: ['Backend', 'Service', 'Secret'],
  *find(object, namespace) {
    const spec = member(object, 'spec')
    yield* ingressBackend(member(spec, 'defaultBackend'), namespace, ['spec', 'defaultBackend'])
    for (const [i, rule] of list(member(spec, 'rules')).entries())
      for (const [j, path] of list(member(member(rule, 'http'), 'paths')).entries())
        yield* ingressBackend(member(path, 'backend'), namespace, ['spec', 'rules', i, 'http', 'paths', j, 'backend'])
    for (const [i, entry] of list(member(spec, 'tls')).entries())
      yield* secretReference(TLS_SECRET, member(entry, 'secretName'), namespace, ['spec', 'tls', i, 'secretName'])
  },
}

/**
 * Grants to namespaces with certain labels, Secrets, which the operator may take from any namespace, and the key sets
 * of policies.
 */
export function* settingsReferences(settings: unknown): Generator<Reference> {
  for (const { path, policies } of policyPlaces('Settings', settings))
    for (const row of POLICIES)
      for (const reference of policyReferences(row, member(policies, row.key), '', [...path, row.key]))
        if (reference.kind === KEY_SET) yield reference
  const lists = [
    [member(settings, 'hostnames'), ['hostnames']],
    [member(member(settings, 'upstreams'), 'externalTargets'), ['upstreams', 'externalTargets']],
  ] as const
  for (const [grants, path] of lists)
    for (const [i, grant] of list(grants).entries())
      if (member(member(grant, 'namespaces'), 'from') === 'Selector')
        yield labelsOfNamespaces([...path, i, 'namespaces', 'selector'])
  const tls = member(settings, 'tls')
  for (const [field, secret] of [
    ['defaultCertificate', TLS_SECRET],
    ['sessionTicketKey', TICKET_KEY_SECRET],
  ] as const) {
    const named = member(tls, field)
    const namespace = member(named, 'namespace')
    if (isName(namespace))
      yield* secretReference(secret, member(named, 'secretName'), namespace, ['tls', field, 'secretName'])
  }
  const redis = member(settings, 'redis')
  const namespace = member(redis, 'namespace')
  if (!isName(namespace)) return
  yield* secretReference(REDIS_SECRET, member(redis, 'secretName'), namespace, ['redis', 'secretName'])
  const path = ['redis', 'tls', 'caSecretName']
  yield* secretReference(CA_SECRET, member(member(redis, 'tls'), 'caSecretName'), namespace, path)
}

function* routeTlsReferences(tls: unknown, namespace: string): Generator<Reference> {
  for (const [i, certificate] of list(member(tls, 'certificates')).entries()) {
    const of = member(certificate, 'namespace') ?? namespace
    const path = ['spec', 'tls', 'certificates', i, 'secretName']
    if (isName(of)) yield* secretReference(TLS_SECRET, member(certificate, 'secretName'), of, path, namespace)
  }
  const clients = member(tls, 'clientCertificate')
  const path = ['spec', 'tls', 'clientCertificate']
  yield* secretReference(CA_SECRET, member(clients, 'caSecretName'), namespace, [...path, 'caSecretName'])
  yield* secretReference(CRL_SECRET, member(clients, 'crlSecretName'), namespace, [...path, 'crlSecretName'])
}

/** @param user the namespace that uses it */
function* secretReference(
  { type }: { readonly type: string },
  name: unknown,
  namespace: string,
  path: Path,
  user = namespace,
): Generator<Reference> {
  if (!isName(name)) return
  const shared = user === namespace ? undefined : { sharedWith: user }
  yield { path, kind: 'Secret', namespace, name, type, ...shared, purpose: 'TLS' }
}

type Path = readonly (string | number)[]

function* issuerReferences(issuer: unknown, namespace: string, path: Path): Generator<Reference> {
  for (const [field, { type }] of Object.entries(ISSUER_SECRETS)) {
    const name = member(issuer, field)
    if (isName(name)) yield { path: [...path, field], kind: 'Secret', namespace, name, type, purpose: 'Policy' }
  }
}

function labelsOfNamespaces(path: Path): Reference {
  return { path, kind: 'Namespace', namespace: '', name: ALL, purpose: 'Labels' }
}

/** The objects that a policy names are of the namespace of its Route, unless it names another. */
function* policyReferences(row: PolicyDefinition, value: unknown, namespace: string, path: Path): Generator<Reference> {
  if (row.references === undefined || value === undefined) return
  for (const found of row.references.find(value)) {
    const { kind, name, port, key, type, namespace: of = namespace } = found
    if (kind === KEY_SET) {
      yield keySetReference([...path, ...found.path], name, type, namespace)
      continue
    }
    if (!isName(name) || !isName(of) || (key !== undefined && !isName(key))) continue
    const purpose = kind === 'Service' || kind === 'Backend' ? 'Traffic' : 'Policy'
    yield {
      path: [...path, ...found.path],
      kind,
      namespace: of,
      name,
      ...(port === undefined ? {} : { port }),
      ...(key === undefined ? {} : { key }),
      ...(type === undefined ? {} : { type }),
      purpose,
    }
  }
}

/** @param user whose it is; empty: the settings */
function keySetReference(path: Path, url: string, issuer: string | undefined, user: string): Reference {
  const type = issuer === undefined ? undefined : { type: issuer }
  return {
    path,
    kind: KEY_SET,
    namespace: '',
    name: url,
    key: KEY_SET_PART,
    ...type,
    sharedWith: user,
    purpose: 'Policy',
  }
}

/** A Backend by name, or a Service of the same namespace. */
function* backendReference(ref: unknown, namespace: string, path: Path): Generator<Reference> {
  const service = member(ref, 'service')
  if (service !== undefined) yield* serviceReference(service, namespace, [...path, 'service'], 'Traffic')
  else {
    const name = member(ref, 'name')
    const of = member(ref, 'namespace') ?? namespace
    // What an Ingress names that is no Backend becomes a name with a slash: no Backend has one.
    if (isText(name) && isName(of)) yield { path, kind: 'Backend', namespace: of, name, purpose: 'Traffic' }
  }
}

function* serviceReference(service: unknown, namespace: string, path: Path, purpose: Purpose): Generator<Reference> {
  const name = member(service, 'name')
  if (!isName(name)) return
  const port = member(service, 'port')
  const numbered = typeof port === 'number' || typeof port === 'string' ? { port } : undefined
  yield { path, kind: 'Service', namespace, name, ...numbered, purpose }
}

function* ingressBackend(backend: unknown, namespace: string, path: Path): Generator<Reference> {
  const service = member(backend, 'service')
  if (service !== undefined) {
    const port = member(service, 'port')
    const given = { name: member(service, 'name'), port: member(port, 'name') ?? member(port, 'number') ?? 0 }
    return yield* serviceReference(given, namespace, [...path, 'service'], 'Traffic')
  }
  const resource = member(backend, 'resource')
  const name = member(resource, 'name')
  if (member(resource, 'kind') === 'Backend' && member(resource, 'apiGroup') === 'headgate.dev' && isName(name))
    yield { path: [...path, 'resource'], kind: 'Backend', namespace, name, purpose: 'Traffic' }
}

/** Longer than any name that an API server accepts: such a text is not kept. */
const MAX_NAME = 253

function isName(value: unknown): value is string {
  return isText(value) && value.length <= MAX_NAME && !value.includes('/')
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 2 * MAX_NAME
}
