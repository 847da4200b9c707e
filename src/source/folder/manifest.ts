/** From a parsed document to the Kubernetes objects in it. */
import { apiVersionOf, isKind, KIND_NAMES, KINDS, type Kind, type KindRow } from '../../api/kinds.ts'
import { suggestion } from '../../api/wording.ts'
import type { SourceProblemReason } from '../source.ts'

/** One object as written, with just enough known about it to give it an identity. */
export interface Manifest {
  readonly kind: Kind
  readonly key: string
  readonly raw: unknown
  /** Steps from the document to the object: empty, or `['items', 3]` in a List. */
  readonly base: readonly (string | number)[]
}

export interface ManifestProblem {
  readonly severity: 'error' | 'warning'
  readonly reason: SourceProblemReason
  readonly message: string
  /** From the document. */
  readonly path: readonly (string | number)[]
  readonly object?: { readonly kind: string; readonly key: string }
}

type JsonObject = Record<string, unknown>
type Path = readonly (string | number)[]

interface Found {
  readonly manifests: Manifest[]
  readonly problems: ManifestProblem[]
}

/** Lists in lists make no sense; one level more than none is let through. */
const MAX_NESTING = 3

/** RFC 1123 subdomain and label, as an API server demands of names. */
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** Reads one document; a `List` gives as many objects as it has items. */
export function readManifests(document: unknown): Found {
  const found: Found = { manifests: [], problems: [] }
  read(document, [], {}, found)
  return found
}

function read(value: unknown, base: Path, inherited: JsonObject, found: Found): void {
  const problem = readObject(value, base, inherited, found)
  if (problem !== null) found.problems.push(problem)
}

function readObject(value: unknown, base: Path, inherited: JsonObject, found: Found): ManifestProblem | null {
  if (!isFields(value)) return notAnObject(base, 'This is not a Kubernetes object (apiVersion, kind, metadata, …).')
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
    return readList(value, base, itemKind === '' ? {} : { kind: itemKind, apiVersion }, found)
  if (!isKind(kind) || apiVersion !== apiVersionOf(KINDS[kind])) return unreadKind(value, base, apiVersion, kind)
  const read = identify(value, kind, apiVersion, base)
  if ('severity' in read) return read
  found.manifests.push(read)
  return null
}

function readList(value: JsonObject, base: Path, inherited: JsonObject, found: Found): ManifestProblem | null {
  const { items } = value
  // A List that was cut into its items leaves `items` without a value behind; an API server prints null for no items.
  if (items === undefined || items === null) return null
  const path = [...base, 'items']
  if (!Array.isArray(items)) return notAnObject(path, 'The field `items` of a List must be a list of objects.')
  if (base.length / 2 >= MAX_NESTING)
    return notAnObject(path, 'Lists are nested too deeply; write the objects one after another.')
  for (const [index, item] of items.entries()) read(item, [...path, index], inherited, found)
  return null
}

function identify(value: JsonObject, kind: Kind, apiVersion: string, base: Path): Manifest | ManifestProblem {
  const fail = (path: Path, message: string) => notAnObject([...base, ...path], message)
  const { metadata } = value
  if (!isFields(metadata))
    return fail(['metadata'], `This ${kind} has no \`metadata\`; write \`metadata: { name: … }\`.`)
  const { name } = metadata
  if (typeof name !== 'string')
    return fail(['metadata', 'name'], `This ${kind} has no \`metadata.name\` that is a text.`)
  if (name.length > 253 || !NAME.test(name))
    return fail(
      ['metadata', 'name'],
      `${shown(name)} is not a valid name: use lower-case letters, digits, "-" and "." only.`,
    )
  const { namespaced, payload }: KindRow = KINDS[kind]
  const namespace = namespaced ? (metadata.namespace ?? 'default') : ''
  if (typeof namespace !== 'string' || (namespaced && (namespace.length > 63 || !LABEL.test(namespace))))
    return fail(
      ['metadata', 'namespace'],
      `${shown(namespace)} is not a valid namespace: use lower-case letters, digits and "-" only.`,
    )
  // Age decides whose a hostname is, and in a file everybody can write any: see api.md, "Which rule wins".
  const { creationTimestamp: _, ...rest } = metadata
  const raw: JsonObject = { ...value, apiVersion, kind, metadata: { ...rest, name, namespace } }
  if (payload?.written !== undefined) foldStringData(raw)
  return { kind, key: `${namespace}/${name}`, raw, base }
}

/**
 * As the API server does on writing: `stringData` wins over `data`. What is not a map of texts is left for validation
 * to refuse.
 */
function foldStringData(secret: JsonObject): void {
  const { stringData, ...rest } = secret
  if (!isFields(stringData) || !Object.values(stringData).every((value) => typeof value === 'string')) return
  if (rest.data !== undefined && rest.data !== null && !isFields(rest.data)) return
  const encoded = Object.entries(stringData).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')])
  secret.data = { ...rest.data, ...Object.fromEntries(encoded) }
  delete secret.stringData
}

/**
 * A kind or a version that is not read. What can only be meant for us is an error: it is an object that is not served.
 * A kind of somebody else's is passed over, also where it has the name of one of ours (Knative has a Service, OpenShift
 * a Route).
 */
function unreadKind(value: JsonObject, base: Path, apiVersion: string, kind: string): ManifestProblem {
  const metadata = isFields(value.metadata) ? value.metadata : {}
  const key = `${brief(metadata.namespace ?? 'default')}/${brief(metadata.name ?? '')}`
  const object = { kind: brief(kind), key }
  const meant = meantKind(apiVersion, kind)
  if (meant === undefined) {
    const wanted = isKind(kind) ? `; Headgate's ${kind} is \`apiVersion: ${apiVersionOf(KINDS[kind])}\`` : ''
    const message = `${brief(kind)} (${brief(apiVersion)}) is not a kind that Headgate reads (${KIND_NAMES.join(', ')})${wanted}; the object is ignored.`
    return { severity: 'warning', reason: 'UnknownKind', message, path: [...base, 'kind'], object }
  }
  const wanted = apiVersionOf(KINDS[meant])
  const kindToo = meant === kind ? '' : ` and \`kind: ${meant}\``
  const version = apiVersion === wanted ? `\`kind: ${meant}\`` : `\`apiVersion: ${wanted}\`${kindToo}`
  const more = meant === 'Ingress' && OLD_INGRESS.has(apiVersion) ? OLD_INGRESS_FIELDS : ''
  const message = `${brief(kind)} of ${shown(apiVersion)} is not read; write ${version}${more}.`
  return { ...notAnObject([...base, apiVersion === wanted ? 'kind' : 'apiVersion'], message), object }
}

/** Kubernetes serves neither any more; an Ingress of theirs names its backends by other fields. */
const OLD_INGRESS: ReadonlySet<string> = new Set(['extensions/v1beta1', 'networking.k8s.io/v1beta1'])
const OLD_INGRESS_FIELDS =
  ', with `service: { name, port: { number } }` for `serviceName` and `servicePort`, and a `pathType` for each path'

/**
 * Which of the kinds that are read somebody has in mind who writes this; undefined where it is a kind of somebody
 * else's.
 */
function meantKind(apiVersion: string, kind: string): Kind | undefined {
  const group = groupOf(apiVersion)
  const known = KIND_NAMES.find((one) => one.toLowerCase() === kind.toLowerCase())
  if (known !== undefined) {
    return isKubernetesGroup(group) || group === OUR_GROUP || isNear(group, KINDS[known].group) ? known : undefined
  }
  if (group !== OUR_GROUP) return undefined
  return OUR_KINDS.find((one) => isNear(kind, one))
}

const OUR_GROUP = KINDS.Route.group
const OUR_KINDS = KIND_NAMES.filter((kind) => KINDS[kind].group === OUR_GROUP)

/**
 * Groups of Kubernetes itself, in which nobody else can have a kind; those of its subprojects are `x-k8s.io` or have
 * another name below `k8s.io`.
 */
function isKubernetesGroup(group: string): boolean {
  return !group.includes('.') || /^[a-z]+\.k8s\.io$/.test(group)
}

function isNear(given: string, wanted: string): boolean {
  return given === wanted || suggestion(given, [wanted]) !== ''
}

/** Longest part of a text from a file that a message repeats. */
const MAX_SHOWN = 100

/** What is no valid name can be anything: a log line is neither as long as the file nor torn by it. */
function brief(value: unknown): string {
  if (typeof value !== 'string') return typeof value === 'object' ? '?' : String(value)
  const text = value.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}

function shown(value: unknown): string {
  return `"${brief(value)}"`
}

function notAnObject(path: Path, message: string): ManifestProblem {
  return { severity: 'error', reason: 'NotAnObject', message, path }
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
}

function isFields(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
