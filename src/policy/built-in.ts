/** The filters that come with Headgate. */

import { requestHeaders, responseHeaders } from './header-edits/filter.ts'
import { bodyLimit } from './limits/filter.ts'
import { redirect } from './redirect/filter.ts'
import { FilterRegistry } from './registry.ts'
import { requestId } from './request-id/filter.ts'
import { respond } from './respond/filter.ts'
import { rewrite } from './rewrite/filter.ts'
import { timeouts } from './timeouts/filter.ts'

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
