/** Conditions of a Route or Backend (KEP-1623), with a closed list of reasons. */
export const CONDITION_TYPES = [
  'Ready',
  'Accepted',
  'PartiallyInvalid',
  'ResolvedRefs',
  'CertificatesValid',
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
  'TooCostly',
  'QuotaExceeded',
  'Quarantined',
  'WrongClass',
  'NoListener',
  'ListenerNotOpen',
  'NoRules',
  'HostnameNotAllowed',
  'Conflicted',
  'PathNotDelegated',
  'TLSNotAllowed',
  'AllValid',
  'ResolvedRefs',
  'BackendNotFound',
  'BackendNotAllowed',
  'ServiceNotFound',
  'PortNotFound',
  'SecretNotFound',
  'SecretTypeNotAllowed',
  'SecretNotAllowed',
  'CertificateInvalid',
  'KeyInvalid',
  'KeysUnavailable',
  'StoreNotConfigured',
  'CertificatesValid',
  'ExpiresSoon',
  'CertificateExpired',
  'CertificateNotYetValid',
  'HostnameNotCovered',
  'NoCertificate',
  'RevocationListExpired',
  'RevocationListIncomplete',
  'ConfigMapNotFound',
  'KeyNotFound',
  'AddressNotAllowed',
  'NameNotResolved',
  'Programmed',
  'Pending',
  'Current',
  'LastGoodServed',
  'ClosedByEdit',
  'Healthy',
  'NoEndpoints',
  'NoEligibleEndpoints',
  'Panic',
] as const
export type ConditionReason = (typeof CONDITION_REASONS)[number]

export interface Condition {
  readonly type: ConditionType
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: ConditionReason
  /** What it means here and what to do. */
  readonly message: string
  /** The `metadata.generation` that was evaluated. */
  readonly observedGeneration?: number
}

/** A note about a valid part of an object that has no effect. */
export interface Note {
  readonly reason: 'AnnotationsIgnored' | 'PathTakenLiterally' | 'PathNeverMatches' | 'CertificateNotServed'
  /** What it means here and what to do. */
  readonly message: string
  /** Where in the object: property names and list indexes. */
  readonly path: readonly (string | number)[]
}

/** The status of one object, from compile; published by the status writer (cluster) or admin API and log (folder). */
export interface ObjectStatus {
  /** One status per Ingress, which covers all its derived Routes. */
  readonly kind: 'Route' | 'Backend' | 'Ingress'
  /** `namespace/name`. */
  readonly key: string
  readonly conditions: readonly Condition[]
  /** Route and Ingress: how many rules are served. */
  readonly rules?: number
  /** Ingress only, where there are any. */
  readonly notes?: readonly Note[]
}
