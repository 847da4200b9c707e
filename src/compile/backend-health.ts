/** Health checks of a Backend in the form of the snapshot. */
import type { ActiveHealthCheck, BackendOptions } from '../api/backend.ts'
import { parseDuration } from '../lib/quantity.ts'
import { statusRange } from '../lib/status-range.ts'
import type { ActiveHealth, HealthConfig } from '../snapshot/health.ts'
import type { UpstreamProtocol } from '../snapshot/upstream-protocol.ts'

export function healthOf(
  { active, passive, panicPercent }: BackendOptions['healthCheck'],
  protocol: UpstreamProtocol,
): HealthConfig {
  return {
    panicPercent,
    passive: { ...passive, baseEjection: parseDuration(passive.baseEjection) },
    active: active === undefined ? undefined : activeOf(active, protocol),
  }
}

function activeOf(active: ActiveHealthCheck, protocol: UpstreamProtocol): ActiveHealth {
  const { type, path, port, jitterPercent, healthyAfter, unhealthyAfter, hostname, grpcService = '' } = active
  return {
    type,
    protocol: type === 'GRPC' ? grpcOver(protocol) : protocol,
    path,
    port,
    interval: Math.max(parseDuration(active.interval), MIN_INTERVAL),
    timeout: Math.max(parseDuration(active.timeout), MIN_TIMEOUT),
    jitterPercent,
    healthyAfter,
    unhealthyAfter,
    codes: active.codes.map(statusRange),
    hostname,
    headers: active.headers ?? [],
    bodyContains: active.bodyContains ?? '',
    grpcService,
  }
}

/** Milliseconds; less is taken for this. */
const MIN_INTERVAL = 100
const MIN_TIMEOUT = 20

/** gRPC needs HTTP/2, also where the Backend's own requests are HTTP/1.1. */
function grpcOver(protocol: UpstreamProtocol): UpstreamProtocol {
  if (protocol === 'HTTP') return 'GRPC'
  return protocol === 'HTTPS' ? 'GRPCS' : protocol
}
