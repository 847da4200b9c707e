/**
 * `authorization`: what the client may do. The rules that are for a request must all hold, and the first that does not
 * denies; a request that no rule is for is denied as well. What is missing denies: a claim, a consumer, a member that
 * an expression asks for.
 */
import { AMBIENT_CREDENTIAL, CLAIMS, CONSUMER, noteDryRun } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import { startSteps } from './cel.ts'
import type { RulePlan } from './plan.ts'
import { appliesTo, describeTest, type Facts, type Test, testOf } from './tests.ts'

interface Rule {
  readonly plan: RulePlan
  /** Null: to all requests. */
  readonly applies: ((x: Exchange) => boolean) | null
  readonly test: Test
}

export function authorizationFilter(plans: readonly RulePlan[], { clock }: FilterServices): Filter {
  const rules = plans.map(
    (plan): Rule => ({
      plan,
      applies: plan.when === undefined ? null : appliesTo(plan.when),
      test: testOf(plan.test),
    }),
  )
  // Rules that only look must not deny by what they are not for.
  const denies = plans.some(({ dryRun }) => !dryRun)
  const effect = `lets pass where ${plans.map(describe).join(' and ')}, and answers 403 otherwise`
  return {
    name: 'authorization',
    onRequest(x): RequestDecision {
      const facts: Facts = { x, claims: x.get(CLAIMS), clock }
      let decided = false
      startSteps()
      for (const { plan, applies, test } of rules) {
        if (applies !== null && !applies(x)) continue
        decided ||= !plan.dryRun || !denies
        const found = test(facts)
        if (found === true) continue
        if (!plan.dryRun) return deny(x, plan, `authorization ${plan.name}: ${found}`)
        noteDryRun(x, `authorization ${plan.name}: ${found}`)
      }
      if (decided) return undefined
      if (denies) return deny(x, null, 'authorization: no rule is for such a request')
      noteDryRun(x, 'authorization: no rule is for such a request')
      return undefined
    },
    explain: () => ({ filter: 'authorization', effect }),
  }
}

/** RFC 6750 §3.1, where a token was sent. Which rule it was is told to the access log alone. */
function deny(x: Exchange, rule: RulePlan | null, detail: string): RequestDecision {
  const response = problemResponse('AccessDenied', x)
  const token = x.get(CLAIMS) !== undefined && x.get(CONSUMER) === undefined && x.get(AMBIENT_CREDENTIAL) !== true
  if (token) {
    const scope = rule?.test.type === 'scopes' ? `, scope="${rule.test.values.join(' ')}"` : ''
    response.fields.add('www-authenticate', `Bearer realm="${x.host}", error="insufficient_scope"${scope}`)
  }
  return { type: 'respond', response: { ...response, detail } }
}

function describe({ when, test, dryRun }: RulePlan): string {
  const { methods = [], paths = [] } = when ?? {}
  const kinds = [
    ...(methods.length === 0 ? [] : [methods.join(' or ')]),
    ...(paths.length === 0 ? [] : [`at ${paths.join(' or ')}`]),
  ]
  const what = `${describeTest(test)}${kinds.length === 0 ? '' : ` (for ${kinds.join(' ')})`}`
  return dryRun ? `${what} (dry run)` : what
}
