/** The objects that have a status of ours, and where it is written. */
import type { ObjectStatus } from '../../api/condition.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

export type StatusTargetKind = ObjectStatus['kind']

export interface StatusTarget {
  readonly kind: StatusTargetKind
  /** `namespace/name`. */
  readonly key: string
}

const PLACES: Readonly<Record<StatusTargetKind, { readonly apiVersion: string; readonly plural: string }>> = {
  Route: { apiVersion: 'headgate.dev/v1alpha1', plural: 'routes' },
  Backend: { apiVersion: 'headgate.dev/v1alpha1', plural: 'backends' },
  Ingress: { apiVersion: 'networking.k8s.io/v1', plural: 'ingresses' },
}

export function isStatusTargetKind(kind: string): kind is StatusTargetKind {
  return Object.hasOwn(PLACES, kind)
}

/** `Route a/shop`. */
export function statusTargetId({ kind, key }: StatusTarget): string {
  return `${kind} ${key}`
}

export function statusTargetOf(id: string): StatusTarget {
  const space = id.indexOf(' ')
  return { kind: id.slice(0, space) as StatusTargetKind, key: id.slice(space + 1) }
}

/** Whose turn it takes to write to an object. */
export function namespaceOfId(id: string): string {
  return namespaceOf(id.slice(id.indexOf(' ') + 1))
}

export function apiVersionOf(kind: StatusTargetKind): string {
  return PLACES[kind].apiVersion
}

/** `routes.headgate.dev`, as roles name it. */
export function resourceNameOf(kind: StatusTargetKind): string {
  const { apiVersion, plural } = PLACES[kind]
  return `${plural}.${apiVersion.slice(0, apiVersion.indexOf('/'))}`
}

export function statusTargetPath({ kind, key }: StatusTarget): string {
  const { apiVersion, plural } = PLACES[kind]
  const slash = key.indexOf('/')
  const namespace = encodeURIComponent(key.slice(0, slash))
  return `/apis/${apiVersion}/namespaces/${namespace}/${plural}/${encodeURIComponent(key.slice(slash + 1))}`
}
