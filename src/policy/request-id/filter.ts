/** Describes the request id for `explain`. */
import type { FilterDefinition } from '../registry.ts'
import { REQUEST_ID_FIELD } from './request-id.ts'

/**
 * Says in `explain` what happens to the id. It has no hook: making the id and sending it upstream is part of
 * forwarding, which writes it with the other fields of its own, so that a rule without policies has no chain to walk.
 */
export const requestId: FilterDefinition = {
  name: 'request-id',
  phase: 'begin',
  create(policy) {
    if (policy.action.type !== 'forward') return undefined
    return {
      name: 'request-id',
      explain: () => ({
        filter: 'request-id',
        effect: `sends ${REQUEST_ID_FIELD}, taken over from a trusted proxy or made`,
      }),
    }
  },
}
