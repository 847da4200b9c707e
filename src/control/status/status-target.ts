/** The objects that have a status of ours, and where it is written. */
import type { ObjectStatus } from '../../api/condition.ts'
import { apiVersionOf, isKind, KINDS } from '../../api/kinds.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

export type StatusTargetKind = ObjectStatus['kind']

export interface StatusTarget {
  readonly kind: StatusTargetKind
  /** `namespace/name`. */
  readonly key: string
}

export function isStatusTargetKind(kind: string): kind is StatusTargetKind {
  return isKind(kind) && 'status' in KINDS[kind]
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

export function statusTargetPath({ kind, key }: StatusTarget): string {
  const { plural } = KINDS[kind]
  const slash = key.indexOf('/')
  const namespace = encodeURIComponent(key.slice(0, slash))
  const name = encodeURIComponent(key.slice(slash + 1))
  return `/apis/${apiVersionOf(KINDS[kind])}/namespaces/${namespace}/${plural}/${name}`
}
