/** `cors`: which pages of other origins may read responses (Fetch, "HTTP-network-or-cache fetch", "CORS protocol"). */
import { parseDuration } from '../../lib/quantity.ts'
import { type PolicyDefinition, type PolicyProblem, planOnce } from '../definition.ts'
import { corsHeaders } from './headers.ts'
import { normalOrigin } from './origins.ts'
import type { CorsPlan } from './plan.ts'

/** As it stands in a document. */
interface CorsValue {
  readonly allowOrigins: readonly string[]
  readonly allowMethods?: readonly string[]
  readonly allowHeaders?: readonly string[]
  readonly exposeHeaders?: readonly string[]
  readonly allowCredentials?: boolean
  readonly maxAge?: string
}

export const cors: PolicyDefinition<CorsValue, CorsPlan> = {
  key: 'cors',
  phase: 'cors-headers',
  check: ({ allowOrigins }) => [...problemsOf(allowOrigins)],
  plan: planOnce(
    ({
      allowOrigins,
      allowMethods = [],
      allowHeaders = [],
      exposeHeaders = [],
      allowCredentials = false,
      maxAge,
    }): CorsPlan => ({
      allowOrigins,
      allowMethods,
      allowHeaders: allowHeaders.map((name) => name.toLowerCase()),
      exposeHeaders: exposeHeaders.map((name) => name.toLowerCase()),
      allowCredentials,
      ...(maxAge === undefined ? {} : { maxAge: Math.floor(parseDuration(maxAge) / 1000) }),
    }),
  ),
  create: corsHeaders,
}

function* problemsOf(origins: readonly string[]): Generator<PolicyProblem> {
  for (const [i, origin] of origins.entries()) {
    if (origin === '*' || normalOrigin(origin.replace('://*.', '://')) !== undefined) continue
    yield { path: ['allowOrigins', i], message: 'is no origin; write it as https://app.example.com' }
  }
}
