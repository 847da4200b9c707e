/** A Backend's own options as the snapshot holds them. */
import type { BackendOptions, LoadBalancingAlgorithm } from '../api/backend.ts'
import { parseDuration } from '../lib/quantity.ts'
import type { Backend } from '../snapshot/snapshot.ts'

/** What a Service named directly by a rule gets: the defaults of a Backend (api.md, "Defaults"). */
const DEFAULTS = {
  protocol: 'HTTP',
  algorithm: 'LeastRequest',
  hostHeader: 'Preserve',
  maxConnections: 1024,
  maxPending: 1024,
  maxConcurrentRequests: 0,
  connectTimeout: 2_000,
  idleTimeout: 60_000,
  maxRequestsPerConnection: 0,
} as const

export function defaultBackend(id: string): Backend {
  return { id, ...DEFAULTS }
}

export function backendOf(id: string, options: BackendOptions): Backend {
  const { limits, connection } = options
  return {
    id,
    protocol: DEFAULTS.protocol,
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
  return name === 'PeakEWMA' || name === 'ConsistentHash' ? DEFAULTS.algorithm : name
}
