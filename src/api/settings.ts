/** The installation settings as they leave the door (`schemas/settings.yaml`): one file, not a Kubernetes object. */
import type { ByteQuantity, Duration, Policies } from './policies.ts'
import type { NamespaceGrant } from './route.ts'

export interface SettingsObject {
  readonly ingressClass: { readonly name: string; readonly default: boolean }
  /** At least one; names are unique. */
  readonly listeners: readonly ListenerSpec[]
  readonly admin: { readonly address: string; readonly tokenFile?: string }
  readonly signals: { readonly address: string }
  readonly peers: { readonly address: string; readonly keyFile?: string }
  /** None = the address of the socket. */
  readonly clientAddress?: ClientAddress
  readonly tls?: {
    readonly defaultCertificate?: NamedSecret
    /** Of what replicas derive their keys of session tickets; none = each has its own. */
    readonly sessionTicketKey?: NamedSecret
  }
  readonly policies?: { readonly defaults?: Policies; readonly enforced?: Policies }
  readonly tenancy: 'Shared' | 'Strict'
  readonly hostnames?: readonly { readonly namespaces: NamespaceGrant; readonly names: readonly string[] }[]
  /** How long a namespace keeps a hostname after its last Route for it is gone, in Strict. */
  readonly hostnameHold: Duration
  readonly upstreams: {
    readonly denyCIDRs: readonly string[]
    readonly externalTargets?: readonly { readonly namespaces: NamespaceGrant; readonly hosts: readonly string[] }[]
    /** Ceilings; none = what the process limit allows. */
    readonly limits?: {
      readonly maxConnections?: number
      readonly maxPending?: number
      readonly maxConcurrentRequests?: number
      /** Of all Backends of a namespace together. */
      readonly namespaceConnections?: number
    }
  }
  readonly plugins?: readonly { readonly name: string; readonly path: string; readonly namespaces: NamespaceGrant }[]
  readonly limits: {
    readonly head: ByteQuantity
    readonly headers: number
    readonly uri: ByteQuantity
    /** 0 = from the process limit and from memory. */
    readonly connections: number
    /** How often a request may pass the installation. */
    readonly passes: number
    /** 0 = from the limit of the container, or the machine. */
    readonly memory: ByteQuantity
    /** What the Routes and Ingresses of one namespace may cost together, in the units of `objectCost`. */
    readonly namespaceCost: number
  }
  /** None: as the cluster says. */
  readonly topology?: {
    readonly zone?: string
    /** From 1. */
    readonly replica?: { readonly number: number; readonly of: number }
  }
  readonly accessLog: {
    readonly format: 'json'
    /** Name of the field → selector. */
    readonly fields: Readonly<Record<string, string>>
    /** Percent of the requests that get a line. */
    readonly sample: number
  }
  readonly tracing?: { readonly otlp: string; readonly samplePercent: number }
  readonly redis?: {
    readonly addresses: readonly string[]
    readonly mode: 'Single' | 'Sentinel' | 'Cluster'
    /** With Sentinel. */
    readonly masterName?: string
    readonly keyPrefix: string
    readonly secretName?: string
    /** Of the Secrets; stated where one is named. */
    readonly namespace?: string
    readonly tls?: { readonly caSecretName?: string; readonly serverName?: string }
  }
  readonly cache: {
    /** Of responses in files, in `stateDirectory`. */
    readonly files: ByteQuantity
    /** Of all workers; 0 = a share of the memory. */
    readonly memory: ByteQuantity
    /** How long a request waits for another one's response. */
    readonly collapseTimeout: Duration
    /** Who gets the details in Cache-Status. */
    readonly debugCIDRs: readonly string[]
  }
  readonly stateDirectory?: string
  /** Of keys, one a line; see docs/kubernetes-source.md. */
  readonly stateKeyFile?: string
  /** Empty = all. */
  readonly watchNamespaces: readonly string[]
}

export interface NamedSecret {
  readonly secretName: string
  readonly namespace: string
}

export interface ListenerSpec {
  readonly name: string
  /** IP literal; none = every address of the machine. */
  readonly address?: string
  readonly port: number
  readonly tls?: Readonly<Record<string, never>>
  readonly proxyProtocol?: { readonly trusted: readonly string[] }
}

export interface ClientAddress {
  /** As written, in any case. */
  readonly header: string
  readonly trustedCIDRs: readonly string[]
  /** At most so many proxies are skipped; 0 = as many as `trustedCIDRs` holds. */
  readonly trustedHops: number
}
