/**
 * One Route by itself: what it asks for, in the forms of the snapshot, before anyone else's Routes and Backends are
 * looked at.
 */
import { isDeepStrictEqual } from 'node:util'
import { KINDS, referencesOf } from '../api/kinds.ts'
import type { Policies } from '../api/policies.ts'
import type { Reference } from '../api/references.ts'
import type { BackendRef, Delegate, Route, RouteMatch, RouteRule, RouteValueMatch } from '../api/route.ts'
import type { SettingsObject } from '../api/settings.ts'
import { normalizePath } from '../pattern/path.ts'
import { type FrontendSet, frontendSet } from '../snapshot/frontend.ts'
import type { Conditions, OrderedMatch } from '../snapshot/order.ts'
import type { Match, PathMatch, ValueMatch } from '../snapshot/snapshot.ts'
import { serviceBackendId } from './endpoints.ts'
import type { Age, HostnameReservation, Resource } from './resource-set.ts'

/** The hostname of the Routes that name none. */
export const CATCH_ALL = '*'

export interface RoutePlan {
  readonly resource: Resource<Route>
  readonly namespace: string
  /** Why nothing of it is served here, whatever else there is. */
  readonly unserved?: 'WrongClass' | 'NoListener' | 'QuotaExceeded'
  readonly unknownListeners: readonly string[]
  /** Those that it names and the settings have; undefined = every frontend, also those to come. */
  readonly frontends: FrontendSet | undefined
  /** Normal form, each once; {@link CATCH_ALL} alone when the Route names none. */
  readonly hostnames: readonly string[]
  readonly claim: Claim
  readonly rules: readonly RulePlan[]
  /** Everything it refers to. */
  readonly references: readonly Reference[]
}

/** What a Route says as the possible owner of a hostname; the same object as long as it says the same. */
export interface Claim extends Age {
  readonly namespace: string
  readonly delegates: readonly Delegate[]
  readonly enforced: Policies | undefined
  /** What decides against other claims, where it is another age than that of its Route: see `HostnameReservation`. */
  readonly age?: Age
  /** Set where no Route makes the claim any more. */
  readonly reservation?: HostnameReservation
}

export interface RulePlan {
  readonly rule: RouteRule
  readonly matches: readonly MatchPlan[]
  readonly targets: readonly Target[]
  /** The newest, broken version of the Route adds auth to this rule. */
  readonly closed: boolean
}

export interface Target {
  readonly ref: BackendRef
  /** Backend id, whether it exists or not. */
  readonly id: string
}

export interface MatchPlan extends OrderedMatch {
  readonly match: Conditions & Pick<Match, 'frontends'>
  /** Equal for two matches that hold for the same requests. */
  readonly identity: string
}

/**
 * @param before the plan of an earlier version, whose claim is kept when it says the same
 * @param beyond the Route is beyond what its namespace may cost
 */
export function planRoute(
  resource: Resource<Route>,
  settings: SettingsObject,
  before?: RoutePlan,
  beyond = false,
): RoutePlan {
  const { spec, metadata } = resource.object
  const { frontends, unknown } = frontendsOf(spec.listeners, settings, before?.frontends)
  const unserved = !isOurs(spec.ingressClassName, settings)
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
        : spec.rules.map((rule, order) => planRule(resource, rule, order, frontends, targets.get(order))),
    references,
  }
}

/** Under which the Route is entered: one of which nothing is served here claims nothing. */
export function claimedHostnames({ unserved, hostnames }: RoutePlan): readonly string[] {
  return unserved === undefined ? hostnames : NONE
}

/** Whether an object of this class is served here; undefined = it names none. */
export function isOurs(name: string | undefined, { ingressClass }: SettingsObject): boolean {
  return name === undefined ? ingressClass.default : name === ingressClass.name
}

/** @param before the same object is returned as long as it says the same */
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

function claimOf(resource: Resource<Route>, before: Claim | undefined): Claim {
  const { created, key, object } = resource
  const { metadata, spec } = object
  const now: Claim = {
    created,
    key,
    namespace: metadata.namespace,
    delegates: spec.delegates ?? [],
    enforced: spec.policies?.enforced,
  }
  return before !== undefined && isDeepStrictEqual(before, now) ? before : now
}

function planRule(
  resource: Resource<Route>,
  rule: RouteRule,
  order: number,
  frontends: FrontendSet | undefined,
  ids: ReadonlyMap<unknown, string> | undefined,
): RulePlan {
  const { key, created, stale } = resource
  const closed = stale !== undefined && (stale.closedRules === 'all' || stale.closedRules.has(rule.name))
  const matches = rule.matches.map((entry, matchOrder) => {
    const match = { ...conditionsOf(entry), frontends }
    return { match, created, route: key, ruleOrder: order, matchOrder, identity: identityOf(match) }
  })
  const targets = (rule.backendRefs ?? []).map((ref, i) => ({ ref, id: ids?.get(i) ?? '' }))
  return { rule, matches, targets, closed }
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

function conditionsOf(match: RouteMatch): Conditions {
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
 * In the form in which requests come to matching: a value that has no such form stays as it is, and matches nothing.
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

function identityOf(match: Conditions): string {
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

/** How a person names a match: `GET PathPrefix /api (1 header)`. */
export function describeMatch({ path, method, headers, queryParams, cookies, sourceCIDRs }: Conditions): string {
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
