/** Extracts the Kubernetes objects of a parsed document. */
import { apiVersionOf, isKind, KIND_NAMES, KINDS, type Kind, type KindRow } from '../../api/kinds.ts'
import { suggestion } from '../../api/wording.ts'
import type { SourceProblemReason } from '../source.ts'

/** One object as written, validated only as far as its identity requires. */
export interface Manifest {
  readonly kind: Kind
  readonly key: string
  readonly raw: unknown
  /** Path from the document to the object: empty, or `['items', 3]` in a List. */
  readonly base: readonly (string | number)[]
}

export interface ManifestProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  readonly message: string
  /** Relative to the document. */
  readonly path: readonly (string | number)[]
  readonly object?: { readonly kind: string; readonly key: string }
}

type JsonObject = Record<string, unknown>
type Path = readonly (string | number)[]

interface ParsedManifests {
  readonly manifests: Manifest[]
  readonly problems: ManifestProblem[]
}

/** Nested lists have no use; a single level is accepted. */
const MAX_NESTING = 3

/** RFC 1123 subdomain and label, as the API server requires for names. */
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** Reads one document; a `List` yields one object per item. */
export function readManifests(document: unknown): ParsedManifests {
  const result: ParsedManifests = { manifests: [], problems: [] }
  read(document, [], {}, result)
  return result
}

function read(value: unknown, base: Path, inherited: JsonObject, result: ParsedManifests): void {
  const problem = readObject(value, base, inherited, result)
  if (problem !== null) result.problems.push(problem)
}

function readObject(
  value: unknown,
  base: Path,
  inherited: JsonObject,
  result: ParsedManifests,
): ManifestProblem | null {
  if (!isJsonObject(value)) return notAnObject(base, 'This is not a Kubernetes object (apiVersion, kind, metadata, …).')
  const kind = value.kind ?? inherited.kind
  const apiVersion = value.apiVersion ?? inherited.apiVersion
  if (typeof kind !== 'string' || kind === '') {
    const message = 'The field `kind` is missing or not a text; write for example `kind: Route`.'
    return notAnObject([...base, 'kind'], message)
  }
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    const example = apiVersionOf(isKind(kind) ? KINDS[kind] : KINDS.Route)
    const message = `The field \`apiVersion\` is missing or not a text; write for example \`apiVersion: ${example}\`.`
    return notAnObject([...base, 'apiVersion'], message)
  }
  const itemKind = kind === 'List' ? '' : kind.slice(0, -'List'.length)
  if (kind === 'List' || (kind.endsWith('List') && isKind(itemKind)))
    return readList(value, base, itemKind === '' ? {} : { kind: itemKind, apiVersion }, result)
  if (!isKind(kind) || apiVersion !== apiVersionOf(KINDS[kind])) return unreadKind(value, base, apiVersion, kind)
  const read = identify(value, kind, apiVersion, base)
  if ('severity' in read) return read
  result.manifests.push(read)
  return null
}

function readList(
  value: JsonObject,
  base: Path,
  inherited: JsonObject,
  result: ParsedManifests,
): ManifestProblem | null {
  const { items } = value
  // A List that was split into its items has `items` without a value; the API server prints null for no items.
  if (items === undefined || items === null) return null
  const path = [...base, 'items']
  if (!Array.isArray(items)) return notAnObject(path, 'The field `items` of a List must be a list of objects.')
  if (base.length / 2 >= MAX_NESTING)
    return notAnObject(path, 'Lists are nested too deeply; write the objects one after another.')
  for (const [index, item] of items.entries()) read(item, [...path, index], inherited, result)
  return null
}

function identify(value: JsonObject, kind: Kind, apiVersion: string, base: Path): Manifest | ManifestProblem {
  const fail = (path: Path, message: string) => notAnObject([...base, ...path], message)
  const { metadata } = value
  if (!isJsonObject(metadata))
    return fail(['metadata'], `This ${kind} has no \`metadata\`; write \`metadata: { name: … }\`.`)
  const { name } = metadata
  if (typeof name !== 'string')
    return fail(['metadata', 'name'], `This ${kind} has no \`metadata.name\` that is a text.`)
  if (name.length > 253 || !NAME.test(name))
    return fail(
      ['metadata', 'name'],
      `${quoted(name)} is not a valid name: use lower-case letters, digits, "-" and "." only.`,
    )
  const { namespaced, payload }: KindRow = KINDS[kind]
  const namespace = namespaced ? (metadata.namespace ?? 'default') : ''
  if (typeof namespace !== 'string' || (namespaced && (namespace.length > 63 || !LABEL.test(namespace))))
    return fail(
      ['metadata', 'namespace'],
      `${quoted(namespace)} is not a valid namespace: use lower-case letters, digits and "-" only.`,
    )
  // Age decides the ownership of hostnames, and a file could claim any age: see api.md, "Which rule wins".
  const { creationTimestamp: _, ...rest } = metadata
  const raw: JsonObject = { ...value, apiVersion, kind, metadata: { ...rest, name, namespace } }
  if (payload?.written !== undefined) foldStringData(raw)
  return { kind, key: `${namespace}/${name}`, raw, base }
}

/**
 * Merges `stringData` over `data`, like the API server on writes. Values of other types are left for validation to
 * reject.
 */
function foldStringData(secret: JsonObject): void {
  const { stringData, ...rest } = secret
  if (!isJsonObject(stringData) || !Object.values(stringData).every((value) => typeof value === 'string')) return
  if (rest.data !== undefined && rest.data !== null && !isJsonObject(rest.data)) return
  const encoded = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')])
  secret.data = { ...rest.data, ...Object.fromEntries(encoded) }
  delete secret.stringData
}

/**
 * Reports a kind or version that Headgate does not read. If the object can only be intended for Headgate, this is an
 * error, because it is not served. A kind of another project is ignored with a warning, also if it has the same name
 * (Knative has a Service, OpenShift a Route).
 */
function unreadKind(value: JsonObject, base: Path, apiVersion: string, kind: string): ManifestProblem {
  const metadata = isJsonObject(value.metadata) ? value.metadata : {}
  const key = `${truncated(metadata.namespace ?? 'default')}/${truncated(metadata.name ?? '')}`
  const object = { kind: truncated(kind), key }
  const intended = intendedKind(apiVersion, kind)
  if (intended === undefined) {
    const wanted = isKind(kind) ? `; Headgate's ${kind} is \`apiVersion: ${apiVersionOf(KINDS[kind])}\`` : ''
    const message = `${truncated(kind)} (${truncated(apiVersion)}) is not a kind that Headgate reads (${KIND_NAMES.join(', ')})${wanted}; the object is ignored.`
    return { severity: 'warning', reason: 'UnknownKind', message, path: [...base, 'kind'], object }
  }
  const wanted = apiVersionOf(KINDS[intended])
  const kindToo = intended === kind ? '' : ` and \`kind: ${intended}\``
  const version = apiVersion === wanted ? `\`kind: ${intended}\`` : `\`apiVersion: ${wanted}\`${kindToo}`
  const more = intended === 'Ingress' && OLD_INGRESS.has(apiVersion) ? OLD_INGRESS_FIELDS : ''
  const message = `${truncated(kind)} of ${quoted(apiVersion)} is not read; write ${version}${more}.`
  return { ...notAnObject([...base, apiVersion === wanted ? 'kind' : 'apiVersion'], message), object }
}

/** Removed from Kubernetes; Ingresses of these versions name their backends in different fields. */
const OLD_INGRESS: ReadonlySet<string> = new Set(['extensions/v1beta1', 'networking.k8s.io/v1beta1'])
const OLD_INGRESS_FIELDS =
  ', with `service: { name, port: { number } }` for `serviceName` and `servicePort`, and a `pathType` for each path'

/**
 * The kind that was probably intended; undefined for a kind of another project.
 */
function intendedKind(apiVersion: string, kind: string): Kind | undefined {
  const group = groupOf(apiVersion)
  const known = KIND_NAMES.find((one) => one.toLowerCase() === kind.toLowerCase())
  if (known !== undefined) {
    return isKubernetesGroup(group) || group === OUR_GROUP || isSimilar(group, KINDS[known].group) ? known : undefined
  }
  if (group !== OUR_GROUP) return undefined
  return OUR_KINDS.find((one) => isSimilar(kind, one))
}

const OUR_GROUP = KINDS.Route.group
const OUR_KINDS = KIND_NAMES.filter((kind) => KINDS[kind].group === OUR_GROUP)

/**
 * Whether a group belongs to Kubernetes itself, which no other project can extend; groups of its subprojects are
 * `x-k8s.io` or have several labels below `k8s.io`.
 */
function isKubernetesGroup(group: string): boolean {
  return !group.includes('.') || /^[a-z]+\.k8s\.io$/.test(group)
}

function isSimilar(given: string, wanted: string): boolean {
  return given === wanted || suggestion(given, [wanted]) !== ''
}

/** Maximum length of a text from a file in a message. */
const MAX_QUOTED = 100

/** Truncates a text and replaces control characters, since an invalid name may contain anything. */
function truncated(value: unknown): string {
  if (typeof value !== 'string') return typeof value === 'object' ? '?' : String(value)
  const text = value.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
  return text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text
}

function quoted(value: unknown): string {
  return `"${truncated(value)}"`
}

function notAnObject(path: Path, message: string): ManifestProblem {
  return { severity: 'error', reason: 'NotAnObject', message, path }
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
