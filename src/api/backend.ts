/**
 * A validated Backend with the defaults of its schema applied
 * (`crds/headgate.dev_backends.yaml`).
 */
import type { KubeObject } from './object.ts'
import type { Duration, Selector, ServiceRef } from './policies.ts'

export interface Backend extends KubeObject {
  readonly kind: 'Backend'
  readonly spec: BackendSpec
}

/** Exactly one of `service`, `endpoints` and `registration` is set. */
export interface BackendSpec extends BackendOptions {
  readonly service?: ServiceRef
  readonly endpoints?: readonly StaticEndpoint[]
  /** Endpoints register themselves through the admin API. */
  readonly registration?: { readonly lease: Duration }
}

/** All options except the origin of endpoints; a Service named directly by a rule has their defaults. */
export interface BackendOptions {
  /** Undefined: as `appProtocol` of the Service port says, else HTTP. */
  readonly protocol?: BackendProtocol
  readonly tls?: BackendTls
  readonly loadBalancing: {
    readonly algorithm: LoadBalancingAlgorithm
    readonly hashOn?: readonly Selector[]
    readonly slowStart: Duration
    readonly zoneAware: boolean
    /** None: all endpoints. */
    readonly subsetSize?: number
  }
  readonly hostHeader: 'Preserve' | 'UseServerName'
  readonly sessionAffinity?: {
    /** Exactly one of the two. */
    readonly header?: { readonly name: string }
    readonly cookie?: { readonly name: string; readonly ttl?: Duration; readonly sameSite: 'Lax' | 'Strict' | 'None' }
  }
  readonly healthCheck: {
    readonly active?: ActiveHealthCheck
    readonly passive: {
      /** 0 = off. */
      readonly consecutiveFailures: number
      readonly baseEjection: Duration
      readonly maxEjectionPercent: number
      readonly successRate: {
        /** Percentage points; 0 = off. */
        readonly belowMeanPercent: number
        readonly minRequests: number
      }
    }
    readonly panicPercent: number
  }
  readonly limits: {
    readonly maxConnections: number
    readonly maxPending: number
    /** 0 = unlimited. */
    readonly maxConcurrentRequests: number
    /** Of each endpoint. */
    readonly adaptive?: { readonly minRequests: number; readonly maxRequests: number; readonly latencyPercent: number }
  }
  readonly connection: {
    readonly connectTimeout: Duration
    readonly idleTimeout: Duration
    /** 0 = unlimited. */
    readonly maxRequestsPerConnection: number
    readonly proxyProtocol?: 'V1' | 'V2'
  }
  readonly allowedNamespaces: {
    readonly from: 'Same' | 'All' | 'Names'
    readonly names?: readonly string[]
  }
}

export type BackendProtocol = 'HTTP' | 'HTTPS' | 'H2C' | 'H2' | 'GRPC' | 'GRPCS'

export type LoadBalancingAlgorithm =
  | 'RoundRobin'
  | 'WeightedRoundRobin'
  | 'LeastRequest'
  | 'PeakEWMA'
  | 'Random'
  | 'ConsistentHash'

export interface StaticEndpoint {
  /** IPv4 or IPv6 literal, or a DNS name. */
  readonly address: string
  readonly port: number
  /** 1 … 1,000,000. */
  readonly weight: number
  readonly zone?: string
}

export interface BackendTls {
  readonly caSecretName?: string
  readonly serverName?: string
  readonly clientCertificateSecretName?: string
  readonly insecureSkipVerify: boolean
}

export interface ActiveHealthCheck {
  readonly type: 'HTTP' | 'TCP' | 'GRPC'
  readonly path: string
  readonly port?: number
  readonly interval: Duration
  readonly timeout: Duration
  readonly jitterPercent: number
  readonly healthyAfter: number
  readonly unhealthyAfter: number
  readonly codes: readonly string[]
  readonly hostname?: string
  readonly headers?: readonly { readonly name: string; readonly value: string }[]
  readonly bodyContains?: string
  readonly grpcService?: string
}
