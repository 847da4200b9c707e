/** Whose a hostname is, and what others may add to it (api.md, "A hostname belongs to a namespace"). */
import { normalizePath } from '../pattern/path.ts'
import type { Conditions } from '../snapshot/order.ts'
import { type Claim, withoutTrailingSlash } from './plan.ts'
import { type Age, compareAge } from './resource-set.ts'
import { grants, type Namespaces } from './tenancy.ts'

/**
 * The Route that speaks for a hostname: its namespace owns it, its delegates may add rules, its enforced policies bind
 * them.
 */
export interface Ownership {
  readonly owner: Claim
  /**
   * The oldest of all: by it the hostname is its namespace's. Another than `owner` where that is a younger Route for
   * exactly this name.
   */
  readonly decider: Claim
  /** A Route of the owner names exactly this hostname, rather than a wildcard over it. */
  readonly exact: boolean
}

/** Whose exactly this hostname is, for {@link HostnameReservation}. */
export interface Owner {
  readonly namespace: string
  /** By which it is the owner. */
  readonly age: Age
  /** Of its oldest Route for it; undefined when it has none any more. */
  readonly oldest: Age | undefined
  /** Somebody else would have it if the owner's Routes were gone. */
  readonly contested: boolean
}

/** Where a Route may put matches on a hostname: below one of these prefixes, in normal form; `/` = anywhere. */
export type Permission = readonly string[]

export const EVERYWHERE: Permission = Object.freeze(['/'])

/**
 * The oldest claim decides whose namespace it is, be it on the name itself or on a wildcard over it. Within that
 * namespace the oldest Route naming exactly it speaks, where there is one.
 *
 * @param exact claims of the Routes naming it
 * @param above the oldest claim on each wildcard that covers it
 */
export function ownershipOf(exact: Iterable<Claim>, above: Iterable<Claim>): Ownership | undefined {
  const named = [...exact]
  const oldest = oldestOf([...named, ...above])
  if (oldest === undefined) return undefined
  const own = oldestOf(named.filter((claim) => claim.namespace === oldest.namespace))
  return { owner: own ?? oldest, decider: oldest, exact: own !== undefined }
}

export function oldestOf(claims: Iterable<Claim>): Claim | undefined {
  let oldest: Claim | undefined
  for (const claim of claims) if (oldest === undefined || compareAge(ageOf(claim), ageOf(oldest)) < 0) oldest = claim
  return oldest
}

export function ageOf(claim: Claim): Age {
  return claim.age ?? claim
}

/** What a claim permits: asked again for each hostname and each Route, and the same for most namespaces. */
interface Permissions {
  readonly namespaces: Namespaces
  readonly byNamespace: Map<string, Permission | undefined>
  /** Equal lists are one object, by the positions of the delegates that make them. */
  readonly byDelegates: Map<string, Permission>
}

const PERMISSIONS = new WeakMap<Claim, Permissions>()

/**
 * @returns undefined when Routes of `namespace` may not serve the hostname at all; equal permissions of one claim are
 *   the same object
 */
export function permissionOf(owner: Claim, namespace: string, namespaces: Namespaces): Permission | undefined {
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
 * Whether a match stays where it may be.
 *
 * @returns false when it does not; else the prefixes that a regular expression must also stay below, empty for none
 */
export function confine({ path }: Conditions, permission: Permission): readonly string[] | false {
  if (permission === EVERYWHERE) return UNCONFINED
  if (path.type === 'RegularExpression') return permission
  return isBelowAny(path.value, permission) ? UNCONFINED : false
}

const PREFIXES = new WeakMap<Permission, ReadonlySet<string>>()

/**
 * Its cost grows with the path, not with the number of prefixes: there may be a thousand, for each of a thousand
 * matches.
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
