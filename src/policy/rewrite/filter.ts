/** `rewrite`: another path or host for the upstream than the client asked for. */
import { concealQuery } from '../../pattern/concealed.ts'
import { ASSUMED_CREDENTIAL } from '../dry-run.ts'
import type { DryExchange } from '../exchange.ts'
import type { Explanation } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'
import { compilePathRewrite, type PathRewriter } from './path-rewrite.ts'

export const rewrite: FilterDefinition = {
  name: 'rewrite',
  phase: 'rewrite',
  create(policy, services) {
    const { hostname, path } = policy.rewrite ?? {}
    if (policy.action.type !== 'forward' || (hostname === undefined && path === undefined)) return undefined
    const rewritten = path === undefined ? null : compilePathRewrite(path, policy, services)
    /** @returns false: there is no such path */
    const apply = (x: DryExchange): boolean => {
      if (rewritten !== null) {
        const target = rewritten(x)
        if (target === undefined) return false
        x.path = target.path
        x.query = target.query
      }
      if (hostname !== undefined) x.upstreamHost = hostname
      return true
    }
    return {
      name: 'rewrite',
      onRequest: (x) => (apply(x) ? undefined : { type: 'respond', response: problemResponse('BadRewrite', x) }),
      explain: (x) => explain(x, hostname, rewritten),
      rehearse: (x) => void apply(x),
    }
  },
}

function explain(x: DryExchange, hostname: string | undefined, rewritten: PathRewriter | null): Explanation {
  const filter = 'rewrite'
  const target = rewritten === null ? { path: x.path, query: x.query } : rewritten(x)
  if (target === undefined)
    return {
      filter,
      effect: `refuses: the path ${x.path} would be rewritten to one that is not in normal form`,
      status: 400,
    }
  const query = target.query === undefined ? '' : `?${concealQuery(target.query, x.get(ASSUMED_CREDENTIAL)?.places)}`
  const parts = rewritten === null ? [] : [`replaces the path ${x.path} by ${target.path}${query}`]
  if (hostname !== undefined) parts.push(`sends the host ${hostname} in place of ${x.host}`)
  return { filter, effect: parts.join(', ') }
}
