/** Conditions as api.md lists them, and how `Ready` follows from the others. */
import type { Condition, ConditionReason, ConditionType, ObjectStatus } from '../api/condition.ts'
import { type FieldProblem, formatPath } from '../api/object.ts'
import type { Staleness } from './resource-set.ts'

/** Something that keeps a part of an object from being served. */
export interface Fault {
  readonly reason: ConditionReason
  readonly message: string
  /** How many others like it there are, which are not told. */
  readonly more?: number
}

export interface Findings {
  readonly generation: number | undefined
  /** Why nothing of the object is served. */
  readonly unaccepted: Fault | undefined
  /** What of it is not served. */
  readonly partial: readonly Fault[]
  readonly references: readonly Fault[]
  /** Why requests do not reach what is served of it. */
  readonly unopened?: readonly Fault[]
  readonly stale: Staleness | undefined
}

/** More than these are counted, not told. */
const TOLD = 4

/** Those of a Route with which all is well, by generation: most Routes are, and have the very same. */
const WELL_CONDITIONS = new Map<number | undefined, readonly Condition[]>()
const MAX_SHARED_GENERATION = 64

export function routeConditions(findings: Findings): readonly Condition[] {
  const { generation, unaccepted, partial, references, unopened = [], stale } = findings
  const faults = partial.length + references.length + unopened.length
  if (unaccepted !== undefined || stale !== undefined || faults > 0 || (generation ?? 0) > MAX_SHARED_GENERATION)
    return newConditions(findings)
  let shared = WELL_CONDITIONS.get(generation)
  if (shared === undefined) WELL_CONDITIONS.set(generation, (shared = Object.freeze(newConditions(findings))))
  return shared
}

function newConditions(findings: Findings): readonly Condition[] {
  const { generation, unaccepted, partial } = findings
  const others = [
    accepted(unaccepted, partial.length === 0 ? 'All of it is served.' : 'Some of it is served.', generation),
    partial.length === 0
      ? condition('PartiallyInvalid', 'False', 'AllValid', 'All hostnames and rules can be served.', generation)
      : condition('PartiallyInvalid', 'True', partial[0]!.reason, tell(partial), generation),
    resolvedRefs(findings),
    programmedCondition(findings),
    staleCondition(findings),
  ]
  return [readyFrom(others), ...others]
}

/** Without `Healthy`, which depends on endpoints and is added by whoever knows them. */
export function backendConditions(findings: Findings): readonly Condition[] {
  const { generation, unaccepted } = findings
  return [
    accepted(unaccepted, 'This Backend may be referred to.', generation),
    resolvedRefs(findings),
    ...(findings.stale === undefined ? [] : [staleCondition(findings)]),
  ]
}

/** An object that was never valid. */
export function refusedConditions(problems: readonly FieldProblem[], generation: number | undefined, ready: boolean) {
  const message = `Nothing of it is served: ${tellProblems(problems)}`
  const refused = condition('Accepted', 'False', refusalReason(problems), message, generation)
  return ready ? [readyFrom([refused]), refused] : [refused]
}

/** What has a reason of its own stands alone among the problems of an object, or all of them have it. */
function refusalReason(problems: readonly FieldProblem[]): ConditionReason {
  for (const reason of ['NotImplemented', 'TooCostly', 'Quarantined', 'MemoryBudget'] as const)
    if (problems.length > 0 && problems.every((problem) => problem.reason === reason)) return reason
  return 'Invalid'
}

/**
 * The status once every worker of this replica serves the generation that it was made with. An object of
 * which nothing is served is left as it is.
 */
export function programmed(status: ObjectStatus): ObjectStatus {
  const conditions = status.conditions.map((one) =>
    one.type === 'Programmed' && one.reason === 'Pending'
      ? condition('Programmed', 'True', 'Programmed', 'Every worker serves this.', one.observedGeneration)
      : one,
  )
  const rest = conditions.filter((one) => one.type !== 'Ready')
  return { ...status, conditions: rest.length === conditions.length ? rest : [readyFrom(rest), ...rest] }
}

/** What is known of a Backend's endpoints just now. */
export interface EndpointHealth {
  readonly total: number
  readonly eligible: number
  /** Those that the dial guard refuses, each with the reason. */
  readonly refused?: readonly string[]
  /** Why there may be more than are known: names that cannot be resolved, kinds that may not be read. */
  readonly unknown?: readonly string[]
  /** How many of them have no place in the table of endpoints, and why. */
  readonly leftOut?: string
}

/** What a Backend says about its endpoints. */
export function healthyCondition(
  { total, eligible, refused = [], unknown = [], leftOut }: EndpointHealth,
  generation: number | undefined,
): Condition {
  const unhealthy = (reason: ConditionReason, message: string) =>
    condition('Healthy', 'False', reason, message, generation)
  if (eligible === 0 && refused.length > 0) {
    const message = `No endpoint may be used: ${some(refused)}; correct the address, or the DNS name behind it`
    return unhealthy('AddressNotAllowed', sentence(message))
  }
  if (eligible === 0 && unknown.length > 0)
    return unhealthy('NoEndpoints', sentence(`No endpoint is known: ${some(unknown)}; requests are answered with 503`))
  if (eligible === 0 && leftOut !== undefined)
    return unhealthy('NoEligibleEndpoints', sentence(`No endpoint takes requests: ${leftOut}; use fewer`))
  if (total === 0)
    return unhealthy(
      'NoEndpoints',
      'It has no endpoints: no ready pod, or none listed. Requests are answered with 503.',
    )
  if (eligible === 0)
    return unhealthy(
      'NoEligibleEndpoints',
      `None of its ${total} endpoints may take requests; see why in the admin API.`,
    )
  const refusal = refused.length === 0 ? '' : `; not used: ${some(refused)}`
  const but = leftOut === undefined ? refusal : `${refusal}; ${leftOut}`
  return condition('Healthy', 'True', 'Healthy', `${eligible} of ${total} endpoints take requests${but}.`, generation)
}

function accepted(fault: Fault | undefined, well: string, generation: number | undefined): Condition {
  if (fault === undefined) return condition('Accepted', 'True', 'Accepted', well, generation)
  return condition('Accepted', 'False', fault.reason, sentence(fault.message), generation)
}

function resolvedRefs({ references, generation }: Findings): Condition {
  if (references.length === 0)
    return condition('ResolvedRefs', 'True', 'ResolvedRefs', 'Everything it names exists and may be used.', generation)
  // That a name has not been asked for yet is no fault, and no success.
  const first = references.find(({ reason }) => reason !== 'Pending')
  if (first === undefined) return condition('ResolvedRefs', 'Unknown', 'Pending', tell(references), generation)
  return condition('ResolvedRefs', 'False', first.reason, tell(references), generation)
}

function programmedCondition({ unaccepted, unopened = [], generation }: Findings): Condition {
  if (unaccepted !== undefined)
    return condition('Programmed', 'False', 'NotReady', 'Nothing of it is served; see Accepted.', generation)
  if (unopened.length > 0) return condition('Programmed', 'False', unopened[0]!.reason, tell(unopened), generation)
  return condition('Programmed', 'False', 'Pending', 'Not every worker serves this yet.', generation)
}

function staleCondition({ stale, generation }: Findings): Condition {
  if (stale === undefined) return condition('Stale', 'False', 'Current', 'The newest version is served.', generation)
  const problems = tellProblems(stale.problems)
  if (stale.closedRules !== 'all' && stale.closedRules.size === 0)
    return condition('Stale', 'True', 'LastGoodServed', `The last good version is served: ${problems}`, generation)
  const rules = stale.closedRules === 'all' ? 'all rules answer' : `${[...stale.closedRules].sort().join(', ')} answer`
  const message = `The last good version is served, but the newest adds auth or authorization, so ${rules} 503: ${problems}`
  return condition('Stale', 'True', 'ClosedByEdit', message, generation)
}

/** What each condition is when all is well. */
const WELL: Partial<Record<ConditionType, Condition['status']>> = {
  Accepted: 'True',
  PartiallyInvalid: 'False',
  ResolvedRefs: 'True',
  Programmed: 'True',
  Stale: 'False',
}

function readyFrom(others: readonly Condition[]): Condition {
  const generation = others[0]?.observedGeneration
  const faults = others.filter((one) => WELL[one.type] !== undefined && WELL[one.type] !== one.status)
  // That the workers are not there yet says least.
  const worst = faults.find((one) => one.reason !== 'Pending') ?? faults[0]
  if (worst === undefined) return condition('Ready', 'True', 'Ready', 'All of it is served.', generation)
  // In one word what is wrong: `kubectl get -o wide` shows it.
  return condition('Ready', 'False', worst.reason, `${worst.type}: ${worst.message}`, generation)
}

function condition(
  type: ConditionType,
  status: Condition['status'],
  reason: ConditionReason,
  message: string,
  generation: number | undefined,
): Condition {
  return { type, status, reason, message, ...(generation === undefined ? {} : { observedGeneration: generation }) }
}

function tell(faults: readonly Fault[]): string {
  const others = faults.reduce((sum, { more = 0 }) => sum + more, 0)
  return sentence(some([...new Set(faults.map((fault) => fault.message))], others))
}

function tellProblems(problems: readonly FieldProblem[]): string {
  return sentence(some(problems.map(({ path, message }) => `${formatPath(path)}: ${message.replace(/\.$/, '')}`)))
}

function some(texts: readonly string[], others = 0): string {
  const more = Math.max(texts.length - TOLD, 0) + others
  return texts.slice(0, TOLD).join('; ') + (more > 0 ? `; and ${more} more` : '')
}

function sentence(text: string): string {
  return text.endsWith('.') ? text : `${text}.`
}
