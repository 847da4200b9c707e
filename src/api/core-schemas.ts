/**
 * What is read of the core kinds, in the dialect of `schema.ts`. Others define these kinds and extend them, so a field
 * that is not known is left out with a warning, and `x-headgate-unread` names those that are known and not needed.
 */
import { INGRESS_SCHEMA } from './ingress.ts'
import type { Schema } from './schema-dialect.ts'

const text: Schema = { type: 'string' }
const whole: Schema = { type: 'integer' }
const flag: Schema = { type: 'boolean' }
const texts: Schema = { type: 'object', additionalProperties: text }
const port: Schema = { type: 'integer', minimum: 1, maximum: 65535 }
const portProtocol: Schema = { type: 'string', enum: ['TCP', 'UDP', 'SCTP'], default: 'TCP' }

/** `metadata` of every kind; `metadata.ts` validates names. */
export const METADATA_SCHEMA: Schema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: text,
    namespace: text,
    uid: text,
    generation: whole,
    resourceVersion: text,
    creationTimestamp: text,
    deletionTimestamp: text,
    labels: { type: 'object', additionalProperties: text },
    annotations: { type: 'object', additionalProperties: text },
  },
  'x-headgate-unread': [
    'managedFields',
    'ownerReferences',
    'finalizers',
    'generateName',
    'selfLink',
    'deletionGracePeriodSeconds',
  ],
}

const servicePort: Schema = {
  type: 'object',
  required: ['port'],
  properties: {
    name: text,
    port,
    targetPort: {
      'x-kubernetes-int-or-string': true,
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      minimum: 0,
      maximum: 65535,
    },
    protocol: portProtocol,
    appProtocol: text,
    nodePort: whole,
  },
}

const service: Schema = {
  type: 'object',
  properties: {
    type: { type: 'string', enum: ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'], default: 'ClusterIP' },
    clusterIP: text,
    clusterIPs: { type: 'array', items: text },
    ipFamilies: { type: 'array', items: text },
    externalName: text,
    selector: texts,
    ports: { type: 'array', items: servicePort, default: [] },
    publishNotReadyAddresses: { ...flag, default: false },
    externalIPs: { type: 'array', items: text },
    healthCheckNodePort: whole,
    loadBalancerIP: text,
  },
  'x-headgate-unread': [
    'allocateLoadBalancerNodePorts',
    'externalTrafficPolicy',
    'internalTrafficPolicy',
    'ipFamilyPolicy',
    'loadBalancerClass',
    'loadBalancerSourceRanges',
    'sessionAffinity',
    'sessionAffinityConfig',
    'trafficDistribution',
  ],
}

const serviceStatus: Schema = {
  type: 'object',
  properties: {
    loadBalancer: {
      type: 'object',
      properties: {
        ingress: {
          type: 'array',
          items: {
            type: 'object',
            properties: { ip: text, hostname: text },
            'x-headgate-unread': ['ipMode', 'ports'],
          },
        },
      },
    },
  },
  'x-headgate-unread': ['conditions'],
}

const sliceEndpoint: Schema = {
  type: 'object',
  required: ['addresses'],
  properties: {
    addresses: { type: 'array', minItems: 1, maxItems: 100, items: text },
    conditions: { type: 'object', properties: { ready: flag, serving: flag, terminating: flag } },
    hostname: text,
    nodeName: text,
    zone: text,
    hints: {
      type: 'object',
      properties: {
        forZones: {
          type: 'array',
          maxItems: 8,
          items: { type: 'object', required: ['name'], properties: { name: text } },
        },
      },
      'x-headgate-unread': ['forNodes'],
    },
    targetRef: {
      type: 'object',
      properties: { kind: text, namespace: text, name: text },
      'x-headgate-unread': ['apiVersion', 'uid', 'resourceVersion', 'fieldPath'],
    },
  },
  'x-headgate-unread': ['deprecatedTopology'],
}

const slicePort: Schema = {
  type: 'object',
  properties: { name: text, port, protocol: portProtocol, appProtocol: text },
}

export interface CoreSchema {
  /** Fields beside apiVersion, kind and metadata. */
  readonly properties: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly unread?: readonly string[]
}

export const CORE_SCHEMAS = {
  Ingress: INGRESS_SCHEMA,
  Secret: {
    properties: { type: { ...text, default: 'Opaque' }, data: { ...texts, default: {} }, stringData: texts },
    unread: ['immutable'],
  },
  ConfigMap: {
    properties: { data: { ...texts, default: {} }, binaryData: { ...texts, default: {} } },
    unread: ['immutable'],
  },
  Service: { properties: { spec: { ...service, default: {} }, status: serviceStatus } },
  EndpointSlice: {
    required: ['addressType'],
    properties: {
      addressType: { type: 'string', enum: ['IPv4', 'IPv6', 'FQDN'] },
      endpoints: { type: 'array', maxItems: 1000, items: sliceEndpoint, default: [] },
      ports: { type: 'array', maxItems: 100, items: slicePort, default: [] },
    },
  },
  Namespace: { properties: {}, unread: ['spec', 'status'] },
} as const satisfies Readonly<Record<string, CoreSchema>>
