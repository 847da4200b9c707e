/** The balancer picks, and the observer admits: of all workers one gets the trial of an endpoint that was ejected. */
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import { type EndpointTable, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import type { AttemptObserver } from './attempt-observer.ts'

/** Picks that lose a race for a trial in a row; the next one is taken as it is. */
const MOST_LOST = 4

/** An attempt at the endpoint begins in this turn of the loop. @param key of the request, see `Balancer.pick` */
export function pickEndpoint(
  observer: AttemptObserver,
  backend: LinkedBackend,
  key: number,
  tried: readonly Endpoint[] | null,
): Endpoint | undefined {
  if (backend.isFull === true) return undefined
  let endpoint = backend.balancer.pick(key, tried)
  for (let lost = 0; endpoint !== undefined && lost < MOST_LOST; lost++) {
    if (admits(observer, backend, endpoint)) break
    endpoint = backend.balancer.pick(key, tried)
  }
  return endpoint
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
