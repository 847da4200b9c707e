/** Merges the policies of settings, Route and rule into those of one rule (api.md, "Merge"). */
import { POLICIES } from '../policy/built-in.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import type { Policies } from './policies.ts'

export interface PolicyLayers {
  readonly settings?: { readonly defaults?: Policies; readonly enforced?: Policies } | undefined
  /** The policies that the hostname's owner enforces on a delegate's Route. */
  readonly owner?: Policies | undefined
  readonly route?: (Policies & { readonly enforced?: Policies }) | undefined
  readonly rule?: Policies | undefined
}

/** Policies that have a type in policies.ts. */
export const TYPED_KEYS = [
  'rewrite',
  'requestHeaders',
  'responseHeaders',
  'timeouts',
  'retry',
  'hedge',
  'upgrades',
  'limits',
  'compression',
  'fault',
  'pathEncoding',
  'plugins',
] as const satisfies readonly (keyof Policies)[]

/** Every key, in the one order in which merged policies hold them: digests depend on it. */
export const POLICY_KEYS: readonly string[] = [...TYPED_KEYS, ...POLICIES.map(({ key }) => key)]

/** Keys whose members are merged one by one; every other key is replaced as a whole. */
const BY_FIELD: ReadonlySet<string> = new Set(['timeouts', 'limits'])

/** The author of a policy, in whose namespace its references are resolved. */
export type Author = 'Settings' | 'Route' | 'Owner'

interface Stated {
  readonly value: unknown
  readonly author: Author
  /** By a rule, of its own. */
  readonly inRule: boolean
}

/**
 * The effective value of one policy. Later layers win: settings' defaults, Route, rule; then what is enforced, from
 * the Route's own over the owner's to the settings', so that nobody further in can replace what somebody further out
 * has fixed.
 *
 * @returns the value of a layer, not a copy; of a policy that merges by field, a frozen object of its own
 */
export function statedPolicy(
  { settings, owner, route, rule }: PolicyLayers,
  key: string,
  byField: boolean,
): Stated | undefined {
  const layers: readonly (readonly [Author, Policies | undefined])[] = [
    ['Settings', settings?.defaults],
    ['Route', route],
    ['Route', rule],
    ['Route', route?.enforced],
    ['Owner', owner],
    ['Settings', settings?.enforced],
  ]
  let stated: Stated | undefined
  for (const [author, policies] of layers) {
    const value = (policies as Readonly<Record<string, unknown>> | undefined)?.[key]
    if (value === undefined) continue
    const merged =
      byField && stated !== undefined ? Object.freeze({ ...(stated.value as object), ...(value as object) }) : value
    stated = { value: merged, author, inRule: author === 'Route' && policies === rule }
  }
  return stated
}

/**
 * All that holds, see {@link statedPolicy}. Without defaults; see `defaults.ts`.
 *
 * @returns frozen
 */
export function mergePolicies(layers: PolicyLayers, rows: readonly PolicyDefinition[] = POLICIES): Policies {
  const merged: Record<string, unknown> = {}
  for (const key of TYPED_KEYS) {
    const stated = statedPolicy(layers, key, BY_FIELD.has(key))
    if (stated !== undefined) merged[key] = stated.value
  }
  for (const { key, byField = false } of rows) {
    const stated = statedPolicy(layers, key, byField)
    if (stated !== undefined) merged[key] = stated.value
  }
  return Object.freeze(merged)
}
