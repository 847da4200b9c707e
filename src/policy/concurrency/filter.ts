/** `limits.maxConcurrentRequests`: so many requests of a Route or a rule at a time, each until it has ended. */
import type { Place } from '../../limit/places.ts'
import { attribute } from '../attribute.ts'
import type { Exchange } from '../exchange.ts'
import type { Filter, RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterDefinition } from '../registry.ts'

/** The place that an exchange has taken. */
const TAKEN = attribute<Place>('place among concurrent requests')
/** Seconds: nobody knows when one ends, and a client that waits for it should not come back at once. */
const RETRY_AFTER = '1'

export const concurrency: FilterDefinition = {
  name: 'concurrency',
  phase: 'rate-limit-before-auth',
  create({ limits: { concurrency: limit } }, { places }): Filter | undefined {
    if (limit === undefined) return undefined
    const { requests, origin } = limit
    const place = places.open(origin)
    return {
      name: 'concurrency',
      forgetsHeads: true,
      onRequest(x): RequestDecision {
        if (place.take(requests)) {
          x.set(TAKEN, place)
          return undefined
        }
        return refuse(x, requests)
      },
      onEnd: (x) => x.get(TAKEN)?.give(),
      explain: () => ({ filter: 'concurrency', effect: `refuses more than ${requests} requests at a time with 503` }),
    }
  },
}

function refuse(x: Exchange, requests: number): RequestDecision {
  const response = problemResponse('TooManyRequestsAtOnce', x)
  response.fields.add('retry-after', RETRY_AFTER)
  return { type: 'respond', response: { ...response, detail: `maxConcurrentRequests (${requests}) are in flight` } }
}
