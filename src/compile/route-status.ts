/** What a Route is told about itself. */
import type { ObjectStatus } from '../api/condition.ts'
import type { SettingsObject } from '../api/settings.ts'
import { type Fault, routeConditions } from './conditions.ts'
import { nameOfRoute } from './ingress.ts'
import type { Outcome, RouteState } from './memo.ts'
import { CATCH_ALL, describeMatch } from './plan.ts'

export function routeStatus(state: RouteState, settings: SettingsObject): ObjectStatus {
  const { plan } = state
  const { object, stale, key } = plan.resource
  const partial = [
    ...listenerFaults(state, settings),
    ...outcomesOf(state).flatMap(([host, it]) => faults(state, host, it)),
  ]
  const served = servedRules(state)
  const unaccepted = unacceptedBecause(state, settings, partial, served)
  return {
    kind: 'Route',
    key,
    conditions: routeConditions({
      generation: stale?.generation ?? object.metadata.generation,
      unaccepted,
      partial,
      references: plan.unserved === undefined ? referenceFaults(state) : [],
      stale,
    }),
    rules: served,
  }
}

/** By hostname, so that the messages do not depend on the order in which things came. */
function outcomesOf(state: RouteState): (readonly [string, Outcome])[] {
  return [...state.outcomes].sort(([a], [b]) => (a < b ? -1 : 1))
}

function servedRules({ plan, outcomes }: RouteState): number {
  const served = new Set<number>()
  for (const outcome of outcomes.values()) {
    if (outcome.served === 'all') return plan.rules.length
    for (const rule of outcome.served) served.add(rule)
  }
  return served.size
}

function unacceptedBecause(
  { plan, outcomes }: RouteState,
  settings: SettingsObject,
  partial: readonly Fault[],
  served: number,
): Fault | undefined {
  if (plan.unserved === 'WrongClass') return wrongClass(plan.resource.object.spec.ingressClassName, settings)
  const owner = [...outcomes.values()].some((outcome) => outcome.permission !== undefined)
  // A Route that only owns and delegates its hostnames has no rules, and all of it is served.
  if (served > 0 || (plan.rules.length === 0 && owner)) return undefined
  return partial[0] ?? { reason: 'Invalid', message: 'It has no rule that can be served' }
}

function wrongClass(name: string | undefined, { ingressClass }: SettingsObject): Fault {
  const message =
    name === undefined
      ? `It names no ingressClassName, and class ${ingressClass.name} is not the default; name it to have the Route served here`
      : `It is for class ${name}; this installation serves ${ingressClass.name}`
  return { reason: 'WrongClass', message }
}

function listenerFaults({ plan }: RouteState, settings: SettingsObject): Fault[] {
  if (plan.unserved === 'WrongClass') return []
  const known = settings.listeners.map((listener) => listener.name).join(', ')
  return plan.unknownListeners.map((name) => ({
    reason: 'NoListener',
    message: `there is no listener ${name} in the settings (there is ${known}); correct the name`,
  }))
}

function referenceFaults({ broken }: RouteState): Fault[] {
  return broken.map(({ rule, reason, message }) => ({ reason, message: `rule ${rule}: ${message}` }))
}

function faults(state: RouteState, hostname: string, outcome: Outcome): Fault[] {
  const { lead, permission } = outcome
  const { namespace, rules } = state.plan
  const nameOf = (order: number): string => rules[order]!.rule.name
  if (permission === undefined && lead !== undefined) {
    const message = `${hostname} belongs to namespace ${lead.namespace}, whose oldest ${nameOfRoute(lead.key).replace(' ', ' for it is ')}; have a delegates entry for namespace ${namespace} added there, or use another hostname`
    return [{ reason: 'HostnameNotAllowed', message }]
  }
  const where = hostname === CATCH_ALL ? 'hosts that no Route names' : hostname
  const outside = outcome.outside.map(({ match, ruleOrder }): Fault => {
    const below = permission?.join(', ')
    const message = `rule ${nameOf(ruleOrder)}: ${describeMatch(match)} on ${where} is not below ${below}, which is what ${nameOfRoute(lead?.key ?? '')} delegates to namespace ${namespace}`
    return { reason: 'PathNotDelegated', message }
  })
  const conflicts = outcome.conflicts.map(({ loser, winner }): Fault => {
    const winnerRule = winner.state.plan.rules[winner.ruleOrder]!.rule.name
    const other = winner.route === loser.route ? 'this Route' : nameOfRoute(winner.route)
    const message = `rule ${nameOf(loser.ruleOrder)}: ${describeMatch(loser.match)} on ${where} is already served by rule ${winnerRule} of ${other}, which comes first; change one of the two`
    return { reason: 'Conflicted', message }
  })
  return [...outside, ...conflicts]
}
