/** `authorization`: what a user writes, and what of it a worker gets. */
import { parseCIDR } from '../../pattern/cidr.ts'
import { normalizePath } from '../../pattern/path.ts'
import { type PolicyDefinition, type PolicyProblem, planOnce } from '../definition.ts'
import { checkExpression } from './cel.ts'
import { authorizationFilter } from './filter.ts'
import type { RequestKinds, RulePlan, RuleTest } from './plan.ts'

/** As it stands in a document; the schema lets one test at most stand in a rule. */
interface AuthorizationRule {
  readonly name: string
  readonly when?: RequestKinds
  readonly claim?: string
  readonly equals?: string
  readonly in?: readonly string[]
  readonly hasAny?: readonly string[]
  readonly hasAll?: readonly string[]
  readonly scopes?: readonly string[]
  readonly consumers?: readonly string[]
  readonly groups?: readonly string[]
  readonly sourceCIDRs?: readonly string[]
  readonly cel?: string
  readonly dryRun?: boolean
}

/** Characters of all expressions of one list: they are compiled in one turn of a worker. */
const MAX_EXPRESSIONS = 4_096

export const authorization: PolicyDefinition<readonly AuthorizationRule[], readonly RulePlan[]> = {
  key: 'authorization',
  phase: 'authorization',
  check: (rules) => [...problemsOf(rules)],
  plan: planOnce((rules) => (rules.length === 0 ? undefined : rules.map(planOf))),
  create: authorizationFilter,
}

function* problemsOf(rules: readonly AuthorizationRule[]): Generator<PolicyProblem> {
  let expressions = 0
  for (const [i, rule] of rules.entries()) {
    const { when, cel, sourceCIDRs = [] } = rule
    if (when === undefined && planOf(rule).test.type === 'none')
      yield { path: [i], message: 'asks for nothing; state a test, or with when the requests that pass' }
    for (const [n, range] of sourceCIDRs.entries())
      if (parseCIDR(range) === undefined)
        yield { path: [i, 'sourceCIDRs', n], message: 'is no range of addresses; write it as 203.0.113.0/24' }
    for (const [n, path] of (when?.paths ?? []).entries()) {
      const problem = pathProblem(path)
      if (problem !== undefined) yield { path: [i, 'when', 'paths', n], message: problem }
    }
    if (cel === undefined) continue
    expressions += cel.length
    const problem =
      expressions > MAX_EXPRESSIONS
        ? `makes the expressions longer than ${MAX_EXPRESSIONS} characters in all; shorten them`
        : checkExpression(cel)
    if (problem !== undefined) yield { path: [i, 'cel'], message: problem }
  }
}

/** What is authorised is compared with the path in normal form: another spelling would match nothing, or too little. */
function pathProblem(path: string): string | undefined {
  const plain = path.endsWith('/*') ? path.slice(0, -1) : path
  if (plain.includes('*')) return 'has a * that is not the end; /a/* stands for all below /a'
  return normalizePath(plain, 'KeepEncodedSlash') === plain
    ? undefined
    : 'is not in normal form, so no request has it; write it without //, dot segments and encoded letters'
}

function planOf({ name, when, dryRun = false, ...rule }: AuthorizationRule): RulePlan {
  return { name, ...(when === undefined ? {} : { when }), test: testPlanOf(rule), dryRun }
}

const CLAIM_TESTS = ['in', 'hasAny', 'hasAll'] as const
const LIST_TESTS = ['scopes', 'consumers', 'groups', 'sourceCIDRs'] as const

function testPlanOf(rule: Omit<AuthorizationRule, 'name' | 'when' | 'dryRun'>): RuleTest {
  const { claim = '', equals, cel } = rule
  const path = claim.split('.')
  if (cel !== undefined) return { type: 'cel', source: cel }
  if (equals !== undefined) return { type: 'equals', claim: path, values: [equals] }
  for (const type of CLAIM_TESTS) if (rule[type] !== undefined) return { type, claim: path, values: rule[type] }
  for (const type of LIST_TESTS) {
    const values = rule[type]
    if (values !== undefined && values.length > 0) return { type, values }
  }
  return { type: 'none' }
}
