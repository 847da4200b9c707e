/** The owner of a hostname, and what other namespaces may add (api.md, "A hostname belongs to a namespace"). */
import { normalizePath } from '../pattern/path.ts'
import type { MatchConditions } from '../snapshot/order.ts'
import { type HostnameClaim, withoutTrailingSlash } from './plan.ts'
import { type Age, compareAge } from './resource-set.ts'
import { grants, type Namespaces } from './tenancy.ts'

/**
 * Ownership of a hostname: the owner's namespace has it, its delegates may add rules, and its enforced policies apply
 * to them.
 */
export interface Ownership {
  readonly owner: HostnameClaim
  /**
   * The oldest claim, which decides the namespace. Differs from `owner` when that is a younger Route for exactly this
   * hostname.
   */
  readonly decider: HostnameClaim
  /** A Route of the owner names exactly this hostname, rather than a wildcard over it. */
  readonly exact: boolean
}

/** The owner of exactly this hostname, for {@link HostnameReservation}. */
export interface HostnameOwner {
  readonly namespace: string
  /** The age of its deciding claim. */
  readonly age: Age
  /** The age of its oldest Route for the hostname; undefined without a Route. */
  readonly oldestRoute: Age | undefined
  /** Another namespace would own it without the owner's Routes. */
  readonly contested: boolean
}

/** Where a Route may put matches on a hostname: below one of these prefixes, in normal form; `/` = anywhere. */
export type Permission = readonly string[]

export const EVERYWHERE: Permission = Object.freeze(['/'])

/**
 * The oldest claim, on the hostname or on a wildcard above it, decides the namespace. Within that namespace the oldest
 * Route for exactly this hostname is the owner, if there is one.
 *
 * @param exact claims of the Routes naming it
 * @param above the oldest claim on each wildcard that covers it
 */
export function ownershipOf(exact: Iterable<HostnameClaim>, above: Iterable<HostnameClaim>): Ownership | undefined {
  const named = [...exact]
  const oldest = oldestOf([...named, ...above])
  if (oldest === undefined) return undefined
  const own = oldestOf(named.filter((claim) => claim.namespace === oldest.namespace))
  return { owner: own ?? oldest, decider: oldest, exact: own !== undefined }
}

export function oldestOf(claims: Iterable<HostnameClaim>): HostnameClaim | undefined {
  let oldest: HostnameClaim | undefined
  for (const claim of claims) if (oldest === undefined || compareAge(ageOf(claim), ageOf(oldest)) < 0) oldest = claim
  return oldest
}

export function ageOf(claim: HostnameClaim): Age {
  return claim.age ?? claim
}

/** Cached permissions of a claim, which are requested per hostname and Route. */
interface Permissions {
  readonly namespaces: Namespaces
  readonly byNamespace: Map<string, Permission | undefined>
  /** Equal lists are one object, by the positions of the delegates that make them. */
  readonly byDelegates: Map<string, Permission>
}

const PERMISSIONS = new WeakMap<HostnameClaim, Permissions>()

/**
 * @returns undefined when Routes of `namespace` may not serve the hostname at all; equal permissions of one claim are
 *   the same object
 */
export function permissionOf(owner: HostnameClaim, namespace: string, namespaces: Namespaces): Permission | undefined {
  if (owner.namespace === namespace) return EVERYWHERE
  let known = PERMISSIONS.get(owner)
  if (known === undefined || known.namespaces !== namespaces) {
    known = { namespaces, byNamespace: new Map(), byDelegates: new Map() }
    PERMISSIONS.set(owner, known)
  }
  const { byNamespace, byDelegates } = known
  if (byNamespace.has(namespace)) return byNamespace.get(namespace)
  const granted = owner.delegates.flatMap((delegate, i) =>
    grants(delegate.namespaces, namespace, namespaces) ? [i] : [],
  )
  const key = granted.join()
  let permission = byDelegates.get(key)
  if (permission === undefined && granted.length > 0) {
    const prefixes = granted.flatMap((i) => owner.delegates[i]!.pathPrefixes.map(normalPrefix))
    permission = prefixes.includes('/') ? EVERYWHERE : [...new Set(prefixes)].sort()
    byDelegates.set(key, permission)
  }
  byNamespace.set(namespace, permission)
  return permission
}

function normalPrefix(prefix: string): string {
  return withoutTrailingSlash(normalizePath(prefix, 'KeepEncodedSlash') ?? prefix)
}

/**
 * Checks a match against a permission.
 *
 * @returns false when it is outside; otherwise the prefixes that also bound a regular expression, empty for none
 */
export function confine({ path }: MatchConditions, permission: Permission): readonly string[] | false {
  if (permission === EVERYWHERE) return UNCONFINED
  if (path.type === 'RegularExpression') return permission
  return isBelowAny(path.value, permission) ? UNCONFINED : false
}

const PREFIXES = new WeakMap<Permission, ReadonlySet<string>>()

/**
 * The cost depends on the path, not on the number of prefixes, of which there may be a thousand per match.
 */
export function isBelowAny(path: string, permission: Permission): boolean {
  let prefixes = PREFIXES.get(permission)
  if (prefixes === undefined) PREFIXES.set(permission, (prefixes = new Set(permission)))
  if (prefixes.has('/') || prefixes.has(path)) return true
  for (let slash = path.indexOf('/', 1); slash !== -1; slash = path.indexOf('/', slash + 1))
    if (prefixes.has(path.slice(0, slash))) return true
  return false
}

const UNCONFINED: readonly string[] = Object.freeze([])

/** By segment. */
export function isBelow(path: string, prefix: string): boolean {
  return prefix === '/' || path === prefix || (path.startsWith(prefix) && path.charCodeAt(prefix.length) === 0x2f)
}
