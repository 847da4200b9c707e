/** Two versions of one object, compared by what matters here; and what is read of a version that may not be valid. */
import { isDeepStrictEqual } from 'node:util'
import type { Backend } from '../../api/backend.ts'
import type { Ingress } from '../../api/ingress.ts'
import type { KubeObject } from '../../api/object.ts'
import type { Route } from '../../api/route.ts'
import { classOf } from '../../compile/ingress.ts'
import { foreignAnnotations } from '../../compile/ingress-notes.ts'
import { SHARED_WITH } from '../../policy/secret-types.ts'
import { withoutWithdrawnDelegates, withoutWithdrawnLeniency, withoutWithdrawnNamespaces } from './broken-edit.ts'

/**
 * Whether nothing that matters differs: our own status writes and other controllers' annotations come back as
 * changes, and must not become rebuilds.
 */
export function sameToUs(a: KubeObject, b: KubeObject): boolean {
  const { metadata: first, ...restOfFirst } = a as KubeObject & Readonly<Record<string, unknown>>
  const { metadata: second, ...restOfSecond } = b as KubeObject & Readonly<Record<string, unknown>>
  if (first.generation !== second.generation || first.uid !== second.uid) return false
  if (first.creationTimestamp !== second.creationTimestamp) return false
  const labelled = a.kind === 'EndpointSlice' || a.kind === 'Namespace'
  if (labelled && !isDeepStrictEqual(first.labels, second.labels)) return false
  if (a.kind === 'Secret' && first.annotations?.[SHARED_WITH] !== second.annotations?.[SHARED_WITH]) return false
  if (a.kind === 'Ingress' && annotationsText(a as Ingress) !== annotationsText(b as Ingress)) return false
  return isDeepStrictEqual(restOfFirst, restOfSecond)
}

/** Its class, and the annotations of other controllers. */
function annotationsText(ingress: Ingress): string {
  return JSON.stringify([classOf(ingress), foreignAnnotations(ingress)])
}

export function withoutWithdrawn(good: KubeObject, raw: unknown): KubeObject {
  if (good.kind === 'Route') return withoutWithdrawnDelegates(good as Route, raw)
  if (good.kind !== 'Backend') return good
  return withoutWithdrawnLeniency(withoutWithdrawnNamespaces(good as Backend, raw), raw)
}

/** Where both have a uid; objects of a folder have none. */
export function isOfOneObject({ uid }: KubeObject['metadata'], raw: unknown): boolean {
  const now = (raw as { metadata?: { uid?: unknown } } | null)?.metadata?.uid
  return uid === undefined || typeof now !== 'string' || uid === now
}

export function createdOf({ metadata }: KubeObject): number | undefined {
  const created = metadata.creationTimestamp === undefined ? Number.NaN : Date.parse(metadata.creationTimestamp)
  return Number.isNaN(created) ? undefined : created
}

export function generationOf(raw: unknown): number | undefined {
  const generation = (raw as { metadata?: { generation?: unknown } } | null)?.metadata?.generation
  return typeof generation === 'number' ? generation : undefined
}
