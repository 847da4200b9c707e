/** Builds the status of a Route. */
import type { ObjectStatus } from '../api/condition.ts'
import type { SettingsObject } from '../api/settings.ts'
import { inlineService } from './backend-service.ts'
import type { Conflict, HostnameOutcome, RouteState } from './compile-state.ts'
import { type CertificateFindings, type ConditionFault, type Findings, routeConditions } from './conditions.ts'
import { ingressOf, isDefaultBackend, nameOfRoute, whyFirst } from './ingress.ts'
import { ageOf } from './ownership.ts'
import { CATCH_ALL, describeMatch, type HostnameClaim } from './plan.ts'
import type { BrokenReference } from './references.ts'
import type { HostnameReservation } from './resource-set.ts'
import type { Tenancy } from './tenancy.ts'

const NONE: ConditionFault[] = []

/** Further entries are counted, not listed. */
const MAX_LISTED = 4
/** Messages built per hostname: more than are listed, since equal ones are merged. */
const MAX_MESSAGES = 16

/** Inputs of a status besides the Route. */
export interface StatusContext {
  readonly tenancy: Tenancy
  /** The faults of a backend, by its id. */
  readonly faultsOf: (target: string) => readonly ConditionFault[]
  /** By name of a listener that could not be opened as configured: the cause. */
  readonly unopened: ReadonlyMap<string, string>
  /** See `certificateFindings`. */
  readonly certificatesOf: (state: RouteState) => CertificateFindings | undefined
}

/** The findings about the Route of one key. */
export interface RouteFindings extends Omit<Findings, 'references'> {
  readonly references: readonly BrokenReference[]
  /** How many are served. */
  readonly rules: number
}

export function routeStatus(state: RouteState, context: StatusContext): ObjectStatus {
  const { references, rules, ...findings } = routeFindings(state, context)
  const conditions = routeConditions({ ...findings, references: byRules(references) })
  return { kind: 'Route', key: state.plan.resource.key, conditions, rules }
}

export function routeFindings(state: RouteState, context: StatusContext): RouteFindings {
  const { tenancy, faultsOf, unopened, certificatesOf } = context
  const { settings } = tenancy
  const { plan } = state
  const { object, stale } = plan.resource
  const partial = [
    ...listenerFaults(state, settings),
    ...outcomesOf(state).flatMap(([host, it]) => faults(state, host, it, tenancy)),
  ]
  const rules = servedRules(state)
  return {
    generation: stale?.generation ?? object.metadata.generation,
    notAccepted: unacceptedBecause(state, settings, partial, rules),
    partial,
    references: plan.unserved === undefined ? [...state.broken, ...unreachable(state, faultsOf)] : [],
    unopened: unopenedFaults(state, unopened),
    certificates: plan.unserved === undefined ? certificatesOf(state) : undefined,
    stale,
    rules,
  }
}

/** A Route without listeners is served on the others, so it has no such fault. */
function unopenedFaults({ plan }: RouteState, unopened: ReadonlyMap<string, string>): readonly ConditionFault[] {
  if (unopened.size === 0 || plan.frontends === undefined) return NONE
  return plan.frontends.names.flatMap((name) => {
    const message = unopened.get(name)
    return message === undefined ? [] : [{ reason: 'ListenerNotOpen' as const, message }]
  })
}

/** Sorted by hostname, so that messages are independent of the order of events. */
function outcomesOf(state: RouteState): (readonly [string, HostnameOutcome])[] {
  return [...state.outcomes].sort(([a], [b]) => (a < b ? -1 : 1))
}

function servedRules({ plan, outcomes }: RouteState): number {
  const served = new Set<number>()
  // Without those that policies serve themselves.
  const stated = plan.resource.object.spec.rules.length
  for (const outcome of outcomes.values()) {
    if (outcome.served === 'all') return stated
    for (const rule of outcome.served) if (rule < stated) served.add(rule)
  }
  return served.size
}

function unacceptedBecause(
  { plan, outcomes }: RouteState,
  settings: SettingsObject,
  partial: readonly ConditionFault[],
  served: number,
): ConditionFault | undefined {
  if (plan.unserved === 'WrongClass') return wrongClass(plan.resource.object.spec.ingressClassName, settings)
  if (plan.unserved === 'QuotaExceeded') return quotaExceeded(plan.namespace, settings)
  const owner = [...outcomes.values()].some((outcome) => outcome.permission !== undefined)
  // A Route that only owns and delegates its hostnames has no rules, and all of it is served.
  if (served > 0 || (plan.resource.object.spec.rules.length === 0 && owner)) return undefined
  return partial[0] ?? { reason: 'NoRules', message: 'It has no rule that can be served' }
}

export function wrongClass(name: string | undefined, { ingressClass }: SettingsObject): ConditionFault {
  const message =
    name === undefined
      ? `It names no ingressClassName, and class ${ingressClass.name} is not the default; name it to be served here`
      : `It is for class ${name}; this installation serves ${ingressClass.name}`
  return { reason: 'WrongClass', message }
}

function quotaExceeded(namespace: string, { limits }: SettingsObject): ConditionFault {
  const message = `The Routes and Ingresses of namespace ${namespace} cost more than ${limits.namespaceCost} units (limits.namespaceCost of the settings), and older ones come first; delete or shorten some of them, or have the limit raised`
  return { reason: 'QuotaExceeded', message }
}

function listenerFaults({ plan }: RouteState, settings: SettingsObject): ConditionFault[] {
  if (plan.unserved === 'WrongClass') return []
  const known = settings.listeners.map((listener) => listener.name).join(', ')
  const unknown: ConditionFault[] = plan.unknownListeners.map((name) => ({
    reason: 'NoListener',
    message: `there is no listener ${name} in the settings (there is ${known}); correct the name`,
  }))
  return plan.tls === undefined || speaksTls(plan, settings) ? unknown : [...unknown, NO_TLS_LISTENER]
}

const NO_TLS_LISTENER: ConditionFault = {
  reason: 'NoListener',
  message:
    'it states tls, and none of its listeners speaks TLS; add tls: {} to a listener of the settings, or remove tls here',
}

function speaksTls({ frontends }: RouteState['plan'], { listeners }: SettingsObject): boolean {
  return listeners.some(({ name, tls }) => tls !== undefined && (frontends?.names.includes(name) ?? true))
}

/**
 * References to backends with faults. Faults of a backend that may not be used are not disclosed.
 */
function unreachable({ plan, references, targets }: RouteState, faultsOf: StatusContext['faultsOf']) {
  const found: BrokenReference[] = []
  if (!targets.some((id) => faultsOf(id).length > 0)) return found
  for (const [order, rule] of plan.rules.entries())
    for (const [i, { id }] of rule.targets.entries()) {
      if (references[order]?.[i]?.refuse !== undefined) continue
      const of = inlineService(id) === undefined ? `Backend ${id}: ` : ''
      for (const { reason, message } of faultsOf(id))
        found.push({ rule: rule.rule.name, reason, message: `${of}${message}` })
    }
  return found
}

/** Each finding once, with the rules that have it. */
export function byRules(references: readonly BrokenReference[]): readonly ConditionFault[] {
  const rules = new Map<
    string,
    { readonly reason: ConditionFault['reason']; readonly names: Set<string | undefined> }
  >()
  for (const { rule, reason, message } of references) {
    const found = rules.get(message) ?? { reason, names: new Set() }
    rules.set(message, found)
    found.names.add(rule)
  }
  return [...rules].map(([message, { reason, names }]) => {
    if (names.delete(undefined) && names.size === 0) return { reason, message }
    const more = names.size > MAX_LISTED ? ` and ${names.size - MAX_LISTED} more` : ''
    return {
      reason,
      message: `rule${names.size > 1 ? 's' : ''} ${[...names].slice(0, MAX_LISTED).join(', ')}${more}: ${message}`,
    }
  })
}

function faults(state: RouteState, hostname: string, outcome: HostnameOutcome, tenancy: Tenancy): ConditionFault[] {
  const { owner, permission } = outcome
  const { namespace, rules, claim } = state.plan
  const nameOf = (order: number): string => rules[order]!.rule.name
  if (permission === undefined && owner?.reservation !== undefined) return [reservedFault(hostname, owner.reservation)]
  if (permission === undefined && owner !== undefined) {
    const why = whyOwner(outcome.decider ?? owner, claim)
    const message = `${hostname} belongs to namespace ${owner.namespace}: ${why}; have a delegates entry for namespace ${namespace} added there, or use another hostname`
    return [{ reason: 'HostnameNotAllowed', message }]
  }
  if (permission === undefined) return [notGranted(hostname, namespace, tenancy)]
  const tls = outcome.otherTls === undefined ? NONE : [otherTlsFault(state, hostname, outcome.otherTls, owner)]
  if (outcome.outside.length + outcome.conflicts.length === 0) return tls
  const where = hostname === CATCH_ALL ? 'hosts that no Route names' : hostname
  const below = some(permission)
  const outside = firstOf(outcome.outside, ({ match, ruleOrder }): ConditionFault => {
    const message = `rule ${nameOf(ruleOrder)}: ${describeMatch(match)} on ${where} is not below ${below}, which is what ${nameOfRoute(owner?.key ?? '')} delegates to namespace ${namespace}`
    return { reason: 'PathNotDelegated', message }
  })
  const conflicts = firstOf(outcome.conflicts, (conflict): ConditionFault => {
    const { loser, winner } = conflict
    const winnerRule = winner.state.plan.rules[winner.ruleOrder]!.rule.name
    const message = `rule ${nameOf(loser.ruleOrder)}: ${describeMatch(loser.match)} on ${where} is already served by rule ${winnerRule} of ${winnerOf(conflict)}; change one of the two`
    return { reason: 'Conflicted', message }
  })
  return [...outside, ...conflicts, ...tls]
}

/** Its rules are served all the same: only what it states of TLS is not. */
function otherTlsFault(
  { plan }: RouteState,
  hostname: string,
  { by }: NonNullable<HostnameOutcome['otherTls']>,
  owner: HostnameClaim | undefined,
): ConditionFault {
  if (owner !== undefined && owner.namespace !== plan.namespace) {
    const message = `tls of ${hostname} is for namespace ${owner.namespace} to state, which owns it; remove tls here, or name other hostnames`
    return { reason: 'TLSNotAllowed', message }
  }
  const { key, created } = by?.plan.resource ?? plan.resource
  const first = { key, created }
  const message = `tls of ${hostname} is that of ${nameOfRoute(key)}, which ${whyFirst(first, plan.resource)}; remove tls here, or state the same there`
  return { reason: 'Conflicted', message }
}

/** Explains why a claim owns the hostname rather than another. */
function whyOwner(owner: HostnameClaim, other: HostnameClaim): string {
  const age = ageOf(owner)
  const kept = age.key === owner.key ? '' : ` (with the age of ${age.key}, whose hostname was kept)`
  return `its ${nameOfRoute(owner.key)}${kept} ${whyFirst(age, ageOf(other))}`
}

function winnerOf({ loser, winner }: Conflict): string {
  if (winner.route === loser.route) return 'this Route, which stands first'
  const name = nameOfRoute(winner.route)
  if (isDefaultBackend(loser.route) && !isDefaultBackend(winner.route))
    return `${name}, which goes before default backends`
  if (ingressOf(winner.route) !== undefined && ingressOf(winner.route) === ingressOf(loser.route))
    return 'this Ingress, which stands first'
  const age = (of: typeof loser) => ({ created: of.created, key: of.route })
  return `${name}, which ${whyFirst(age(winner), age(loser))}`
}

/** The last one counts the others, of which a Route may have a hundred thousand. */
function firstOf<T>(list: readonly T[], faultOf: (one: T) => ConditionFault): ConditionFault[] {
  const faults = list.slice(0, MAX_MESSAGES).map(faultOf)
  const more = list.length - faults.length
  return more === 0 ? faults : [...faults.slice(0, -1), { ...faults.at(-1)!, more }]
}

function some(prefixes: readonly string[]): string {
  const more = prefixes.length > MAX_LISTED ? ` and ${prefixes.length - MAX_LISTED} more` : ''
  return `${prefixes.slice(0, MAX_LISTED).join(', ')}${more}`
}

function reservedFault(hostname: string, { namespace, key, until }: HostnameReservation): ConditionFault {
  const time = until === undefined ? 'for a while' : `until ${new Date(until).toISOString()}`
  const message = `${hostname} is kept for namespace ${namespace}, whose ${nameOfRoute(key)} had it, ${time} (hostnameHold of the settings); wait, or have the grant of namespace ${namespace} under hostnames of the settings withdrawn, which frees it at once`
  return { reason: 'HostnameNotAllowed', message }
}

function notGranted(hostname: string, namespace: string, tenancy: Tenancy): ConditionFault {
  const granted = [...tenancy.hostnamesOf(namespace)].sort()
  const more = granted.length > MAX_LISTED ? ` and ${granted.length - MAX_LISTED} more` : ''
  const given = granted.length === 0 ? 'it has none' : `it has ${granted.slice(0, MAX_LISTED).join(', ')}${more}`
  const what = hostname === CATCH_ALL ? 'serving the hosts that no Route names' : `hostname ${hostname}`
  const wanted = hostname === CATCH_ALL ? 'the grant "*"' : 'a grant of it or of a wildcard over it'
  const message = `${what} needs ${wanted} to namespace ${namespace} under hostnames of the settings, since tenancy is Strict (${given}); have one added there, or ${hostname === CATCH_ALL ? 'name hostnames' : 'use another hostname'}`
  return { reason: 'HostnameNotAllowed', message }
}
