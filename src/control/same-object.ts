import { isDeepStrictEqual } from 'node:util'
import type { Ingress } from '../api/ingress.ts'
import type { KubeObject } from '../api/object.ts'
import { classOf } from '../compile/ingress.ts'
import { foreignAnnotations } from '../compile/ingress-notes.ts'

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
  if (a.kind === 'Ingress' && saidByAnnotations(a as Ingress) !== saidByAnnotations(b as Ingress)) return false
  return isDeepStrictEqual(restOfFirst, restOfSecond)
}

/** Its class, and what is told to be for others. */
function saidByAnnotations(ingress: Ingress): string {
  return JSON.stringify([classOf(ingress), foreignAnnotations(ingress)])
}
