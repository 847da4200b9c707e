/** The filters that come with Headgate. */

import { requestHeaders, responseHeaders } from './header-edits.ts'
import { bodyLimit, timeouts } from './limits.ts'
import { redirect } from './redirect.ts'
import { FilterRegistry } from './registry.ts'
import { requestId } from './request-id.ts'
import { respond } from './respond.ts'
import { rewrite } from './rewrite.ts'

/** A registry of its own for each caller, to which plugins can be added. */
export function builtInFilters(): FilterRegistry {
  const registry = new FilterRegistry()
  for (const definition of [
    timeouts,
    requestId,
    responseHeaders,
    bodyLimit,
    redirect,
    respond,
    requestHeaders,
    rewrite,
  ])
    registry.register(definition)
  return registry
}
