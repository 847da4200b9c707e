/** The paths of the registration API: `/api/v1/backends/{namespace}/{name}/endpoints`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { REGISTRATION_ID } from '../api/registration.ts'
import type {
  RegistrationBody,
  RegistrationOutcome,
  RegistrationRefusal,
  RegistrationRequests,
} from './registrations.ts'
import { PAGE_QUERY, RESPONSES } from './response-schemas.ts'

/** Bytes of the body of a PUT. */
const MAX_BODY = 8_192

const LABEL = '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'
const OBJECT_NAME = '^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$'

const BACKEND_PARAMS = {
  namespace: { type: 'string', pattern: LABEL },
  name: { type: 'string', pattern: OBJECT_NAME },
} as const
const ENDPOINT_PARAMS = { ...BACKEND_PARAMS, id: { type: 'string', pattern: REGISTRATION_ID } } as const

const BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['address', 'port'],
  properties: {
    address: { type: 'string', minLength: 2, maxLength: 45 },
    port: { type: 'integer', minimum: 1, maximum: 65_535 },
    weight: { type: 'integer', minimum: 1, maximum: 1_000_000 },
    zone: { type: 'string', minLength: 1, maxLength: 63 },
    metadata: {
      type: 'object',
      maxProperties: 16,
      propertyNames: { pattern: '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$' },
      additionalProperties: { type: 'string', maxLength: 256 },
    },
    lease: { type: 'string', minLength: 2, maxLength: 40 },
  },
} as const

const DELETE_QUERY = {
  type: 'object',
  additionalProperties: false,
  properties: { drain: { type: 'string', minLength: 2, maxLength: 40 } },
} as const

interface BackendRequest {
  readonly Params: { readonly namespace: string; readonly name: string }
}
interface EndpointRequest {
  readonly Params: BackendRequest['Params'] & { readonly id: string }
}

const BASE = '/api/v1/backends/:namespace/:name/endpoints'
export const REGISTRATION_PATHS = [
  '/api/v1/backends/{namespace}/{name}/endpoints',
  '/api/v1/backends/{namespace}/{name}/endpoints/{id}',
  '/api/v1/backends/{namespace}/{name}/endpoints/{id}/heartbeat',
]

/** Methods of a path of the registration API, for a request with another one; undefined for other paths. */
export function methodsOf(path: string): string | undefined {
  const parts = /^\/api\/v1\/backends\/[^/?]+\/[^/?]+\/endpoints(\/[^/?]+(\/heartbeat)?)?(\?|$)/.exec(path)
  if (parts === null) return undefined
  if (parts[2] !== undefined) return 'POST'
  return parts[1] === undefined ? 'GET, HEAD' : 'GET, HEAD, PUT, DELETE'
}

export type Reject = (
  reply: FastifyReply,
  status: number,
  title: string,
  detail?: string,
  reason?: string,
) => FastifyReply

/** @param page cuts one page out of a list by the query of a request */
export function serveRegistrations(
  app: FastifyInstance,
  registrations: RegistrationRequests,
  reject: Reject,
  page: (readFrom: (offset: number) => Iterable<unknown>, query: object) => object,
): void {
  const refuse = (reply: FastifyReply, refusal: RegistrationRefusal): FastifyReply => {
    const { status, title, detail, reason, retryAfter } = refusal
    if (retryAfter !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(retryAfter / 1_000)))
    return reject(reply, status, title, detail, reason)
  }
  const answer = (reply: FastifyReply, outcome: RegistrationOutcome): FastifyReply =>
    outcome.ok ? reply.code(outcome.created ? 201 : 200).send(outcome.view) : refuse(reply, outcome)
  const params = (properties: object) => ({ type: 'object', properties })
  const response = { '2xx': RESPONSES.registration }
  const endpoint = { params: params(ENDPOINT_PARAMS), response }

  app.get<BackendRequest>(
    BASE,
    {
      schema: { params: params(BACKEND_PARAMS), querystring: PAGE_QUERY, response: { '2xx': RESPONSES.registrations } },
    },
    (request, reply) => {
      const views = registrations.list(backendOf(request))
      return Symbol.iterator in views
        ? page((offset) => Iterator.from(views).drop(offset), request.query as object)
        : refuse(reply, views)
    },
  )
  app.get<EndpointRequest>(`${BASE}/:id`, { schema: endpoint }, (request, reply) =>
    answer(reply, registrations.get(backendOf(request), request.params.id)),
  )
  app.put<EndpointRequest & { Body: RegistrationBody }>(
    `${BASE}/:id`,
    { schema: { ...endpoint, body: BODY }, bodyLimit: MAX_BODY },
    (request, reply) => answer(reply, registrations.put(backendOf(request), request.params.id, request.body)),
  )
  app.post<EndpointRequest>(`${BASE}/:id/heartbeat`, { schema: endpoint }, (request, reply) =>
    answer(reply, registrations.heartbeat(backendOf(request), request.params.id)),
  )
  app.delete<EndpointRequest & { Querystring: { drain?: string } }>(
    `${BASE}/:id`,
    { schema: { ...endpoint, querystring: DELETE_QUERY } },
    (request, reply) => answer(reply, registrations.remove(backendOf(request), request.params.id, request.query.drain)),
  )
}

function backendOf({ params }: FastifyRequest<BackendRequest>): string {
  return `${params.namespace}/${params.name}`
}
