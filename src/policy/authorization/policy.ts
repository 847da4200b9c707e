/**
 * `authorization`: what the client may do, judged by the claims of its token or the labels of its key. All rules must
 * hold and the first that does not denies; a claim that is missing denies, so a request without a credential never
 * passes by omission.
 */
import { CLAIMS, CONSUMER } from '../attribute.ts'
import { type PolicyDefinition, planOnce } from '../definition.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import { claimAt } from '../variables.ts'

/** As it stands in a document. Rules with `cel` or `dryRun` are refused before. */
interface AuthorizationRule {
  readonly name: string
  readonly claim?: string
  readonly in?: readonly string[]
  readonly hasAny?: readonly string[]
}

interface RulePlan {
  readonly name: string
  readonly claim: readonly string[]
  /** `in`: the claim, or an element of it, is one of them. `hasAny`: also one of its words. */
  readonly test: 'in' | 'hasAny'
  readonly values: readonly string[]
}

/** Words of one claim that are looked at: `scope` of real tokens has some dozens. */
const MAX_WORDS = 1_024

export const authorization: PolicyDefinition<readonly AuthorizationRule[], readonly RulePlan[]> = {
  key: 'authorization',
  phase: 'authorization',
  plan: planOnce((rules) => (rules.length === 0 ? undefined : rules.map(planOf))),
  create: authorizationFilter,
}

function planOf({ name, claim = '', in: one, hasAny = [] }: AuthorizationRule): RulePlan {
  const path = claim.split('.')
  return one === undefined
    ? { name, claim: path, test: 'hasAny', values: hasAny }
    : { name, claim: path, test: 'in', values: one }
}

function authorizationFilter(plans: readonly RulePlan[]): Filter {
  const rules = plans.map((plan) => ({ plan, values: new Set(plan.values) }))
  const effect = `lets pass where ${plans.map(describe).join(' and ')}, and answers 403 otherwise`
  return {
    name: 'authorization',
    onRequest(x): RequestDecision {
      const claims = x.get(CLAIMS)
      for (const { plan, values } of rules) if (!holds(plan, values, claims)) return deny(x, plan)
      return undefined
    },
    explain: () => ({ filter: 'authorization', effect }),
  }
}

function holds({ claim, test }: RulePlan, values: ReadonlySet<string>, claims: unknown): boolean {
  const value = claimAt(claims, claim)
  if (Array.isArray(value)) return value.slice(0, MAX_WORDS).some((element) => has(values, element))
  if (test === 'hasAny' && typeof value === 'string')
    return value.split(' ', MAX_WORDS).some((word) => has(values, word))
  return has(values, value)
}

/** Numbers and booleans as they are written; objects are nothing. */
function has(values: ReadonlySet<string>, value: unknown): boolean {
  if (typeof value === 'string') return values.has(value)
  return (typeof value === 'number' || typeof value === 'boolean') && values.has(String(value))
}

/** RFC 6750 §3.1, where it was a token. Which rule it was is told to the access log alone. */
function deny(x: Exchange, { name, claim }: RulePlan): RequestDecision {
  const response = problemResponse('AccessDenied', x)
  if (x.get(CONSUMER) === undefined)
    response.fields.add('www-authenticate', `Bearer realm="${x.host}", error="insufficient_scope"`)
  return { type: 'respond', response: { ...response, detail: `authorization ${name}: ${claim.join('.')}` } }
}

function describe({ claim, test, values }: RulePlan): string {
  return `${claim.join('.')} ${test === 'in' ? 'is' : 'has'} ${values.join(' or ')}`
}
