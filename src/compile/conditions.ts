/** Builds the conditions that api.md lists, and derives `Ready` from the others. */
import type { Condition, ConditionReason, ConditionType, ObjectStatus } from '../api/condition.ts'
import { type FieldProblem, formatPath } from '../api/object.ts'
import type { Staleness } from './resource-set.ts'

/** A reason why a part of an object is not served. */
export interface ConditionFault {
  readonly reason: ConditionReason
  readonly message: string
  /** Number of further equal faults that are not listed. */
  readonly more?: number
}

/** Of the certificates of hostnames, see `certificateFindings`. */
export interface CertificateFindings {
  readonly faults: readonly ConditionFault[]
  /** What is well and will not stay so, as clauses. */
  readonly soon: readonly string[]
  /** What is odd, as clauses. */
  readonly remarks: readonly string[]
}

export interface Findings {
  readonly generation: number | undefined
  /** Why nothing of the object is served. */
  readonly notAccepted: ConditionFault | undefined
  /** The parts that are not served. */
  readonly partial: readonly ConditionFault[]
  readonly references: readonly ConditionFault[]
  /** Listeners that are not open, so requests do not reach what is served. */
  readonly unopened?: readonly ConditionFault[]
  /** Undefined where no TLS of its hostnames ends here by what its namespace states. */
  readonly certificates?: CertificateFindings | undefined
  readonly stale: Staleness | undefined
}

/** Further entries are counted, not listed. */
const MAX_LISTED = 4

/** Conditions of Routes without faults, by generation and whether they have certificates, shared by all such Routes. */
const HEALTHY_CONDITIONS = new Map<string, readonly Condition[]>()
const MAX_SHARED_GENERATION = 64

export function routeConditions(findings: Findings): readonly Condition[] {
  const { generation, notAccepted, partial, references, unopened = [], certificates, stale } = findings
  const odd =
    certificates === undefined ? 0 : certificates.faults.length + certificates.soon.length + certificates.remarks.length
  const faults = partial.length + references.length + unopened.length + odd
  if (notAccepted !== undefined || stale !== undefined || faults > 0 || (generation ?? 0) > MAX_SHARED_GENERATION)
    return newConditions(findings)
  const key = `${generation} ${certificates !== undefined}`
  let shared = HEALTHY_CONDITIONS.get(key)
  if (shared === undefined) HEALTHY_CONDITIONS.set(key, (shared = Object.freeze(newConditions(findings))))
  return shared
}

function newConditions(findings: Findings): readonly Condition[] {
  const { generation, notAccepted, partial } = findings
  const others = [
    accepted(notAccepted, partial.length === 0 ? 'All of it is served.' : 'Some of it is served.', generation),
    partial.length === 0
      ? condition('PartiallyInvalid', 'False', 'AllValid', 'All hostnames and rules can be served.', generation)
      : condition('PartiallyInvalid', 'True', partial[0]!.reason, listFaults(partial), generation),
    resolvedRefs(findings),
    ...certificatesValid(findings),
    programmedCondition(findings),
    staleCondition(findings),
  ]
  return [readyFrom(others), ...others]
}

/** All conditions except `Healthy`, which depends on endpoints and is added by `healthyCondition`. */
export function backendConditions(findings: Findings): readonly Condition[] {
  const { generation, notAccepted } = findings
  return [
    accepted(notAccepted, 'This Backend may be referred to.', generation),
    resolvedRefs(findings),
    ...(findings.stale === undefined ? [] : [staleCondition(findings)]),
  ]
}

/** Conditions of an object that was never valid. */
export function refusedConditions(problems: readonly FieldProblem[], generation: number | undefined, ready: boolean) {
  const message = `Nothing of it is served: ${listProblems(problems)}`
  const refused = condition('Accepted', 'False', refusalReason(problems), message, generation)
  return ready ? [readyFrom([refused]), refused] : [refused]
}

/** A problem with a specific reason is the only one of its object, or all problems share that reason. */
function refusalReason(problems: readonly FieldProblem[]): ConditionReason {
  for (const reason of ['NotImplemented', 'TooCostly', 'Quarantined', 'MemoryBudget'] as const)
    if (problems.length > 0 && problems.every((problem) => problem.reason === reason)) return reason
  return 'Invalid'
}

/**
 * The status once every worker of this replica serves its generation. The status of an object that is not served stays
 * unchanged.
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

/** The current state of a Backend's endpoints. */
export interface EndpointHealth {
  readonly total: number
  readonly eligible: number
  /** Those whose pods are ready. */
  readonly ready?: number
  /** Too few could be used, so all ready ones are. */
  readonly panic?: boolean
  /** Endpoints that probes or ejection keep out, each with the reason. */
  readonly out?: readonly string[]
  /** How many more are out that are not listed. */
  readonly moreOut?: number
  /** Endpoints that the dial guard refuses, each with the reason. */
  readonly refused?: readonly string[]
  /** Why endpoints may be missing: names that cannot be resolved, kinds that may not be read. */
  readonly unknown?: readonly string[]
  /** How many endpoints exceed the capacity of the endpoint table, and why. */
  readonly leftOut?: string
  /** Names with more addresses than are used. */
  readonly excess?: readonly string[]
}

/** The `Healthy` condition of a Backend. */
export function healthyCondition(health: EndpointHealth, generation: number | undefined): Condition {
  const { total, eligible, panic = false, out = [], moreOut = 0 } = health
  const { refused = [], unknown = [], leftOut, excess = [] } = health
  const unhealthy = (reason: ConditionReason, message: string) =>
    condition('Healthy', 'False', reason, message, generation)
  if (eligible === 0 && refused.length > 0) {
    const message = `No endpoint may be used: ${joinBounded(refused)}; correct the address, or the DNS name behind it`
    return unhealthy('AddressNotAllowed', sentence(message))
  }
  if (eligible === 0 && unknown.length > 0)
    return unhealthy(
      'NoEndpoints',
      sentence(`No endpoint is known: ${joinBounded(unknown)}; requests are answered with 503`),
    )
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
      sentence(
        `None of its ${total} endpoints may take requests${out.length === 0 ? '' : `: ${listOut(out, moreOut)}`}`,
      ),
    )
  if (panic)
    return unhealthy(
      'Panic',
      sentence(
        `Too few of its endpoints are well, so every ready one is used, also what fails: ${listOut(out, moreOut)}`,
      ),
    )
  const refusal = refused.length === 0 ? '' : `; not used: ${joinBounded(refused)}`
  const kept = out.length === 0 ? '' : `; out: ${listOut(out, moreOut)}`
  const more = [...(leftOut === undefined ? [] : [leftOut]), ...excess]
  const but = more.length === 0 ? `${kept}${refusal}` : `${kept}${refusal}; ${joinBounded(more)}`
  return condition('Healthy', 'True', 'Healthy', `${eligible} of ${total} endpoints take requests${but}.`, generation)
}

function accepted(fault: ConditionFault | undefined, well: string, generation: number | undefined): Condition {
  if (fault === undefined) return condition('Accepted', 'True', 'Accepted', well, generation)
  return condition('Accepted', 'False', fault.reason, sentence(fault.message), generation)
}

function resolvedRefs({ references, generation }: Findings): Condition {
  if (references.length === 0)
    return condition('ResolvedRefs', 'True', 'ResolvedRefs', 'Everything it names exists and may be used.', generation)
  // A name that is not resolved yet is neither a fault nor a success.
  const first = references.find(({ reason }) => reason !== 'Pending')
  if (first === undefined) return condition('ResolvedRefs', 'Unknown', 'Pending', listFaults(references), generation)
  return condition('ResolvedRefs', 'False', first.reason, listFaults(references), generation)
}

function certificatesValid({ certificates, generation }: Findings): Condition[] {
  if (certificates === undefined) return []
  const { faults, soon, remarks } = certificates
  if (faults.length > 0)
    return [condition('CertificatesValid', 'False', faults[0]!.reason, listFaults(faults), generation)]
  if (soon.length > 0)
    return [
      condition('CertificatesValid', 'True', 'ExpiresSoon', sentence(joinBounded([...new Set(soon)])), generation),
    ]
  const odd = remarks.length === 0 ? '' : ` ${sentence(joinBounded([...new Set(remarks)]))}`
  const message = `Its certificates name its hostnames and are in their time.${odd}`
  return [condition('CertificatesValid', 'True', 'CertificatesValid', message, generation)]
}

function programmedCondition({ notAccepted, unopened = [], generation }: Findings): Condition {
  if (notAccepted !== undefined)
    return condition('Programmed', 'False', 'NotReady', 'Nothing of it is served; see Accepted.', generation)
  if (unopened.length > 0)
    return condition('Programmed', 'False', unopened[0]!.reason, listFaults(unopened), generation)
  return condition('Programmed', 'False', 'Pending', 'Not every worker serves this yet.', generation)
}

function staleCondition({ stale, generation }: Findings): Condition {
  if (stale === undefined) return condition('Stale', 'False', 'Current', 'The newest version is served.', generation)
  const problems = listProblems(stale.problems)
  if (stale.closedRules !== 'all' && stale.closedRules.size === 0)
    return condition('Stale', 'True', 'LastGoodServed', `The last good version is served: ${problems}`, generation)
  const rules = stale.closedRules === 'all' ? 'all rules answer' : `${[...stale.closedRules].sort().join(', ')} answer`
  const message = `The last good version is served, but the newest adds auth, authorization or a client certificate, so ${rules} 503: ${problems}`
  return condition('Stale', 'True', 'ClosedByEdit', message, generation)
}

/** The status of each condition on an object without faults. */
const HEALTHY_STATUS: Partial<Record<ConditionType, Condition['status']>> = {
  Accepted: 'True',
  PartiallyInvalid: 'False',
  ResolvedRefs: 'True',
  CertificatesValid: 'True',
  Programmed: 'True',
  Stale: 'False',
}

function readyFrom(others: readonly Condition[]): Condition {
  const generation = others[0]?.observedGeneration
  const faults = others.filter(
    (one) => HEALTHY_STATUS[one.type] !== undefined && HEALTHY_STATUS[one.type] !== one.status,
  )
  // `Pending` is the least informative reason.
  const worst = faults.find((one) => one.reason !== 'Pending') ?? faults[0]
  if (worst === undefined) return condition('Ready', 'True', 'Ready', 'All of it is served.', generation)
  // `kubectl get -o wide` shows the reason.
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

function listFaults(faults: readonly ConditionFault[]): string {
  const others = faults.reduce((sum, { more = 0 }) => sum + more, 0)
  return sentence(joinBounded([...new Set(faults.map((fault) => fault.message))], others))
}

function listProblems(problems: readonly FieldProblem[]): string {
  return sentence(
    joinBounded(problems.map(({ path, message }) => `${formatPath(path)}: ${message.replace(/\.$/, '')}`)),
  )
}

/** All that there is room for: whoever reads it looks for one of them. */
function listOut(out: readonly string[], more: number): string {
  return joinBounded(out, more, out.length)
}

function joinBounded(texts: readonly string[], others = 0, most = MAX_LISTED): string {
  const more = Math.max(texts.length - most, 0) + others
  return texts.slice(0, most).join('; ') + (more > 0 ? `; and ${more} more` : '')
}

function sentence(text: string): string {
  return text.endsWith('.') ? text : `${text}.`
}
