/**
 * The merged policies of a rule in the form of the filters: defaults applied (api.md, "Defaults"), units as numbers.
 */
import { hash } from 'node:crypto'
import { withDefaults } from '../api/defaults.ts'
import { type Author, type PolicyLayers, statedPolicy } from '../api/merge.ts'
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

/** The namespaces in which references of policies are resolved. */
export interface PolicyNamespaces {
  readonly route: string
  readonly owner: string | undefined
}

/** Where policies are stated: names that stay over edits, `namespace/name`; see `PolicyDefinition.plan`. */
export interface PolicyOrigins {
  readonly route: string
  /** With the name of the rule. */
  readonly rule: string
  readonly owner: string
}

/** Plans of the registered policies; undefined when none is configured. */
export function planPolicies(
  layers: PolicyLayers,
  namespaces: PolicyNamespaces,
  origins: PolicyOrigins,
  rows: readonly PolicyDefinition[],
): PolicySet['policies'] {
  let plans: Record<string, unknown> | undefined
  for (const { key, byField = false, plan: planOf } of rows) {
    const stated = statedPolicy(layers, key, byField)
    if (stated === undefined) continue
    const { author, value, inRule } = stated
    const plan = planOf(
      value,
      author === 'Route' ? namespaces.route : author === 'Owner' ? namespaces.owner : undefined,
      originOf(author, inRule, origins),
    )
    if (plan !== undefined) (plans ??= {})[key] = plan
  }
  return plans
}

function originOf(author: Author, inRule: boolean, { route, rule, owner }: PolicyOrigins): string {
  if (author === 'Settings') return ''
  return author === 'Owner' ? owner : inRule ? rule : route
}

/** How many requests of all that share the limit may be in flight; undefined: no limit. */
export function concurrencyOf(layers: PolicyLayers, origins: PolicyOrigins): ConcurrencyLimit | undefined {
  const { settings, owner, route, rule } = layers
  const stated = [
    [settings?.defaults, ''],
    [route, origins.route],
    [rule, origins.rule],
    [route?.enforced, origins.route],
    [owner, origins.owner],
    [settings?.enforced, ''],
  ] as const
  const [policies, origin] = stated.findLast(([one]) => one?.limits?.maxConcurrentRequests !== undefined) ?? []
  const requests = policies?.limits?.maxConcurrentRequests ?? 0
  return requests === 0 ? undefined : { requests, origin: origin! }
}

/** Whether policies count for where they are stated, so that equal ones differ by it. */
export function countsByOrigin({ owner, route, rule }: PolicyLayers, rows: readonly PolicyDefinition[]): boolean {
  const stated = [owner, route, route?.enforced, rule] as readonly (Policies | undefined)[]
  return stated.some(
    (policies) =>
      policies?.limits?.maxConcurrentRequests !== undefined ||
      (policies !== undefined && rows.some(({ key, byOrigin }) => byOrigin === true && Object.hasOwn(policies, key))),
  )
}

/** Whether policies refer to objects, so that equal policies differ by namespace. */
export function refersToObjects({ owner, route, rule }: PolicyLayers, rows: readonly PolicyDefinition[]): boolean {
  const stated = [owner, route, route?.enforced, rule] as readonly (object | undefined)[]
  return rows.some(
    ({ key, references }) =>
      references !== undefined && stated.some((policies) => policies !== undefined && Object.hasOwn(policies, key)),
  )
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
