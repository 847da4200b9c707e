/** The parts of the core kinds that Headgate reads. Validation removes the other fields. */
import type { KubeObject } from './object.ts'

export interface Secret extends KubeObject {
  readonly kind: 'Secret'
  /** `Opaque` where none is given. */
  readonly type: string
  /** Base64, RFC 4648 §4. `stringData` of a manifest has been folded in. */
  readonly data: Readonly<Record<string, string>>
}

export interface ConfigMap extends KubeObject {
  readonly kind: 'ConfigMap'
  readonly data: Readonly<Record<string, string>>
  /** Base64. */
  readonly binaryData: Readonly<Record<string, string>>
}

/** Cluster-scoped: `metadata.namespace` is empty. */
export interface Namespace extends KubeObject {
  readonly kind: 'Namespace'
}

export interface Service extends KubeObject {
  readonly kind: 'Service'
  readonly spec: {
    readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName'
    /** `None` for a headless Service. */
    readonly clusterIP?: string
    /** Of both families; the first one is `clusterIP`. */
    readonly clusterIPs?: readonly string[]
    /** The first one is its primary family. */
    readonly ipFamilies?: readonly string[]
    /** Only with type ExternalName. */
    readonly externalName?: string
    readonly selector?: Readonly<Record<string, string>>
    readonly ports: readonly ServicePort[]
    readonly publishNotReadyAddresses: boolean
    readonly externalIPs?: readonly string[]
    /** Of every node, for load balancers, with `externalTrafficPolicy: Local`. */
    readonly healthCheckNodePort?: number
    /** Asked of a load balancer; what it gave is in the status. */
    readonly loadBalancerIP?: string
  }
  readonly status?: {
    readonly loadBalancer?: {
      readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[]
    }
  }
}

export interface ServicePort {
  /** May be absent only where the Service has one port. */
  readonly name?: string
  readonly port: number
  readonly targetPort?: number | string
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly appProtocol?: string
  /** On every node; 0 or absent where there is none. */
  readonly nodePort?: number
}

/** The label with the Service of an EndpointSlice. */
export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name'

/** The label with the controller that manages a slice. Any writer of slices can set it. */
export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by'

/** The controller that lists the pods that a Service selects. */
export const SLICE_CONTROLLER = 'endpointslice-controller.k8s.io'

export interface EndpointSlice extends KubeObject {
  readonly kind: 'EndpointSlice'
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN'
  readonly endpoints: readonly SliceEndpoint[]
  readonly ports: readonly SlicePort[]
}

export interface SliceEndpoint {
  readonly addresses: readonly string[]
  /** Absent `ready` means ready, absent `serving` means as `ready`, absent `terminating` means no. */
  readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean }
  readonly hostname?: string
  readonly nodeName?: string
  readonly zone?: string
  /** The zones whose clients it is meant for, by the controller of the slice. */
  readonly hints?: { readonly forZones?: readonly { readonly name: string }[] }
  /** What it is an address of. */
  readonly targetRef?: { readonly kind?: string; readonly namespace?: string; readonly name?: string }
}

export interface SlicePort {
  /** Empty or absent for the one unnamed port. */
  readonly name?: string
  /** Absent = every port. */
  readonly port?: number
  readonly protocol: 'TCP' | 'UDP' | 'SCTP'
  readonly appProtocol?: string
}
