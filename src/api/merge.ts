/** How the policies of settings, Route and rule become those of one rule (api.md, "Merge"; docs/reference/merge.md). */
import type { Policies } from './policies.ts'

export interface PolicyLayers {
  readonly settings?: { readonly defaults?: Policies; readonly enforced?: Policies } | undefined
  /** What the owner of the hostname enforces, where the Route is a delegate's. */
  readonly owner?: Policies | undefined
  readonly route?: (Policies & { readonly enforced?: Policies }) | undefined
  readonly rule?: Policies | undefined
}

/** Every key, in the one order in which merged policies hold them: digests depend on it. */
export const POLICY_KEYS = [
  'rewrite',
  'requestHeaders',
  'responseHeaders',
  'timeouts',
  'retry',
  'hedge',
  'upgrades',
  'limits',
  'access',
  'cors',
  'auth',
  'authorization',
  'rateLimits',
  'cache',
  'compression',
  'mirror',
  'fault',
  'errors',
  'pathEncoding',
  'plugins',
] as const satisfies readonly (keyof Policies)[]

/** Keys of numbers that are stated one by one; every other key is one thing, and half of two is neither. */
const BY_FIELD: ReadonlySet<string> = new Set(['timeouts', 'limits'])

/**
 * Later layers win: settings' defaults, Route, rule; then what is enforced, from the Route's own over the owner's to
 * the settings', so that nobody further in can replace what somebody further out has fixed. Without defaults; see
 * `defaults.ts`.
 *
 * @returns frozen; values are those of the layers, not copies
 */
export function mergePolicies({ settings, owner, route, rule }: PolicyLayers): Policies {
  const layers: readonly (Policies | undefined)[] = [
    settings?.defaults,
    route,
    rule,
    route?.enforced,
    owner,
    settings?.enforced,
  ]
  const merged: Record<string, unknown> = {}
  for (const key of POLICY_KEYS) {
    let value: unknown
    for (const layer of layers) {
      const stated = layer?.[key]
      if (stated === undefined) continue
      value = BY_FIELD.has(key) && value !== undefined ? Object.freeze({ ...value, ...(stated as object) }) : stated
    }
    if (value !== undefined) merged[key] = value
  }
  return Object.freeze(merged)
}
