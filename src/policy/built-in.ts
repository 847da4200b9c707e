/** The policies and filters that come with Headgate. */

import { access } from './access/policy.ts'
import { auth } from './auth/policy.ts'
import { authorization } from './authorization/policy.ts'
import { cache } from './cache/policy.ts'
import { concurrency } from './concurrency/filter.ts'
import { cors } from './cors/policy.ts'
import { corsPreflight } from './cors/preflight.ts'
import { crossSite } from './csrf/filter.ts'
import { filterOf, type PolicyDefinition } from './definition.ts'
import { errors } from './errors/policy.ts'
import { requestHeaders, responseHeaders } from './header-edits/filter.ts'
import { identityHeaders } from './identity-headers/filter.ts'
import { bodyLimit } from './limits/filter.ts'
import { mirror } from './mirror/policy.ts'
import { rateLimits, rateLimitsAfterAuth } from './rate-limits/policy.ts'
import { redirect } from './redirect/filter.ts'
import { FilterRegistry } from './registry.ts'
import { requestId } from './request-id/filter.ts'
import { respond } from './respond/filter.ts'
import { rewrite } from './rewrite/filter.ts'
import { timeouts } from './timeouts/filter.ts'
import { tokenIssuer } from './token-issuer/filter.ts'

/** Policies that are rows: a new one is a line here. */
export const POLICIES: readonly PolicyDefinition[] = Object.freeze([
  access,
  auth,
  authorization,
  cache,
  cors,
  errors,
  mirror,
  rateLimits,
])

/**
 * A registry of its own for each caller, to which plugins can be added.
 *
 * @param policies tests bring rows of their own
 */
export function builtInFilters(policies: readonly PolicyDefinition[] = POLICIES): FilterRegistry {
  const registry = new FilterRegistry()
  for (const definition of [
    timeouts,
    requestId,
    responseHeaders,
    bodyLimit,
    concurrency,
    rateLimitsAfterAuth,
    corsPreflight,
    identityHeaders,
    crossSite,
    redirect,
    respond,
    tokenIssuer,
    requestHeaders,
    rewrite,
    ...policies.map(filterOf),
  ])
    registry.register(definition)
  return registry
}
