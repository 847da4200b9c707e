/** A Lease of `coordination.k8s.io/v1` as an elector reads and writes it. */
import type { Milliseconds } from '../../lib/clock.ts'

type JsonObject = Readonly<Record<string, unknown>>

export interface LeaseRecord {
  /** Empty when the Lease is free. */
  readonly holder: string
  /** How long a silent holder keeps it; undefined when what stands there cannot be meant. */
  readonly duration: Milliseconds | undefined
  readonly transitions: number
  readonly acquireTime: string | undefined
  readonly resourceVersion: string
  /** As it stands there, so that what others have written beside it stays. */
  readonly object: JsonObject
}

/** The longest duration that is believed: a longer one would leave the installation without a leader. */
const LONGEST: Milliseconds = 300_000

/** The limit of the API: a higher number is refused, and the Lease could never be taken again. */
const MOST_TRANSITIONS = 2 ** 31 - 1

/** @returns undefined for what is not a Lease as an API server must send it */
export function readLease(value: unknown): LeaseRecord | undefined {
  const object = fieldsOf(value)
  const metadata = fieldsOf(object?.metadata)
  const { resourceVersion } = metadata ?? {}
  if (object === undefined || typeof resourceVersion !== 'string' || resourceVersion === '') return undefined
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, acquireTime } = fieldsOf(object.spec) ?? {}
  const duration = typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds * 1_000 : Number.NaN
  return {
    holder: typeof holderIdentity === 'string' ? holderIdentity : '',
    duration: duration > 0 && duration <= LONGEST ? duration : undefined,
    transitions: typeof leaseTransitions === 'number' && leaseTransitions >= 0 ? Math.floor(leaseTransitions) : 0,
    acquireTime: typeof acquireTime === 'string' ? acquireTime : undefined,
    resourceVersion,
    object,
  }
}

export interface LeaseClaim {
  readonly holder: string
  readonly duration: Milliseconds
  readonly acquireTime: string
  readonly renewTime: string
  readonly transitions: number
}

/** @param before what it replaces; the write fails when that is not the newest any more */
export function leaseObject(
  namespace: string,
  name: string,
  claim: LeaseClaim,
  before: LeaseRecord | undefined,
): object {
  const { holder, duration, acquireTime, renewTime, transitions } = claim
  return {
    ...before?.object,
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {
      ...fieldsOf(before?.object.metadata),
      namespace,
      name,
      ...(before && { resourceVersion: before.resourceVersion }),
    },
    spec: {
      ...fieldsOf(before?.object.spec),
      holderIdentity: holder,
      // Whole seconds: what others wait must not be less than we hold it.
      leaseDurationSeconds: Math.max(1, Math.ceil(duration / 1_000)),
      acquireTime,
      renewTime,
      leaseTransitions: Math.min(transitions, MOST_TRANSITIONS),
    },
  }
}

function fieldsOf(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined
}
