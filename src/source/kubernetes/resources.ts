/** Where the API server keeps the objects of a kind. */
import type { Kind } from '../../api/object.ts'
import { API_VERSIONS } from '../folder/manifest.ts'

/** What can be asked of an API server: the kinds of resources, and what an installation reads of itself. */
export type ApiKind = Kind | 'Pod'

const PLURALS: Readonly<Record<ApiKind, string>> = {
  Route: 'routes',
  Backend: 'backends',
  Ingress: 'ingresses',
  Secret: 'secrets',
  Service: 'services',
  EndpointSlice: 'endpointslices',
  ConfigMap: 'configmaps',
  Namespace: 'namespaces',
  Pod: 'pods',
}

export interface Resource {
  readonly apiVersion: string
  /** Empty for the core group. */
  readonly group: string
  readonly plural: string
}

export function resourceOf(kind: ApiKind): Resource {
  const apiVersion = kind === 'Pod' ? 'v1' : API_VERSIONS[kind]
  const slash = apiVersion.indexOf('/')
  return { apiVersion, group: slash === -1 ? '' : apiVersion.slice(0, slash), plural: PLURALS[kind] }
}

/** @param namespace none = all of them */
export function collectionPath(kind: ApiKind, namespace?: string): string {
  const { apiVersion, plural } = resourceOf(kind)
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`
}

export function objectPath(kind: Kind, namespace: string | undefined, name: string): string {
  return `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`
}

/** `routes.headgate.dev`, `secrets`: as roles and error messages name it. */
export function resourceName(kind: Kind): string {
  const { group, plural } = resourceOf(kind)
  return group === '' ? plural : `${plural}.${group}`
}
