/**
 * `redirect`: the rule answers with another place to go (RFC 9110 §15.4), composed as Gateway API's
 * HTTPRequestRedirectFilter.
 */
import { Fields } from '../../message/fields.ts'
import { concealUrl } from '../../pattern/concealed.ts'
import { ASSUMED_CREDENTIAL } from '../dry-run.ts'
import type { DryExchange } from '../exchange.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'
import { compilePathRewrite } from '../rewrite/path-rewrite.ts'
import { locate } from './location.ts'

export const redirect: FilterDefinition = {
  name: 'redirect',
  phase: 'answer',
  create(policy, services) {
    const { action } = policy
    if (action.type !== 'redirect') return undefined
    const path = action.path === undefined ? null : compilePathRewrite(action.path, policy, services)
    const status = action.statusCode
    return {
      name: 'redirect',
      onRequest(x) {
        const located = locate(action, path, x)
        if ('reason' in located) return { type: 'respond', response: problemResponse(located.reason, x) }
        const fields = new Fields()
        fields.add('location', located.location)
        return { type: 'respond', response: { status, fields, body: null } }
      },
      explain(x) {
        const located = locate(action, path, x)
        if ('reason' in located) return { filter: 'redirect', effect: REFUSALS[located.reason](x), status: 400 }
        const shown = concealUrl(located.location, x.get(ASSUMED_CREDENTIAL)?.places)
        return { filter: 'redirect', effect: `redirects to ${shown}`, status }
      },
    }
  },
}

const REFUSALS = {
  BadRewrite: (x: DryExchange) => `refuses: no valid location comes out for ${x.path}`,
  BadHost: () => 'refuses: the request names no host that the location could name',
} as const
