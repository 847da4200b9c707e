/** `rateLimits`: what a user writes, and what of it a worker gets. */
import { parseDuration } from '../../lib/quantity.ts'
import { type PolicyDefinition, type PolicyProblem, planOnce } from '../definition.ts'
import type { FilterDefinition } from '../registry.ts'
import { rateLimitFilter } from './filter.ts'
import type { RateLimitPlan, RateLimitsPlan } from './plan.ts'

/** As it stands in a document; see the schema. */
interface RateLimitValue {
  readonly name: string
  readonly when?: { readonly claim: string; readonly in: readonly string[] }
  readonly requests?: number
  readonly quota?: number
  readonly per: string
  readonly burst?: number
  readonly by: readonly string[]
  readonly scope?: 'Local' | 'Cluster'
  readonly stage?: 'BeforeAuth' | 'AfterAuth'
  readonly missing?: 'ByClientIP' | 'Deny' | 'Skip'
  readonly onStoreError?: 'Allow' | 'Deny'
  readonly dryRun?: boolean
}

const MAX_PER = 366 * 86_400_000
/** A second: more than a gateway takes, so that nothing would be limited, and more than the clock can tell apart. */
const MAX_RATE = 1_000_000

export const rateLimits: PolicyDefinition<readonly RateLimitValue[], RateLimitsPlan> = {
  key: 'rateLimits',
  phase: 'rate-limit-before-auth',
  byRoute: () => true,
  byRule: true,
  check: (value) =>
    value.flatMap((limit, i) => [...checkLimit(limit)].map((one) => ({ ...one, path: [i, ...one.path] }))),
  plan: planOnce((value, namespace, route = '', rule) =>
    value.length === 0
      ? undefined
      : {
          owner: namespace ?? '',
          origin: rule === undefined ? route : `${route} ${rule}`,
          limits: value.map(planOf),
        },
  ),
  create: (plan, services) => rateLimitFilter('rateLimits', plan, false, services),
}

/** The limits that stand behind `auth`. */
export const rateLimitsAfterAuth: FilterDefinition = {
  name: 'rateLimits-after-auth',
  phase: 'rate-limit-after-auth',
  create({ policies }, services) {
    const plan = policies?.rateLimits as RateLimitsPlan | undefined
    return plan === undefined ? undefined : rateLimitFilter('rateLimits-after-auth', plan, true, services)
  },
}

const needsAuth = (selector: string): boolean => selector === 'consumer' || selector.startsWith('claim:')

function* checkLimit({ by, stage, per, requests, burst, when }: RateLimitValue): Generator<PolicyProblem> {
  const duration = parseDuration(per)
  if (duration === 0) yield { path: ['per'], message: 'is no time; write 1s or more' }
  if (duration > MAX_PER) yield { path: ['per'], message: 'is more than 366d' }
  if (stage === 'BeforeAuth')
    for (const [i, selector] of by.entries())
      if (needsAuth(selector)) yield { path: ['by', i], message: 'is known behind auth only; leave stage out' }
  if (when !== undefined && /[{}]/.test(when.claim))
    yield { path: ['when', 'claim'], message: 'is no path of a claim: names with dots between them' }
  for (const [i, selector] of by.entries()) {
    const bits = /^client\.ip\/(\d+)$/.exec(selector)?.[1]
    if (bits !== undefined && (Number(bits) < 1 || Number(bits) > 128))
      yield { path: ['by', i], message: 'has a prefix length that is none: from 1 to 128' }
    const header = /^header:(.*)$/.exec(selector)?.[1]
    if (header !== undefined && !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(header))
      yield { path: ['by', i], message: 'is no name of a header' }
  }
  if (requests === undefined || duration === 0) return
  if ((requests / duration) * 1_000 > MAX_RATE)
    yield { path: ['requests'], message: `is more than ${MAX_RATE} a second, which limits nothing` }
  if (((burst ?? requests) / requests) * duration > MAX_PER)
    yield { path: ['burst'], message: 'takes more than 366d until it is there again; lower it' }
}

function planOf({ name, when, requests, quota, per, burst, by, scope, stage, ...more }: RateLimitValue): RateLimitPlan {
  const { missing = 'ByClientIP', onStoreError = 'Allow', dryRun = false } = more
  const known = when !== undefined || by.some(needsAuth) ? 'AfterAuth' : 'BeforeAuth'
  const duration = parseDuration(per)
  return {
    name,
    rate:
      requests === undefined
        ? { quota: quota ?? 1, per: duration }
        : { requests, per: duration, burst: burst ?? requests },
    by,
    cluster: scope === 'Cluster',
    afterAuth: (stage ?? known) === 'AfterAuth',
    missing,
    onStoreError,
    dryRun,
    ...(when === undefined ? {} : { when: { claim: when.claim.split('.'), in: when.in } }),
  }
}
