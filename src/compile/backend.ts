/** Translates a Backend's options into the form of the snapshot. */
import type { BackendOptions, LoadBalancingAlgorithm } from '../api/backend.ts'
import { BACKEND_DEFAULTS } from '../api/defaults.ts'
import { parseDuration } from '../lib/quantity.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'

/** A Service named directly by a rule. */
export function defaultBackend(id: string): BackendConfig {
  return backendOf(id, BACKEND_DEFAULTS)
}

export function backendOf(id: string, options: BackendOptions): BackendConfig {
  const { limits, connection } = options
  return {
    id,
    protocol: 'HTTP',
    algorithm: algorithmOf(options.loadBalancing.algorithm),
    hostHeader: options.hostHeader,
    maxConnections: limits.maxConnections,
    maxPending: limits.maxPending,
    maxConcurrentRequests: limits.maxConcurrentRequests,
    connectTimeout: parseDuration(connection.connectTimeout),
    idleTimeout: parseDuration(connection.idleTimeout),
    maxRequestsPerConnection: connection.maxRequestsPerConnection,
  }
}

/** Validation rejects algorithms that are not implemented; the default keeps the function total. */
function algorithmOf(name: LoadBalancingAlgorithm): BackendConfig['algorithm'] {
  return name === 'PeakEWMA' || name === 'ConsistentHash' ? 'LeastRequest' : name
}
