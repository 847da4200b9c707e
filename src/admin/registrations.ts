/** What the registration API asks of the control thread, and its answers. */
import type { Milliseconds } from '../lib/clock.ts'

/** Why a registration is refused: a closed list, in docs/registration.md. */
export type RegistrationReason =
  | 'NotServing'
  | 'BackendNotFound'
  | 'RegistrationNotEnabled'
  | 'EndpointNotFound'
  | 'InvalidEndpoint'
  | 'AddressRefused'
  | 'TargetNotGranted'
  | 'AddressTaken'
  | 'EndpointDraining'
  | 'TooManyEndpoints'
  | 'TooManyHeartbeats'
  | 'TooManyChanges'

export interface RegistrationRefusal {
  readonly ok: false
  readonly status: 404 | 409 | 422 | 429 | 503
  readonly reason: RegistrationReason
  readonly title: string
  readonly detail: string
  readonly retryAfter?: Milliseconds
}

export interface RegistrationView {
  readonly id: string
  readonly address: string
  readonly port: number
  readonly weight: number
  readonly zone?: string
  readonly metadata: Readonly<Record<string, string>>
  readonly state: 'ready' | 'draining'
  readonly lease: string
  /** Until it expires, unless a heartbeat comes. */
  readonly remaining: string
}

export type RegistrationOutcome =
  | { readonly ok: true; readonly created: boolean; readonly view: RegistrationView }
  | RegistrationRefusal

/** The body of a PUT, structure and types validated. */
export interface RegistrationBody {
  readonly address: string
  readonly port: number
  readonly weight?: number
  readonly zone?: string
  readonly metadata?: Readonly<Record<string, string>>
  /** A duration; the Backend's where it is absent. */
  readonly lease?: string
}

/** @see docs/registration.md; `backend` is `namespace/name` */
export interface RegistrationRequests {
  put(backend: string, id: string, body: RegistrationBody): RegistrationOutcome
  heartbeat(backend: string, id: string): RegistrationOutcome
  /** @param drain a duration; its default where absent */
  remove(backend: string, id: string, drain?: string): RegistrationOutcome
  get(backend: string, id: string): RegistrationOutcome
  list(backend: string): Iterable<RegistrationView> | RegistrationRefusal
}
