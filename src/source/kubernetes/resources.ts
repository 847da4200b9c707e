/** Where the API server keeps the objects of a kind. */
import { apiVersionOf, KINDS, type Kind, type KindRow, type KindTable } from '../../api/kinds.ts'

/** What can be asked of an API server: the kinds of resources, and what an installation reads of itself. */
export type ApiKind = Kind | 'Pod'

/** Its name at an API server. */
export type Resource = Pick<KindRow, 'group' | 'version' | 'plural' | 'namespaced'>

/** Pods are no resource: only the installation's own are looked at. */
const POD: Resource = { group: '', version: 'v1', plural: 'pods', namespaced: true }

/** @param table tests bring tables with kinds of their own */
export function resourceOf(kind: ApiKind, table: KindTable = KINDS): Resource {
  return kind === 'Pod' ? POD : table[kind]!
}

/** @param namespace none = all of them */
export function collectionPath(resource: Resource, namespace?: string): string {
  const root = `${resource.group === '' ? '/api' : '/apis'}/${apiVersionOf(resource)}`
  const { plural } = resource
  return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`
}

export function objectPath(resource: Resource, namespace: string | undefined, name: string): string {
  return `${collectionPath(resource, namespace)}/${encodeURIComponent(name)}`
}
