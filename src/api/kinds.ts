/**
 * The table of kinds: one row for each kind of object that is read. What is watched, how an object is validated, what
 * is kept of it and which rights a role needs follow from the row and its extractor of references; nothing else lists
 * kinds.
 */
import type { Backend } from './backend.ts'
import { CORE_SCHEMAS, type CoreSchema } from './core-schemas.ts'
import type { Ingress } from './ingress.ts'
import {
  type ConfigMap,
  type EndpointSlice,
  type Namespace,
  SERVICE_NAME_LABEL,
  type Secret,
  type Service,
} from './kubernetes.ts'
import type { KubeObject } from './object.ts'
import { backendReferences, type Extractor, ingressReferences, type Reference, routeReferences } from './references.ts'
import type { Route } from './route.ts'

export interface KindRow<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly namespaced: boolean
  readonly read: ReadMode
  /** The schema of the fields that are read, or the member of `SchemaDocuments` with its CustomResourceDefinition. */
  readonly schema: CoreSchema | { readonly crd: 'route' | 'backend' }
  /** The name is part of host names: one DNS label. */
  readonly labelNamed?: true
  /** Labels are evaluated, so a change of labels is a new version of the object. */
  readonly labelsMatter?: true
  /** Headgate writes conditions to its `status`. */
  readonly status?: true
  /**
   * The last valid version serves while the newest is invalid. `stored`: it outlives the process; `served`: as long as
   * this process; absent: what its owner replaces is withdrawn, whatever is wrong with the new version.
   */
  readonly lastGood?: 'stored' | 'served'
  /**
   * The fields that hold bytes which nobody but the users of the object may see. They stay outside of tables,
   * statuses, logs and stored versions, and are written to a checkpoint only where it is sealed.
   */
  readonly payload?: Payload
  /** What an object of this kind refers to; absent: nothing. */
  readonly references?: Extractor
  /** The type of its objects; never set. */
  readonly object?: T
}

export type ReadMode =
  /** All of them. */
  | 'always'
  /** One by one, as something refers to them by name. */
  | 'referenced'
  /** All of them, as soon as something refers to the kind. */
  | 'collection'
  /** Those whose label names an object of another kind that something refers to. */
  | { readonly label: string; readonly of: string }

export interface Payload {
  /** Map of Base64. */
  readonly base64: 'data' | 'binaryData'
  /** Map of UTF-8 text. */
  readonly text?: 'data'
  /** Map of text that is folded into the Base64 when a file is read. */
  readonly written?: 'stringData'
}

function row<T extends KubeObject>(columns: Omit<KindRow<T>, 'object'>): KindRow<T> {
  return columns
}

export const KINDS = {
  Route: row<Route>({
    group: 'headgate.dev',
    version: 'v1alpha1',
    plural: 'routes',
    namespaced: true,
    read: 'always',
    schema: { crd: 'route' },
    status: true,
    lastGood: 'stored',
    references: routeReferences,
  }),
  Backend: row<Backend>({
    group: 'headgate.dev',
    version: 'v1alpha1',
    plural: 'backends',
    namespaced: true,
    read: 'always',
    schema: { crd: 'backend' },
    status: true,
    lastGood: 'stored',
    references: backendReferences,
  }),
  Ingress: row<Ingress>({
    group: 'networking.k8s.io',
    version: 'v1',
    plural: 'ingresses',
    namespaced: true,
    read: 'always',
    schema: CORE_SCHEMAS.Ingress,
    status: true,
    lastGood: 'served',
    references: ingressReferences,
  }),
  Secret: row<Secret>({
    group: '',
    version: 'v1',
    plural: 'secrets',
    namespaced: true,
    read: 'referenced',
    schema: CORE_SCHEMAS.Secret,
    payload: { base64: 'data', written: 'stringData' },
  }),
  Service: row<Service>({
    group: '',
    version: 'v1',
    plural: 'services',
    namespaced: true,
    read: 'referenced',
    schema: CORE_SCHEMAS.Service,
    labelNamed: true,
    lastGood: 'served',
  }),
  EndpointSlice: row<EndpointSlice>({
    group: 'discovery.k8s.io',
    version: 'v1',
    plural: 'endpointslices',
    namespaced: true,
    read: { label: SERVICE_NAME_LABEL, of: 'Service' },
    schema: CORE_SCHEMAS.EndpointSlice,
    labelsMatter: true,
    lastGood: 'served',
  }),
  ConfigMap: row<ConfigMap>({
    group: '',
    version: 'v1',
    plural: 'configmaps',
    namespaced: true,
    read: 'referenced',
    schema: CORE_SCHEMAS.ConfigMap,
    lastGood: 'served',
    payload: { base64: 'binaryData', text: 'data' },
  }),
  Namespace: row<Namespace>({
    group: '',
    version: 'v1',
    plural: 'namespaces',
    namespaced: false,
    read: 'collection',
    schema: CORE_SCHEMAS.Namespace,
    labelNamed: true,
    labelsMatter: true,
  }),
} as const

/** Kinds that are read. */
export type Kind = keyof typeof KINDS

/** The type of the objects of each kind. */
export type KindMap = { readonly [K in Kind]: (typeof KINDS)[K] extends KindRow<infer T> ? T : never }

/** Rows by kind; tests pass tables with additional kinds. */
export type KindTable = Readonly<Record<string, KindRow>>

export const KIND_NAMES = Object.keys(KINDS) as readonly Kind[]

export function isKind(kind: string): kind is Kind {
  return Object.hasOwn(KINDS, kind)
}

export function apiVersionOf({ group, version }: Pick<KindRow, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`
}

/** `routes.headgate.dev`, `secrets`: as roles and error messages name it. */
export function resourceNameOf({ group, plural }: Pick<KindRow, 'group' | 'plural'>): string {
  return group === '' ? plural : `${plural}.${group}`
}

/** Configuration kinds; objects of other kinds are read because these refer to them. */
export function isConfiguration(kind: string, table: KindTable = KINDS): boolean {
  return table[kind]?.read === 'always'
}

/** Kinds processed before others, since what is served already depends on their objects. */
export function isUrgent(kind: string, table: KindTable = KINDS): boolean {
  const read = table[kind]?.read
  return read !== undefined && read !== 'always' && read !== 'collection'
}

/** Whether a change of an object acts without a build: endpoints and contents. */
export function actsAtOnce(kind: string, table: KindTable = KINDS): boolean {
  return typeof table[kind]?.read === 'object' || isSensitive(kind, table)
}

/** Whether objects of a kind hold data that must not be shown, logged or stored in clear text. */
export function isSensitive(kind: string, table: KindTable = KINDS): boolean {
  return table[kind]?.payload !== undefined
}

/** The kind whose references cause objects of a kind to be read. */
export function referredKind(kind: string, { read }: KindRow): string {
  return typeof read === 'object' ? read.of : kind
}

/** More than an object within its schema and within the size that an API server accepts can have. */
const MAX_REFERENCES = 65_536

const NONE: readonly Reference[] = Object.freeze([])

/**
 * What an object refers to; bounded, whatever it is.
 *
 * @param object as it was read, or validated
 */
export function referencesOf(kind: string, namespace: string, object: unknown, table: KindTable = KINDS) {
  const extractor = table[kind]?.references
  if (extractor === undefined) return NONE
  const found: Reference[] = []
  for (const reference of extractor.find(object, namespace)) {
    if (found.length === MAX_REFERENCES) break
    found.push(reference)
  }
  return found
}
