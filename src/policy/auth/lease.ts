/**
 * How long a credential is good: what lasts longer than a request (tunnels, event streams, calls of gRPC) ends with the
 * credential that opened it, by its own time or because its key was withdrawn.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { Reason } from '../../lib/reason.ts'
import { attribute } from '../attribute.ts'

/** Milliseconds that are left, more than 0, infinity where it has no end; or why it is not good any more. */
export type LeaseState = Milliseconds | Reason

export interface CredentialLease {
  /** Quick where nothing has changed since. */
  look(): LeaseState | Promise<LeaseState>
}

/** Of the credential of the request. */
export const LEASE = attribute<CredentialLease>('lease of the credential')

/** @param expires milliseconds since the epoch */
export function leaseState(expires: number, now: number): LeaseState {
  return expires > now ? expires - now : 'CredentialExpired'
}
