/** A status as it is written: compared with what the object has now, and formatted for the API server. */
import { CONDITION_TYPES, type Condition, type ObjectStatus } from '../../api/condition.ts'
import { type EndpointHealth, healthyCondition, programmed } from '../../compile/conditions.ts'
import type { Address } from '../leader/leader.ts'
import { canonical, type Seen } from './seen-statuses.ts'

export interface EndpointCounts extends EndpointHealth {
  readonly ready: number
}

export interface StatusDocument {
  readonly conditions: readonly Condition[]
  /** The other members. */
  readonly rest: Readonly<Record<string, unknown>>
}

/** As the CRD has it. */
const MAX_MESSAGE = 4_096

/** @param addresses undefined = not known: those that the object has stay */
export function routeDocument(
  status: ObjectStatus,
  served: boolean,
  addresses: readonly Address[] | undefined,
  seen: Seen,
): StatusDocument {
  const { conditions, rules = 0 } = served ? programmed(status) : status
  const shown = addresses ?? restOf(seen).addresses
  return {
    conditions: conditions.map(shortened),
    rest: { ...(isReached(status) && Array.isArray(shown) && shown.length > 0 && { addresses: shown }), rules },
  }
}

export function backendDocument(status: ObjectStatus, endpoints: EndpointCounts): StatusDocument {
  const healthy = healthyCondition(endpoints, status.conditions[0]?.observedGeneration)
  const { total, ready, eligible } = endpoints
  return { conditions: [...status.conditions, healthy].map(shortened), rest: { endpoints: { total, ready, eligible } } }
}

/** An Ingress has no conditions. */
export function ingressDocument(
  status: ObjectStatus,
  addresses: readonly Address[] | undefined,
  seen: Seen,
): StatusDocument {
  if (addresses === undefined) return { conditions: [], rest: restOf(seen) }
  const ingress = isReached(status) ? loadBalancerIngress(addresses) : []
  return { conditions: [], rest: { loadBalancer: ingress.length === 0 ? {} : { ingress } } }
}

/** As an Ingress has them. */
function loadBalancerIngress(addresses: readonly Address[]): ({ ip: string } | { hostname: string })[] {
  return addresses.map(({ type, value }) => (type === 'IPAddress' ? { ip: value } : { hostname: value }))
}

/** Whether its addresses may be published: they should answer. */
function isReached({ rules = 0, conditions }: ObjectStatus): boolean {
  return rules > 0 || conditions.some(({ type, status }) => type === 'Accepted' && status === 'True')
}

function restOf({ rest }: Seen): Readonly<Record<string, unknown>> {
  return JSON.parse(rest) as Readonly<Record<string, unknown>>
}

function shortened(condition: Condition): Condition {
  const { message } = condition
  return message.length <= MAX_MESSAGE ? condition : { ...condition, message: `${message.slice(0, MAX_MESSAGE - 1)}…` }
}

/** How the status of an object differs from the one that it should have. */
export type Difference = 'none' | 'counts' | 'all'

const OURS: ReadonlySet<string> = new Set(CONDITION_TYPES)

/** `counts`: only numbers of endpoints, which follow every pod and on which no decision depends. */
export function difference(wanted: StatusDocument, seen: Seen): Difference {
  const current = seen.conditions.filter(({ type }) => OURS.has(type))
  if (current.length !== wanted.conditions.length) return 'all'
  let counts = canonical(wanted.rest) !== seen.rest
  for (const { type, status, reason, message, observedGeneration } of wanted.conditions) {
    const now = current.find((one) => one.type === type)
    if (now?.status !== status || now.reason !== reason || now.observedGeneration !== observedGeneration) return 'all'
    if (now.message === message) continue
    if (type !== 'Healthy') return 'all'
    counts = true
  }
  if (!counts) return 'none'
  return 'endpoints' in wanted.rest && seen.rest !== '{}' ? 'counts' : 'all'
}

/** @param now RFC 3339 */
export function statusFields({ conditions, rest }: StatusDocument, seen: Seen, now: string): object {
  if (conditions.length === 0) return rest
  return {
    ...rest,
    conditions: conditions.map((one) => {
      const before = seen.conditions.find(({ type }) => type === one.type)
      const lasting = before?.status === one.status && before.lastTransitionTime !== ''
      return { ...one, lastTransitionTime: lasting ? before.lastTransitionTime : now }
    }),
  }
}

/** Conditions that are not well and that the object did not have like this before. */
export function newConditionsIn(wanted: StatusDocument, seen: Seen, unwell: (one: Condition) => boolean): Condition[] {
  return wanted.conditions.filter((one) => {
    const before = seen.conditions.find(({ type }) => type === one.type)
    const same = before?.status === one.status && before.reason === one.reason && before.message === one.message
    return !same && unwell(one)
  })
}
