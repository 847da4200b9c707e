/** A Backend's own options as the snapshot holds them. */
import type { BackendOptions, LoadBalancingAlgorithm } from '../api/backend.ts'
import { BACKEND_DEFAULTS } from '../api/defaults.ts'
import { parseDuration } from '../lib/quantity.ts'
import type { Backend } from '../snapshot/snapshot.ts'

/** A Service named directly by a rule. */
export function defaultBackend(id: string): Backend {
  return backendOf(id, BACKEND_DEFAULTS)
}

export function backendOf(id: string, options: BackendOptions): Backend {
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

/** The algorithms that are not built yet are refused at the door; the default keeps this total. */
function algorithmOf(name: LoadBalancingAlgorithm): Backend['algorithm'] {
  return name === 'PeakEWMA' || name === 'ConsistentHash' ? 'LeastRequest' : name
}
