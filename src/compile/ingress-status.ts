/** Builds the status of an Ingress from the findings of all Routes derived from it. */
import type { ObjectStatus } from '../api/condition.ts'
import type { Ingress } from '../api/ingress.ts'
import type { RouteState } from './compile-state.ts'
import { type CertificateFindings, type ConditionFault, routeConditions } from './conditions.ts'
import { classOf, ingressRoutes, isHostDefaultBackend } from './ingress.ts'
import { ingressNotes } from './ingress-notes.ts'
import { isServedClass } from './plan.ts'
import type { ServedResource } from './resource-set.ts'
import { byRules, type RouteFindings, routeFindings, type StatusContext, wrongClass } from './route-status.ts'

/** @param stateOf the state of a derived Route, by its key */
export function ingressStatus(
  resource: ServedResource<Ingress>,
  stateOf: (key: string) => RouteState | undefined,
  context: StatusContext,
): ObjectStatus {
  const { key, object, stale } = resource
  const { settings } = context.tenancy
  const generation = stale?.generation ?? object.metadata.generation
  const className = classOf(object)
  if (!isServedClass(className, settings)) {
    const foreign = { generation, notAccepted: wrongClass(className, settings), partial: [], references: [], stale }
    return { kind: 'Ingress', key, conditions: routeConditions(foreign), rules: 0 }
  }
  const parts = [...ingressRoutes(resource).keys()].flatMap((route) => {
    const state = stateOf(route)
    return state === undefined ? [] : [withoutShadowedDefault(route, routeFindings(state, context))]
  })
  const conditions = routeConditions({
    generation,
    notAccepted: unaccepted(parts),
    partial: parts.flatMap(({ partial }) => partial),
    references: byRules(parts.flatMap(({ references }) => references)),
    certificates: togetherOf(parts),
    stale,
  })
  const notes = ingressNotes(object)
  const rules = parts.reduce((sum, part) => sum + part.rules, 0)
  return { kind: 'Ingress', key, conditions, rules, ...(notes.length > 0 && { notes }) }
}

function togetherOf(parts: readonly RouteFindings[]): CertificateFindings | undefined {
  const all = parts.flatMap(({ certificates }) => certificates ?? [])
  if (all.length === 0) return undefined
  return {
    faults: all.flatMap(({ faults }) => faults),
    soon: all.flatMap(({ soon }) => soon),
    remarks: all.flatMap(({ remarks }) => remarks),
  }
}

/** A default backend that is shadowed by the paths of a host is not a conflict. */
function withoutShadowedDefault(key: string, findings: RouteFindings): RouteFindings {
  if (!isHostDefaultBackend(key)) return findings
  const partial = findings.partial.filter(({ reason }) => reason !== 'Conflicted')
  return {
    ...findings,
    partial,
    notAccepted: findings.notAccepted?.reason === 'Conflicted' ? undefined : findings.notAccepted,
  }
}

/** An Ingress is not accepted only when none of its hosts is. */
function unaccepted(parts: readonly RouteFindings[]): ConditionFault | undefined {
  if (parts.length === 0)
    return { reason: 'NoRules', message: 'It has no path that a request can have, and no default backend' }
  return parts.every((part) => part.notAccepted !== undefined) ? parts[0]!.notAccepted : undefined
}
