/** API paths of the kinds. */
import { apiVersionOf, KINDS, type Kind, type KindRow, type KindTable } from '../../api/kinds.ts'

/** Kinds requested from an API server: the resources, and the Pods of the installation itself. */
export type ApiKind = Kind | 'Pod'

/** Group, version and plural of a kind in the API. */
export type ApiResource = Pick<KindRow, 'group' | 'version' | 'plural' | 'namespaced'>

/** Pods are not a resource kind: only the installation's own are read. */
const POD: ApiResource = { group: '', version: 'v1', plural: 'pods', namespaced: true }

/** @param table tests pass tables with additional kinds */
export function resourceOf(kind: ApiKind, table: KindTable = KINDS): ApiResource {
  return kind === 'Pod' ? POD : table[kind]!
}

/** @param namespace absent = all namespaces */
export function collectionPath(resource: ApiResource, namespace?: string): string {
  const root = `${resource.group === '' ? '/api' : '/apis'}/${apiVersionOf(resource)}`
  const { plural } = resource
  return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`
}

export function objectPath(resource: ApiResource, namespace: string | undefined, name: string): string {
  return `${collectionPath(resource, namespace)}/${encodeURIComponent(name)}`
}
