/** Parses and checks the JSON of one object from a list or a watch event. */
import { isUtf8 } from 'node:buffer'
import { apiVersionOf } from '../../api/kinds.ts'
import { ApiError } from './api-error.ts'
import type { ApiKind, ApiResource } from './resources.ts'

/**
 * One version of an object. Versions are opaque: they are compared for equality, never for order.
 */
export interface Version {
  readonly uid: string
  readonly resourceVersion: string
}

export interface Ingested extends Version {
  /** `namespace/name`; `/name` for cluster-scoped objects. */
  readonly key: string
  readonly raw: RawObject
}

export interface RawObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: RawMetadata
  readonly [field: string]: unknown
}

export interface RawMetadata {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  readonly labels?: Readonly<Record<string, unknown>>
  readonly annotations?: Readonly<Record<string, unknown>>
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'

/** @throws {ApiError} when the bytes are not JSON */
export function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new ApiError(200, 'BadAnswer', 'the answer is not UTF-8')
  try {
    return JSON.parse(bytes.utf8Slice(0, bytes.length))
  } catch {
    // The parser's own message may quote a part of a Secret.
    throw new ApiError(200, 'BadAnswer', 'the answer is not JSON')
  }
}

type JsonObject = Record<string, unknown>

/**
 * Checks an object's identity and removes unused parts: `managedFields` and the copy kept by `kubectl apply` are often
 * the larger part. Modifies `value`.
 *
 * @param resource of the kind: items of a list carry no apiVersion and kind
 * @param within the requested namespace; absent = all
 * @throws {ApiError} when the value violates the API's contract
 */
export function ingest(value: unknown, kind: ApiKind, resource: ApiResource, within?: string): Ingested {
  const apiVersion = apiVersionOf(resource)
  const { namespaced } = resource
  if (!isJsonObject(value) || !isJsonObject(value.metadata)) throw notAnObject(kind, 'it has no metadata')
  const { metadata } = value
  const { name, uid, resourceVersion } = metadata
  const namespace = namespaced ? metadata.namespace : ''
  // A slash would make the key equal to that of another object.
  if (!isSegment(name)) throw notAnObject(kind, 'it has no name')
  if (typeof namespace !== 'string' || (namespaced && !isSegment(namespace)))
    throw notAnObject(kind, 'it has no namespace')
  if (within !== undefined && namespace !== within)
    throw notAnObject(kind, 'it is from a namespace that was not requested')
  if (typeof resourceVersion !== 'string' || resourceVersion === '' || typeof uid !== 'string')
    throw notAnObject(kind, 'it has no version')
  const itsKind = value.kind ?? kind
  if (itsKind !== kind || (value.apiVersion ?? apiVersion) !== apiVersion)
    throw notAnObject(kind, 'it is of another kind or version')
  delete metadata.managedFields
  if (isJsonObject(metadata.annotations)) delete metadata.annotations[LAST_APPLIED]
  metadata.namespace = namespace
  value.apiVersion = apiVersion
  value.kind = kind
  return { key: `${namespace}/${name}`, uid, resourceVersion, raw: value as unknown as RawObject }
}

export interface WatchEvent {
  readonly type: string
  readonly object: unknown
}

/** @throws {ApiError} when the line is not a watch event */
export function parseEvent(line: Buffer): WatchEvent {
  const event = parseJson(line)
  if (!isJsonObject(event) || typeof event.type !== 'string')
    throw new ApiError(200, 'BadAnswer', 'a line of the watch is not an event')
  return { type: event.type, object: event.object }
}

/** The fields of a BOOKMARK that may be used. */
export function bookmarkOf(object: unknown): { readonly resourceVersion: string; readonly initialEventsEnd: boolean } {
  const metadata = isJsonObject(object) && isJsonObject(object.metadata) ? object.metadata : {}
  const { resourceVersion, annotations } = metadata
  if (typeof resourceVersion !== 'string' || resourceVersion === '')
    throw new ApiError(200, 'BadAnswer', 'a bookmark without a version')
  return {
    resourceVersion,
    initialEventsEnd: isJsonObject(annotations) && annotations['k8s.io/initial-events-end'] === 'true',
  }
}

function isSegment(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && !value.includes('/')
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function notAnObject(kind: ApiKind, why: string): ApiError {
  return new ApiError(200, 'BadAnswer', `a ${kind} cannot be read: ${why}`)
}
