/** Endpoints that services register themselves through the admin API, for Backends with `spec.registration`. */
import type { Milliseconds } from '../lib/clock.ts'

/** What a service registers. */
export interface RegisteredEndpoint {
  /** Canonical IP address. */
  readonly address: string
  readonly port: number
  readonly weight: number
  readonly zone?: string | undefined
  /** Shown by the API, not used. */
  readonly metadata: Readonly<Record<string, string>>
  /** How long it is used after a heartbeat. */
  readonly lease: Milliseconds
}

/**
 * A registration as it is kept beyond the thread that accepted it. Its end is stated by two clocks: the uptime of the
 * machine cannot jump, but counts only within one boot.
 */
export interface KeptRegistration extends RegisteredEndpoint {
  /** `namespace/name`. */
  readonly backend: string
  readonly id: string
  readonly state: 'ready' | 'draining'
  /** Milliseconds since the epoch. */
  readonly endWall: number
  /** Milliseconds since the machine has started. */
  readonly endUptime: number
  /** Identifies the boot; empty where that is unknown. */
  readonly boot: string
}

/** To be kept, or no longer (`kept` undefined). */
export interface RegistrationChange {
  readonly backend: string
  readonly id: string
  readonly kept: KeptRegistration | undefined
}

export const LEASE = { min: 1_000, max: 3_600_000, text: '1s to 1h' } as const

/** Bounds of registrations: per Backend, per namespace, of the process. */
export const MAX_REGISTERED = { backend: 4_096, namespace: 8_192, process: 16_384 } as const

export const REGISTRATION_ID = '^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$'
