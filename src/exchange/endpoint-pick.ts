/** The balancer picks, and the observer admits: of all workers one gets the trial of an endpoint that was ejected. */
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import { type EndpointTable, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import type { AttemptObserver } from './attempt-observer.ts'

/** Picks that lose a race for a trial in a row; the next one is taken as it is. */
const MOST_LOST = 4
/** Suspect endpoints that are left out for another attempt. */
const MOST_AVOIDED = 8

/** An attempt at the endpoint begins in this turn of the loop. @param key of the request, see `Balancer.pick` */
export function pickEndpoint(
  observer: AttemptObserver,
  backend: LinkedBackend,
  key: number,
  tried: readonly Endpoint[] | null,
): Endpoint | undefined {
  if (backend.isFull === true) return undefined
  let endpoint = choose(observer, backend, key, tried)
  for (let lost = 0; endpoint !== undefined && lost < MOST_LOST; lost++) {
    if (admits(observer, backend, endpoint)) break
    endpoint = choose(observer, backend, key, tried)
  }
  return endpoint
}

/**
 * Where several endpoints end at once, before anybody has taken them out of the set, an attempt that is made again must
 * not meet the next of them: endpoints of which there is a sign come behind the others.
 */
function choose(
  observer: AttemptObserver,
  backend: LinkedBackend,
  key: number,
  tried: readonly Endpoint[] | null,
): Endpoint | undefined {
  const { balancer } = backend
  const first = balancer.pick(key, tried)
  if (tried === null || first === undefined || observer.isSuspect?.(backend, first) !== true) return first
  const avoided = [...tried, first]
  for (let i = 0; i < MOST_AVOIDED; i++) {
    const other = balancer.pick(key, avoided)
    // One that failed in this exchange, or that drains, is no better.
    if (other === undefined || other.state !== first.state || avoided.includes(other)) break
    if (!observer.isSuspect(backend, other)) return other
    avoided.push(other)
  }
  return first
}

/** Why there is no endpoint to pick: none is well, or those that are have no room. */
export function noEndpoint(table: EndpointTable, backend: LinkedBackend): GatewayError {
  const { id, plan, endpoints } = backend
  const isFull = ({ slot }: Endpoint): boolean => (table.state(slot) & SLOT_STATE.full) !== 0
  if (plan.adaptiveLimit === undefined || !endpoints.some(isFull)) return new GatewayError('NoEndpoint', id)
  backend.noRoom?.()
  return new GatewayError('Overloaded', `every endpoint of ${id} has as many requests as its adaptive limit allows`)
}

export function admits(observer: AttemptObserver, backend: LinkedBackend, endpoint: Endpoint): boolean {
  return observer.admits === undefined || observer.admits(backend, endpoint)
}
