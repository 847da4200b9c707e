/** What an Ingress is told about itself: one object with one status, whatever number of Routes it becomes. */
import type { ObjectStatus } from '../api/condition.ts'
import type { Ingress } from '../api/ingress.ts'
import type { RouteState } from './compile-state.ts'
import { type Fault, routeConditions } from './conditions.ts'
import { classOf, ingressRoutes, isLastResort } from './ingress.ts'
import { ingressNotes } from './ingress-notes.ts'
import { isOurs } from './plan.ts'
import type { Resource } from './resource-set.ts'
import { byRules, type RouteFindings, routeFindings, type StatusContext, wrongClass } from './route-status.ts'

/** @param stateOf of a Route that it became, by its key */
export function ingressStatus(
  resource: Resource<Ingress>,
  stateOf: (key: string) => RouteState | undefined,
  context: StatusContext,
): ObjectStatus {
  const { key, object, stale } = resource
  const { settings } = context.tenancy
  const generation = stale?.generation ?? object.metadata.generation
  const className = classOf(object)
  if (!isOurs(className, settings)) {
    const foreign = { generation, unaccepted: wrongClass(className, settings), partial: [], references: [], stale }
    return { kind: 'Ingress', key, conditions: routeConditions(foreign), rules: 0 }
  }
  const parts = [...ingressRoutes(resource).keys()].flatMap((route) => {
    const state = stateOf(route)
    return state === undefined ? [] : [asMeant(route, routeFindings(state, context))]
  })
  const conditions = routeConditions({
    generation,
    unaccepted: unaccepted(parts),
    partial: parts.flatMap(({ partial }) => partial),
    references: byRules(parts.flatMap(({ references }) => references)),
    stale,
  })
  const notes = ingressNotes(object)
  const rules = parts.reduce((sum, part) => sum + part.rules, 0)
  return { kind: 'Ingress', key, conditions, rules, ...(notes.length > 0 && { notes }) }
}

/** Where paths take all of a host, a default backend has nothing left there, and nobody has done anything wrong. */
function asMeant(key: string, findings: RouteFindings): RouteFindings {
  if (!isLastResort(key)) return findings
  const partial = findings.partial.filter(({ reason }) => reason !== 'Conflicted')
  return {
    ...findings,
    partial,
    unaccepted: findings.unaccepted?.reason === 'Conflicted' ? undefined : findings.unaccepted,
  }
}

/** Nothing of it is served only where nothing of any of its hosts is. */
function unaccepted(parts: readonly RouteFindings[]): Fault | undefined {
  if (parts.length === 0)
    return { reason: 'NoRules', message: 'It has no path that a request can have, and no default backend' }
  return parts.every((part) => part.unaccepted !== undefined) ? parts[0]!.unaccepted : undefined
}
