/**
 * Plans one Route in the forms of the snapshot, independently of other Routes and of Backends.
 */
import { isDeepStrictEqual } from 'node:util'
import { KINDS, referencesOf } from '../api/kinds.ts'
import type { Policies } from '../api/policies.ts'
import type { Reference } from '../api/references.ts'
import type { BackendRef, Delegate, Route, RouteMatch, RouteRule, RouteValueMatch } from '../api/route.ts'
import type { SettingsObject } from '../api/settings.ts'
import { normalizePath } from '../pattern/path.ts'
import { metadataPathOf } from '../policy/token-issuer/plan.ts'
import { type FrontendSet, frontendSet } from '../snapshot/frontend.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import type { MatchConditions, OrderedMatch } from '../snapshot/order.ts'
import type { Match, PathMatch, ValueMatch } from '../snapshot/snapshot.ts'
import { serviceBackendId } from './backend-service.ts'
import { planTls } from './plan-tls.ts'
import { policyRules } from './policy-rules.ts'
import type { Age, HostnameReservation, ServedResource } from './resource-set.ts'

/** The hostname of Routes without hostnames. */
export const CATCH_ALL = '*'

export interface RoutePlan {
  readonly resource: ServedResource<Route>
  readonly namespace: string
  /** Why nothing of it is served here, independently of other objects. */
  readonly unserved?: 'WrongClass' | 'NoListener' | 'QuotaExceeded'
  readonly unknownListeners: readonly string[]
  /** The frontends that it names and that exist; undefined = every frontend, including future ones. */
  readonly frontends: FrontendSet | undefined
  /** Normal form, each once; {@link CATCH_ALL} alone when the Route names none. */
  readonly hostnames: readonly string[]
  readonly claim: HostnameClaim
  readonly rules: readonly RulePlan[]
  /** What it states of its hostnames; whether it holds depends on who owns them. */
  readonly tls: HostTls | undefined
  /** Everything it refers to. */
  readonly references: readonly Reference[]
}

/** A Route's claim on its hostnames; the same object while it is equal. */
export interface HostnameClaim extends Age {
  readonly namespace: string
  readonly delegates: readonly Delegate[]
  readonly enforced: Policies | undefined
  /** The newest, invalid version of the Route adds auth to all it decides about, rules of delegates included. */
  readonly closed: boolean
  /** The age used against other claims, where it differs from the Route's: see `HostnameReservation`. */
  readonly age?: Age
  /** Set when the claim comes from a reservation, without a Route. */
  readonly reservation?: HostnameReservation
}

export interface RulePlan {
  readonly rule: RouteRule
  readonly matches: readonly MatchPlan[]
  readonly targets: readonly TargetPlan[]
  /** The newest, invalid version of the Route adds auth to this rule. */
  readonly closed: boolean
}

export interface TargetPlan {
  readonly ref: BackendRef
  /** Backend id; the backend need not exist. */
  readonly id: string
}

export interface MatchPlan extends OrderedMatch {
  readonly match: MatchConditions & Pick<Match, 'frontends'>
  /** Equal for matches with equal conditions. */
  readonly identity: string
  /** Nobody wrote it: where it cannot be served nobody is told. */
  readonly implied?: true
}

/**
 * @param before the plan of the previous version, whose claim is reused when it is equal
 * @param beyond the Route exceeds its namespace's cost limit
 */
export function planRoute(
  resource: ServedResource<Route>,
  settings: SettingsObject,
  before?: RoutePlan,
  beyond = false,
): RoutePlan {
  const { spec, metadata } = resource.object
  const { frontends, unknown } = frontendsOf(spec.listeners, settings, before?.frontends)
  const unserved = !isServedClass(spec.ingressClassName, settings)
    ? 'WrongClass'
    : frontends?.names.length === 0
      ? 'NoListener'
      : beyond
        ? 'QuotaExceeded'
        : undefined
  const hostnames = spec.hostnames ?? []
  const references =
    before?.resource === resource
      ? before.references
      : referencesOf('Route', metadata.namespace, resource.object, KINDS)
  const targets = targetsByRule(references)
  return {
    resource,
    namespace: metadata.namespace,
    ...(unserved === undefined ? {} : { unserved }),
    unknownListeners: unknown,
    frontends,
    hostnames: hostnames.length === 0 ? [CATCH_ALL] : [...new Set(hostnames.map(normalHostname))],
    claim: claimOf(resource, before?.claim),
    rules:
      before?.resource === resource && before.frontends === frontends
        ? before.rules
        : [...spec.rules, ...policyRules(resource.object)].map((rule, order) =>
            planRule(resource, rule, order, frontends, targets.get(order)),
          ),
    tls: planTls(resource.object, before?.tls),
    references,
  }
}

/** The hostnames that the Route claims; none when nothing of it is served here. */
export function claimedHostnames({ unserved, hostnames }: RoutePlan): readonly string[] {
  return unserved === undefined ? hostnames : NONE
}

/** Whether this installation serves the class; undefined = the object names none. */
export function isServedClass(name: string | undefined, { ingressClass }: SettingsObject): boolean {
  return name === undefined ? ingressClass.default : name === ingressClass.name
}

/** @param before returned when it is equal */
function frontendsOf(
  names: readonly string[] | undefined,
  { listeners }: SettingsObject,
  before: FrontendSet | undefined,
): { readonly frontends: FrontendSet | undefined; readonly unknown: readonly string[] } {
  if (names === undefined || names.length === 0) return { frontends: undefined, unknown: NONE }
  const known = new Set(listeners.map(({ name }) => name))
  const frontends = frontendSet(names.filter((name) => known.has(name)))
  return {
    frontends: before?.key === frontends.key ? before : frontends,
    unknown: names.filter((name) => !known.has(name)),
  }
}

function normalHostname(text: string): string {
  return text.toLowerCase().replace(/\.$/, '')
}

function claimOf(resource: ServedResource<Route>, before: HostnameClaim | undefined): HostnameClaim {
  const { created, key, object, stale } = resource
  const { metadata, spec } = object
  const now: HostnameClaim = {
    created,
    key,
    namespace: metadata.namespace,
    delegates: spec.delegates ?? [],
    enforced: spec.policies?.enforced,
    closed: stale?.closedRules === 'all',
  }
  return before !== undefined && isDeepStrictEqual(before, now) ? before : now
}

function planRule(
  resource: ServedResource<Route>,
  rule: RouteRule,
  order: number,
  frontends: FrontendSet | undefined,
  ids: ReadonlyMap<unknown, string> | undefined,
): RulePlan {
  const { key, created, stale } = resource
  const closed = stale !== undefined && (stale.closedRules === 'all' || stale.closedRules.has(rule.name))
  const matches = [...rule.matches, ...impliedMatches(rule)].map((entry, matchOrder): MatchPlan => {
    const match = { ...conditionsOf(entry), frontends }
    const implied = matchOrder < rule.matches.length ? undefined : { implied: true as const }
    return { match, created, route: key, ruleOrder: order, matchOrder, identity: identityOf(match), ...implied }
  })
  const targets = (rule.backendRefs ?? []).map((ref, i) => ({ ref, id: ids?.get(i) ?? '' }))
  return { rule, matches, targets, closed }
}

/** The metadata of a token issuer stand below the root of its host, wherever its rule does. */
function impliedMatches({ tokenIssuer }: RouteRule): readonly RouteMatch[] {
  if (tokenIssuer === undefined) return NONE
  return [{ path: { type: 'Exact', value: metadataPathOf(tokenIssuer.issuer) } }]
}

/** Backend ids by the position of the rule, and of the entry in its `backendRefs`. */
function targetsByRule(references: readonly Reference[]): ReadonlyMap<unknown, ReadonlyMap<unknown, string>> {
  const rules = new Map<unknown, Map<unknown, string>>()
  for (const { kind, namespace, name, port = '', purpose, path } of references) {
    const [, , rule, list, entry] = path
    if (purpose !== 'Traffic' || list !== 'backendRefs') continue
    const ids = rules.get(rule) ?? new Map<unknown, string>()
    rules.set(
      rule,
      ids.set(entry, kind === 'Service' ? serviceBackendId(namespace, { name, port }) : `${namespace}/${name}`),
    )
  }
  return rules
}

const NONE: readonly never[] = Object.freeze([])

function conditionsOf(match: RouteMatch): MatchConditions {
  return {
    path: pathOf(match.path),
    ...(match.method === undefined ? {} : { method: match.method }),
    headers: match.headers?.map(headerMatch) ?? NONE,
    queryParams: match.queryParams?.map(valueMatch) ?? NONE,
    cookies: match.cookies?.map(valueMatch) ?? NONE,
    sourceCIDRs: match.sourceCIDRs ?? NONE,
  }
}

/**
 * Normalized like request paths. A value without a normal form stays unchanged and matches nothing.
 */
function pathOf({ type, value }: RouteMatch['path']): PathMatch {
  if (type === 'RegularExpression') return { type, value }
  const path = normalizePath(value, 'KeepEncodedSlash') ?? value
  return { type, value: type === 'PathPrefix' ? withoutTrailingSlash(path) : path }
}

export function withoutTrailingSlash(path: string): string {
  let end = path.length
  while (end > 1 && path.charCodeAt(end - 1) === 0x2f) end--
  return path.slice(0, end)
}

function valueMatch({ name, type, value }: RouteValueMatch): ValueMatch {
  return { name, type, value: value ?? '' }
}

function headerMatch(match: RouteValueMatch): ValueMatch {
  return { ...valueMatch(match), name: match.name.toLowerCase() }
}

function identityOf(match: MatchConditions): string {
  const { path, method, headers, queryParams, cookies, sourceCIDRs } = match
  const start = `${path.type} ${path.value}`
  if (headers.length + queryParams.length + cookies.length + sourceCIDRs.length === 0)
    return method === undefined ? start : `${start}\n${method}`
  const lists = [headers, queryParams, cookies].map((list) => list.map(valueIdentity).sort())
  return `${start}\n${method ?? ''}\n${JSON.stringify([...lists, [...sourceCIDRs].sort()])}`
}

function valueIdentity({ name, type, value }: ValueMatch): string {
  return `${name}\n${type}\n${value}`
}

/** Display text of a match: `GET PathPrefix /api (1 header)`. */
export function describeMatch({ path, method, headers, queryParams, cookies, sourceCIDRs }: MatchConditions): string {
  const counts = [
    [headers.length, 'header'],
    [queryParams.length, 'query parameter'],
    [cookies.length, 'cookie'],
    [sourceCIDRs.length, 'CIDR'],
  ] as const
  const more = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}${count === 1 ? '' : 's'}`)
  const text = `${method === undefined ? '' : `${method} `}${path.type} ${path.value}`
  return more.length === 0 ? text : `${text} (with ${more.join(', ')})`
}
