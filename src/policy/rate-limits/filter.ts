/**
 * `rateLimits`: counts requests by key, and answers 429 beyond a limit. All limits of a stage have to allow a request;
 * where one refuses, the others take back what they have counted. Limits of this replica are counted at once; those of
 * all replicas are asked for together, and where Redis does not answer, what is stated holds.
 */
import type { Admission, Holds, Limiter } from '../../limit/limiter.ts'
import type { RemoteLimiter } from '../../limit/remote-limiter.ts'
import type { ResponseHead } from '../../message/head.ts'
import { attribute, CLAIMS, noteDryRun } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import { claimAt } from '../variables.ts'
import { policyItem, seconds, stateItem } from './fields.ts'
import { clientKey, type KeyReader, keyReader } from './key.ts'
import type { RateLimitPlan, RateLimitsPlan } from './plan.ts'

/**
 * How often a replica asks for a key that Redis has refused, before it may come again: the limit may have been raised.
 */
const ASK_AGAIN = { requests: 1, per: 1_000, burst: 1 }
/** What a client is told where requests cannot be counted. */
const UNKNOWN: Admission = { allowed: false, retryAfter: 1_000, remaining: 0, resetAfter: 1_000 }

interface Limit {
  readonly plan: RateLimitPlan
  readonly key: KeyReader
  readonly local: Limiter
  readonly remote: Remote | null
  readonly values: ReadonlySet<string> | null
  readonly policy: string
}

/** What all replicas count together. */
interface Remote {
  readonly limiter: RemoteLimiter
  /** Keys that were refused, until they may come again: a flood of them costs Redis nothing. */
  readonly held: Holds
  readonly again: Limiter
}

/** One limit that a request has met. */
interface Met {
  readonly limit: Limit
  readonly key: string
  admission: Admission
  /** Of the local limiter: a request that does not pass gives it back. */
  taken: boolean
  /** Redis has counted it. */
  counted: boolean
  /** Redis did not answer. */
  unknown: boolean
  /** Redis has refused the key before. */
  readonly held: boolean
}

export function rateLimitFilter(
  name: string,
  { owner, origin, limits }: RateLimitsPlan,
  afterAuth: boolean,
  services: FilterServices,
): Filter | undefined {
  const own = limits.filter((plan) => plan.afterAuth === afterAuth)
  if (own.length === 0) return undefined
  const stage = new RateLimits(
    name,
    own.map((plan) => limitOf(plan, owner, origin, services)),
  )
  return {
    name,
    onRequest: (x) => stage.onRequest(x),
    onResponse: (x, head) => stage.onResponse(x, head),
    explain: () => ({ filter: name, effect: own.map(describe).join('; ') }),
  }
}

function limitOf(plan: RateLimitPlan, owner: string, origin: string, services: FilterServices): Limit {
  const { name, rate, by, cluster, when } = plan
  // What is counted belongs to what it is counted by: another list begins anew.
  const scope = { owner, name: `${origin}\n${name}\n${by.join(' ')}` }
  return {
    plan,
    key: keyReader(by),
    local: services.limiters.open(scope, rate),
    remote: cluster
      ? {
          limiter: services.remoteLimiters.open(scope, rate),
          held: services.limiters.openHolds({ owner, name: `${scope.name}\nheld` }),
          again: services.limiters.open({ owner, name: `${scope.name}\nagain` }, ASK_AGAIN),
        }
      : null,
    values: when === undefined ? null : new Set(when.in),
    policy: policyItem(name, rate),
  }
}

class RateLimits {
  readonly #limits: readonly Limit[]
  /** What a request has met here, for its response. */
  readonly #met

  constructor(name: string, limits: readonly Limit[]) {
    this.#limits = limits
    this.#met = attribute<readonly Met[]>(name)
  }

  onRequest(x: Exchange): RequestDecision | Promise<RequestDecision> {
    const met: Met[] = []
    let asks = false
    for (const limit of this.#limits) {
      if (!applies(limit, x)) continue
      const { missing, dryRun, name } = limit.plan
      let key = limit.key(x)
      if (key === undefined) {
        if (missing === 'Skip') continue
        if (missing === 'Deny' && !dryRun) return this.#refuse(x, met, limit, null, 'has no value for its key')
        if (missing === 'Deny') {
          noteDryRun(x, `rateLimits ${name}`)
          continue
        }
        key = clientKey(x)
      }
      const one = begin(limit, key)
      met.push(one)
      if (one.admission.allowed || (limit.remote !== null && !one.held)) {
        asks ||= limit.remote !== null
        continue
      }
      if (!dryRun) return this.#refuse(x, met, limit, one)
      noteDryRun(x, `rateLimits ${name}`)
    }
    if (met.length > 0) x.set(this.#met, met)
    return asks ? this.#ask(x, met) : undefined
  }

  onResponse(x: Exchange, { fields }: ResponseHead): undefined {
    const met = x.get(this.#met)
    if (met === undefined) return
    tell(fields, met)
  }

  /** All of them at once: one round trip, however many there are. */
  async #ask(x: Exchange, met: readonly Met[]): Promise<RequestDecision> {
    await Promise.all(met.map(askRemote))
    for (const one of met) {
      const { limit, admission } = one
      if (admission.allowed || limit.remote === null || one.held) continue
      if (!limit.plan.dryRun) return this.#refuse(x, met, limit, one)
      noteDryRun(x, `rateLimits ${limit.plan.name}`)
    }
    return undefined
  }

  /** @param one null: there is no key to count by */
  #refuse(x: Exchange, met: readonly Met[], { plan }: Limit, one: Met | null, why = 'is reached'): RequestDecision {
    for (const each of met) takeBack(each)
    const unknown = one?.unknown === true
    const response = problemResponse(unknown ? 'RateLimitUnavailable' : 'RateLimited', x)
    const wait = one?.admission.retryAfter ?? Number.POSITIVE_INFINITY
    if (Number.isFinite(wait)) response.fields.add('retry-after', String(Math.max(1, seconds(wait))))
    tell(response.fields, met)
    const detail = `rateLimits ${plan.name} ${unknown ? 'cannot be counted: Redis does not answer' : why}`
    return { type: 'respond', response: { ...response, detail } }
  }
}

function applies({ plan, values }: Limit, x: Exchange): boolean {
  if (values === null) return true
  const value = claimAt(x.get(CLAIMS), plan.when!.claim)
  return Array.isArray(value) ? value.some((element) => has(values, element)) : has(values, value)
}

function has(values: ReadonlySet<string>, value: unknown): boolean {
  return typeof value === 'string' ? values.has(value) : typeof value === 'number' && values.has(String(value))
}

/** Counts it here; of a limit of all replicas that is the estimate which holds where Redis does not answer. */
function begin(limit: Limit, key: string): Met {
  const { remote } = limit
  const left = remote === null ? 0 : remote.held.left(key)
  if (left > 0 && !remote!.again.take(key).allowed) {
    const admission = { allowed: false, retryAfter: left, remaining: 0, resetAfter: left }
    return { limit, key, admission, taken: false, counted: false, unknown: false, held: true }
  }
  const admission = limit.local.take(key)
  return { limit, key, admission, taken: admission.allowed, counted: false, unknown: false, held: false }
}

async function askRemote(one: Met): Promise<void> {
  const { remote, plan } = one.limit
  if (remote === null || one.held) return
  try {
    const admission = await remote.limiter.take(one.key)
    one.admission = admission
    one.counted = admission.allowed
    if (!admission.allowed) remote.held.set(one.key, admission.retryAfter)
    else if (remote.held.left(one.key) > 0) remote.held.set(one.key, 0)
  } catch {
    // By the estimate of this replica, which stands in `admission`.
    if (plan.onStoreError === 'Allow') return
    one.admission = UNKNOWN
    one.unknown = true
  }
}

function takeBack(one: Met): void {
  const { local, remote } = one.limit
  if (one.taken) local.giveBack(one.key)
  if (one.counted) remote?.limiter.giveBack(one.key)
  // What the client is told: it may still use it.
  if (one.admission.allowed) one.admission = { ...one.admission, remaining: one.admission.remaining + 1 }
  one.taken = false
  one.counted = false
}

function tell(fields: ResponseHead['fields'], met: readonly Met[]): void {
  let policies = ''
  let states = ''
  for (const { limit, admission } of met) {
    if (limit.plan.dryRun) continue
    const separator = policies === '' ? '' : ', '
    policies += separator + limit.policy
    states += separator + stateItem(limit.plan.name, admission)
  }
  if (policies === '') return
  fields.add('ratelimit-policy', policies)
  fields.add('ratelimit', states)
}

function describe({ name, rate, by, cluster, dryRun }: RateLimitPlan): string {
  const many = 'quota' in rate ? `${rate.quota} requests` : `${rate.requests} requests evenly`
  const where = cluster ? 'over all replicas' : 'in this replica'
  const effect = `allows ${many} in ${rate.per} ms by ${by.join(' and ')} ${where} (${name})`
  return dryRun ? `${effect}, and only logs what is beyond` : effect
}
