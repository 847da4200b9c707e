/** The request of a probe. Made once for a target and its options: a probe every five seconds needs no new one. */
import type { Endpoint } from '../balance/endpoint.ts'
import { FieldBlock } from '../message/field-block.ts'
import { Fields } from '../message/fields.ts'
import type { ActiveHealth } from '../snapshot/health.ts'
import type { UpstreamRequest } from '../transport/upstream.ts'
import { grpcCheck } from './probe-answer.ts'

export interface ProbeRequest extends UpstreamRequest {
  readonly body: Buffer | null
}

const NO_FIELDS = new FieldBlock([])
const USER_AGENT = 'headgate-probe'

const MADE = new WeakMap<Endpoint, { readonly active: ActiveHealth; readonly request: ProbeRequest }>()

export function probeRequest(active: ActiveHealth, target: Endpoint): ProbeRequest {
  const known = MADE.get(target)
  if (known?.active === active) return known.request
  const request = make(active, target)
  MADE.set(target, { active, request })
  return request
}

function make({ type, path, hostname, headers, grpcService }: ActiveHealth, target: Endpoint): ProbeRequest {
  const body = type === 'GRPC' ? grpcCheck(grpcService) : null
  const fields = new Fields()
  if (!headers.some(({ name }) => name === 'user-agent')) fields.add('user-agent', USER_AGENT)
  for (const { name, value } of headers) fields.add(name, value)
  if (body !== null) {
    fields.add('content-type', 'application/grpc')
    fields.add('content-length', String(body.length))
  }
  return {
    method: body === null ? 'GET' : 'POST',
    target: body === null ? path : '/grpc.health.v1.Health/Check',
    host: hostname ?? target.hostname ?? target.authority,
    fields,
    bodyLength: body?.length ?? 0,
    forwarding: NO_FIELDS,
    passed: NO_FIELDS,
    id: USER_AGENT,
    acceptsTrailers: body !== null,
    upgrade: null,
    body,
  }
}
