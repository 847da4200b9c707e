/**
 * The merged policies of a rule in the form of the filters: defaults applied (api.md, "Defaults"), units as numbers.
 */
import { hash } from 'node:crypto'
import { withDefaults } from '../api/defaults.ts'
import { type PolicyLayers, statedPolicy } from '../api/merge.ts'
import type { HeaderEditsPolicy, HeaderEntry, PathRewritePolicy, Policies, RewritePolicy } from '../api/policies.ts'
import type { RouteRule } from '../api/route.ts'
import { GRPC_STATUS_NAMES } from '../lib/grpc-status.ts'
import { parseBytes, parseDuration } from '../lib/quantity.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import type { ConcurrencyLimit, HeaderEdits, PathRewrite, PolicySet, Rewrite } from '../policy/policy-set.ts'
import { planTokenIssuer } from '../policy/token-issuer/plan.ts'

/** Of a `hedge` that states none. */
const HEDGE_PERCENT = 5

/** @param namespace of the Route. The order of the members is part of the digest and therefore fixed. */
export function policyContent(
  merged: Policies,
  rule: RouteRule,
  namespace: string,
  plans?: PolicySet['policies'],
  concurrency?: ConcurrencyLimit,
): Omit<PolicySet, 'digest'> {
  const { rewrite, requestHeaders, responseHeaders, retry, hedge, limits, upgrades, timeouts, pathEncoding } =
    withDefaults(merged)
  return {
    action: actionOf(rule, namespace),
    ...splitAffinityOf(rule),
    ...(rewrite === undefined ? {} : { rewrite: rewriteOf(rewrite) }),
    ...(requestHeaders === undefined ? {} : { requestHeaders: headerEdits(requestHeaders) }),
    ...(responseHeaders === undefined ? {} : { responseHeaders: headerEdits(responseHeaders) }),
    timeouts: {
      request: parseDuration(timeouts.request),
      backendRequest: parseDuration(timeouts.backendRequest),
      responseHead: parseDuration(timeouts.responseHead),
      idle: parseDuration(timeouts.idle),
      tunnelIdle: parseDuration(timeouts.tunnelIdle),
    },
    retry: {
      attempts: retry.attempts,
      reasons: retry.reasons,
      codes: retry.codes,
      grpcCodes: retry.grpcCodes.map((name) => GRPC_STATUS_NAMES.indexOf(name)),
      methods: retry.methods,
      backoff: parseDuration(retry.backoff),
      budgetPercent: retry.budgetPercent,
    },
    ...(hedge === undefined || hedge.maxPercent === 0
      ? {}
      : { hedge: { after: parseDuration(hedge.after), maxPercent: hedge.maxPercent ?? HEDGE_PERCENT } }),
    limits: {
      maxRequestBytes: limits.maxRequestBytes === undefined ? -1 : parseBytes(limits.maxRequestBytes),
      ...(concurrency === undefined ? {} : { concurrency }),
    },
    upgrades: upgrades.map((token) => token.toLowerCase()),
    pathEncoding,
    ...(plans === undefined ? {} : { policies: plans }),
  }
}

/** Who states policies: in their namespaces references are resolved. */
export interface PolicyAuthors {
  readonly route: PolicyAuthor
  readonly owner: PolicyAuthor | undefined
  /** Name of the rule of the Route. */
  readonly rule: string
}

export interface PolicyAuthor {
  readonly namespace: string
  /** `namespace/name` of the Route. */
  readonly key: string
}

/** Plans of the registered policies; undefined when none is configured. */
export function planPolicies(
  layers: PolicyLayers,
  authors: PolicyAuthors,
  rows: readonly PolicyDefinition[],
): PolicySet['policies'] {
  let plans: Record<string, unknown> | undefined
  for (const { key, byField = false, plan: planOf } of rows) {
    const stated = statedPolicy(layers, key, byField)
    if (stated === undefined) continue
    const { author, value, inRule } = stated
    const by = author === 'Route' ? authors.route : author === 'Owner' ? authors.owner : undefined
    const plan = planOf(value, by?.namespace, by?.key, inRule ? authors.rule : undefined)
    if (plan !== undefined) (plans ??= {})[key] = plan
  }
  return plans
}

/** How many requests of all that share the limit may be in flight; undefined: no limit. */
export function concurrencyOf(layers: PolicyLayers, { route: by, rule: name, owner: of }: PolicyAuthors) {
  const { settings, owner, route, rule } = layers
  const stated = [
    [settings?.defaults, ''],
    [route, by.key],
    [rule, `${by.key} ${name}`],
    [route?.enforced, by.key],
    [owner, of?.key ?? ''],
    [settings?.enforced, ''],
  ] as const
  const [policies, origin = ''] = stated.findLast(([one]) => one?.limits?.maxConcurrentRequests !== undefined) ?? []
  const requests = policies?.limits?.maxConcurrentRequests ?? 0
  return requests === 0 ? undefined : { requests, origin }
}

/**
 * What besides their values policies depend on: the rules or the Routes that state them, their namespaces where they
 * refer to objects, or nothing.
 */
export function dependsOn(
  { owner, route, rule }: PolicyLayers,
  rows: readonly PolicyDefinition[],
): 'rules' | 'routes' | 'namespaces' | 'values' {
  const stated = [owner, route, route?.enforced, rule] as readonly (Readonly<Record<string, unknown>> | undefined)[]
  let depends: 'routes' | 'namespaces' | 'values' = 'values'
  if (rule?.limits?.maxConcurrentRequests !== undefined) return 'rules'
  for (const one of [owner, route, route?.enforced])
    if (one?.limits?.maxConcurrentRequests !== undefined) depends = 'routes'
  for (const { key, references, byRoute, byRule } of rows)
    for (const policies of stated) {
      if (policies === undefined || !Object.hasOwn(policies, key)) continue
      if (byRule === true && policies === rule) return 'rules'
      if (byRoute?.(policies[key]) === true) depends = 'routes'
      else if (references !== undefined && depends === 'values') depends = 'namespaces'
    }
  return depends
}

/** @param text canonical form of a policy set */
export function digestOf(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 32)
}

/**
 * The canonical text of a policy set, with plans by digest: an error page of the settings is part of every rule's
 * policies, but serialized once.
 */
export function canonicalForm({ policies, withheld, ...content }: Omit<PolicySet, 'digest'>): string {
  if (policies === undefined && withheld === undefined) return JSON.stringify(content)
  const digests = policies && Object.entries(policies).map(([key, plan]) => [key, planDigest(plan)])
  return JSON.stringify({ ...content, policies: digests, withheld: withheld && planDigest(withheld) })
}

const PLAN_DIGESTS = new WeakMap<object, string>()

function planDigest(plan: unknown): string {
  if (typeof plan !== 'object' || plan === null) return digestOf(JSON.stringify(plan))
  let digest = PLAN_DIGESTS.get(plan)
  if (digest === undefined) PLAN_DIGESTS.set(plan, (digest = digestOf(JSON.stringify(plan))))
  return digest
}

function actionOf({ redirect, respond, tokenIssuer }: RouteRule, namespace: string): PolicySet['action'] {
  if (redirect !== undefined) {
    const { scheme, hostname, port, path, statusCode } = redirect
    return {
      type: 'redirect',
      ...(scheme === undefined ? {} : { scheme }),
      ...(hostname === undefined ? {} : { hostname }),
      ...(port === undefined ? {} : { port }),
      ...(path === undefined ? {} : { path: pathRewrite(path) }),
      statusCode,
    }
  }
  if (tokenIssuer !== undefined) return { type: 'issueTokens', ...planTokenIssuer(tokenIssuer, namespace) }
  if (respond === undefined) return { type: 'forward' }
  const { statusCode, contentType, body } = respond
  return {
    type: 'respond',
    statusCode,
    ...(contentType === undefined ? {} : { contentType }),
    ...(body === undefined ? {} : { body }),
  }
}

function splitAffinityOf({ splitAffinity }: RouteRule): Pick<PolicySet, 'splitAffinity'> {
  if (splitAffinity === undefined) return {}
  const { by, cookie } = splitAffinity
  return { splitAffinity: { by, ...(cookie === undefined ? {} : { cookie: cookie.name }) } }
}

function rewriteOf({ hostname, path }: RewritePolicy): Rewrite {
  return {
    ...(hostname === undefined ? {} : { hostname }),
    ...(path === undefined ? {} : { path: pathRewrite(path) }),
  }
}

/** Validation guarantees the field named by `type`. */
function pathRewrite({ type, replaceFullPath, replacePrefixMatch, replaceRegex }: PathRewritePolicy): PathRewrite {
  if (type === 'ReplaceFullPath') return { type, replaceFullPath: replaceFullPath ?? '/' }
  if (type === 'ReplacePrefixMatch') return { type, replacePrefixMatch: replacePrefixMatch ?? '/' }
  return { type, pattern: replaceRegex?.pattern ?? '', substitution: replaceRegex?.substitution ?? '' }
}

/**
 * Translated once per layer: thousands of Routes may share the edits that one owner enforces, and a shared object is
 * sent to a worker once.
 */
const EDITS = new WeakMap<HeaderEditsPolicy, HeaderEdits>()

function headerEdits(policy: HeaderEditsPolicy): HeaderEdits {
  let edits = EDITS.get(policy)
  if (edits === undefined) {
    const { set = [], add = [], remove = [] } = policy
    edits = { set: set.map(headerEntry), add: add.map(headerEntry), remove: remove.map((name) => name.toLowerCase()) }
    EDITS.set(policy, edits)
  }
  return edits
}

function headerEntry({ name, value }: HeaderEntry): HeaderEntry {
  return { name: name.toLowerCase(), value }
}
