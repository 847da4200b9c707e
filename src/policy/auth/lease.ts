/**
 * How long a credential is good: what lasts longer than a request (tunnels, event streams, calls of gRPC) ends with the
 * credential that opened it, by its own time or because its key was withdrawn.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import type { Reason } from '../../lib/reason.ts'
import { attribute } from '../attribute.ts'
import type { Judgement } from './method.ts'

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

/** Of a credential that is judged anew: what it says now. @param left where it is good */
export function leaseAfter(judgement: Judgement, left: () => LeaseState): LeaseState {
  if ('response' in judgement) return 'CredentialInvalid'
  if (!('fault' in judgement)) return left()
  if (judgement.fault === 'unavailable') return 'AuthUnavailable'
  return judgement.fault === 'expired' ? 'CredentialExpired' : 'CredentialInvalid'
}
