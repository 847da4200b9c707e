/**
 * An Ingress of `networking.k8s.io/v1` as far as it is read, so that manifests written for other controllers and
 * solvers of certificates work.
 */
import type { KubeObject } from './object.ts'
import type { Schema } from './schema-dialect.ts'

export interface Ingress extends KubeObject {
  readonly kind: 'Ingress'
  readonly spec: {
    /** Absent = the annotation {@link CLASS_ANNOTATION}, then the installation marked as default. */
    readonly ingressClassName?: string
    /** For requests that match no rule. */
    readonly defaultBackend?: IngressBackend
    readonly rules: readonly IngressRule[]
    readonly tls: readonly IngressTls[]
  }
}

export interface IngressRule {
  /** Lower case; `*.example.com` covers exactly one label; absent = the catch-all. */
  readonly host?: string
  /** Absent = all requests go to the default backend. */
  readonly http?: { readonly paths: readonly IngressPath[] }
}

export interface IngressPath {
  /** Empty = every path. */
  readonly path: string
  readonly pathType: 'Exact' | 'Prefix' | 'ImplementationSpecific'
  readonly backend: IngressBackend
}

/** Exactly one of both is set. */
export interface IngressBackend {
  readonly service?: { readonly name: string; readonly port?: { readonly name?: string; readonly number?: number } }
  readonly resource?: { readonly apiGroup?: string; readonly kind: string; readonly name: string }
}

export interface IngressTls {
  readonly hosts: readonly string[]
  /** None = the installation's default certificate. */
  readonly secretName?: string
}

/** How the class was named before `ingressClassName` existed; many manifests and some solvers still do. */
export const CLASS_ANNOTATION = 'kubernetes.io/ingress.class'

const text: Schema = { type: 'string' }

const backend: Schema = {
  type: 'object',
  properties: {
    service: {
      type: 'object',
      required: ['name'],
      properties: {
        name: text,
        port: {
          type: 'object',
          properties: { name: text, number: { type: 'integer', minimum: 1, maximum: 65535 } },
        },
      },
    },
    resource: {
      type: 'object',
      required: ['kind', 'name'],
      properties: { apiGroup: text, kind: text, name: text },
      'x-headgate-unread': ['namespace'],
    },
  },
}

/** A DNS name in lower case, or `*.` and one. */
const HOST = '^$|^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'

const rule: Schema = {
  type: 'object',
  properties: {
    host: { type: 'string', maxLength: 253, pattern: HOST },
    http: {
      type: 'object',
      required: ['paths'],
      properties: {
        paths: {
          type: 'array',
          items: {
            type: 'object',
            required: ['pathType', 'backend'],
            properties: {
              path: { type: 'string', maxLength: 1024, pattern: '^$|^/', default: '' },
              pathType: { type: 'string', enum: ['Exact', 'Prefix', 'ImplementationSpecific'] },
              backend,
            },
          },
        },
      },
    },
  },
}

const tls: Schema = {
  type: 'object',
  properties: { hosts: { type: 'array', items: text, default: [] }, secretName: text },
}

/** The schema of the fields that are read, like the entries of `CORE_SCHEMAS`. */
export const INGRESS_SCHEMA: {
  readonly properties: Readonly<Record<string, Schema>>
  readonly unread: readonly string[]
} = {
  properties: {
    spec: {
      type: 'object',
      properties: {
        ingressClassName: text,
        defaultBackend: backend,
        rules: { type: 'array', maxItems: 2048, items: rule, default: [] },
        tls: { type: 'array', maxItems: 2048, items: tls, default: [] },
      },
      default: {},
    },
  },
  unread: ['status'],
}
