/** Conditions of a Route or Backend (KEP-1623), with a closed list of reasons. */
export const CONDITION_TYPES = [
  'Ready',
  'Accepted',
  'PartiallyInvalid',
  'ResolvedRefs',
  'Programmed',
  'Stale',
  'Healthy',
] as const
export type ConditionType = (typeof CONDITION_TYPES)[number]

export const CONDITION_REASONS = [
  'Ready',
  'NotReady',
  'Accepted',
  'Invalid',
  'NotImplemented',
  'MemoryBudget',
  'WrongClass',
  'NoListener',
  'HostnameNotAllowed',
  'Conflicted',
  'PathNotDelegated',
  'AllValid',
  'ResolvedRefs',
  'BackendNotFound',
  'BackendNotAllowed',
  'ServiceNotFound',
  'PortNotFound',
  'SecretNotFound',
  'SecretTypeNotAllowed',
  'AddressNotAllowed',
  'Programmed',
  'Pending',
  'Current',
  'LastGoodServed',
  'ClosedByEdit',
  'Healthy',
  'NoEndpoints',
  'NoEligibleEndpoints',
] as const
export type ConditionReason = (typeof CONDITION_REASONS)[number]

export interface Condition {
  readonly type: ConditionType
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: ConditionReason
  /** What it means here and what to do. */
  readonly message: string
  /** `metadata.generation` this was said about. */
  readonly observedGeneration?: number
}

/** What compile says about one object; the status writer (cluster) or the admin API and log (folder) make it known. */
export interface ObjectStatus {
  readonly kind: 'Route' | 'Backend'
  /** `namespace/name`. */
  readonly key: string
  readonly conditions: readonly Condition[]
  /** Route only: how many rules are served. */
  readonly rules?: number
}
