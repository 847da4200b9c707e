/** How sick endpoints of a Backend are found, with every default applied. */
import type { UpstreamProtocol } from './upstream-protocol.ts'

export interface HealthConfig {
  /** Where fewer than this share of the ready endpoints can be used, all of them are; 0 = never. */
  readonly panicPercent: number
  readonly passive: PassiveHealth
  /** Undefined: no probes. */
  readonly active: ActiveHealth | undefined
}

/** Ejection by what requests meet. */
export interface PassiveHealth {
  /** 0 = off. */
  readonly consecutiveFailures: number
  /** Milliseconds of the first ejection; the n-th in a row takes n times as long. */
  readonly baseEjection: number
  readonly maxEjectionPercent: number
  readonly successRate: {
    /** Percentage points below the success rate of the other endpoints; 0 = off. */
    readonly belowMeanPercent: number
    /** In a window, of an endpoint and of all others together. */
    readonly minRequests: number
  }
}

/** Whether what requests meet may eject an endpoint. */
export function isPassive({ consecutiveFailures, successRate }: PassiveHealth): boolean {
  return consecutiveFailures > 0 || successRate.belowMeanPercent > 0
}

/** Times in milliseconds. */
export interface ActiveHealth {
  readonly type: 'HTTP' | 'TCP' | 'GRPC'
  /** What connections of probes speak. */
  readonly protocol: UpstreamProtocol
  readonly path: string
  /** Undefined: that of the endpoint. */
  readonly port: number | undefined
  readonly interval: number
  readonly timeout: number
  readonly jitterPercent: number
  readonly healthyAfter: number
  readonly unhealthyAfter: number
  /** First and last of each range. */
  readonly codes: readonly (readonly [number, number])[]
  /** Undefined: the authority of the endpoint. */
  readonly hostname: string | undefined
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  /** Text that the first 64 KiB of the body must hold; '' = anything. */
  readonly bodyContains: string
  /** Service that gRPC is asked about; '' = the server as a whole. */
  readonly grpcService: string
}
