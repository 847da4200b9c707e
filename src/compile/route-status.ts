/** What a Route is told about itself. */
import type { ObjectStatus } from '../api/condition.ts'
import type { SettingsObject } from '../api/settings.ts'
import { type Fault, routeConditions } from './conditions.ts'
import { inlineService } from './endpoints.ts'
import { nameOfRoute } from './ingress.ts'
import type { Outcome, RouteState } from './memo.ts'
import { CATCH_ALL, describeMatch } from './plan.ts'
import { refusedFault } from './references.ts'
import type { Hold } from './resource-set.ts'
import type { Tenancy } from './tenancy.ts'

/** More than these are counted, not told. */
const TOLD = 4

/** What a status depends on besides the Route. */
export interface StatusContext {
  readonly tenancy: Tenancy
  /** By backend id, see `Reach.refused`. */
  readonly refused: ReadonlyMap<string, readonly string[]>
}

export function routeStatus(state: RouteState, { tenancy, refused }: StatusContext): ObjectStatus {
  const { settings } = tenancy
  const { plan } = state
  const { object, stale, key } = plan.resource
  const partial = [
    ...listenerFaults(state, settings),
    ...outcomesOf(state).flatMap(([host, it]) => faults(state, host, it, tenancy)),
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
      references: plan.unserved === undefined ? referenceFaults(state, refused) : [],
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

function referenceFaults({ broken, plan, targets }: RouteState, refused: StatusContext['refused']): Fault[] {
  const faults = broken.map(({ rule, reason, message }) => ({ reason, message: `rule ${rule}: ${message}` }))
  // A Backend says it itself.
  for (const id of targets)
    if (inlineService(id) !== undefined)
      for (const { reason, message } of refusedFault(refused.get(id), plan.namespace)) {
        const rule = plan.rules.find((one) => one.targets.some((target) => target.id === id))?.rule.name
        faults.push({ reason, message: `rule ${rule}: ${message}` })
      }
  return faults
}

function faults(state: RouteState, hostname: string, outcome: Outcome, tenancy: Tenancy): Fault[] {
  const { lead, permission } = outcome
  const { namespace, rules } = state.plan
  const nameOf = (order: number): string => rules[order]!.rule.name
  if (permission === undefined && lead?.hold !== undefined) return [kept(hostname, lead.hold)]
  if (permission === undefined && lead !== undefined) {
    const message = `${hostname} belongs to namespace ${lead.namespace}, whose oldest ${nameOfRoute(lead.key).replace(' ', ' for it is ')}; have a delegates entry for namespace ${namespace} added there, or use another hostname`
    return [{ reason: 'HostnameNotAllowed', message }]
  }
  if (permission === undefined) return [notGranted(hostname, namespace, tenancy)]
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

function kept(hostname: string, { namespace, key, until }: Hold): Fault {
  const time = until === undefined ? 'for a while' : `until ${new Date(until).toISOString()}`
  const message = `${hostname} is kept for namespace ${namespace}, whose ${nameOfRoute(key)} had it, ${time} (hostnameHold of the settings); wait, or have the grant of namespace ${namespace} under hostnames of the settings withdrawn, which frees it at once`
  return { reason: 'HostnameNotAllowed', message }
}

function notGranted(hostname: string, namespace: string, tenancy: Tenancy): Fault {
  const granted = [...tenancy.hostnamesOf(namespace)].sort()
  const more = granted.length > TOLD ? ` and ${granted.length - TOLD} more` : ''
  const given = granted.length === 0 ? 'it has none' : `it has ${granted.slice(0, TOLD).join(', ')}${more}`
  const what = hostname === CATCH_ALL ? 'serving the hosts that no Route names' : `hostname ${hostname}`
  const wanted = hostname === CATCH_ALL ? 'the grant "*"' : 'a grant of it or of a wildcard over it'
  const message = `${what} needs ${wanted} to namespace ${namespace} under hostnames of the settings, since tenancy is Strict (${given}); have one added there, or ${hostname === CATCH_ALL ? 'name hostnames' : 'use another hostname'}`
  return { reason: 'HostnameNotAllowed', message }
}
