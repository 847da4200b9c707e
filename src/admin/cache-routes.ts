/** The paths of the admin API for the HTTP cache: `/api/v1/cache/…`. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import { MAX_PURGED_NAMES } from '../cache/purge-request.ts'
import type { CacheRefusal, CacheRequests, PurgeBody, WarmUpBody } from './caches.ts'
import { MAX_WARM_UP_URLS } from './caches.ts'
import type { Reject } from './registration-routes.ts'
import { RESPONSES } from './response-schemas.ts'

/** Bytes of bodies. */
const MAX_PURGE = 262_144
const MAX_WARM_UP = 4_194_304
const MAX_URL = 8_192

const text = (maxLength: number) => ({ type: 'string', minLength: 1, maxLength }) as const
/** An empty one gets the sentence that any other mistake gets. */
const list = (maxItems: number, maxLength: number) =>
  ({ type: 'array', minItems: 1, maxItems, items: { type: 'string', maxLength } }) as const

const PURGE_BODY = {
  type: 'object',
  additionalProperties: false,
  properties: {
    urls: list(MAX_PURGED_NAMES, MAX_URL),
    prefixes: list(MAX_PURGED_NAMES, MAX_URL),
    tags: list(MAX_PURGED_NAMES, 256),
    route: text(317),
    rule: text(253),
    all: { type: 'boolean' },
    soft: { type: 'boolean' },
  },
} as const

const WARM_UP_BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['urls'],
  properties: { urls: list(MAX_WARM_UP_URLS, MAX_URL), rate: { type: 'integer', minimum: 1, maximum: 1_000 } },
} as const

const NAMESPACE = { namespace: { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$' } } as const
const ID = { id: { type: 'string', pattern: '^[0-9]{1,9}$' } } as const

/** One that is asked alone: `namespace/pod`, or the pod. */
const REPLICA = {
  type: 'object',
  additionalProperties: false,
  properties: { replica: { type: 'string', minLength: 1, maxLength: 317 } },
} as const
interface OfReplica {
  Querystring: { replica?: string }
}

const PURGES = '/api/v1/cache/purges'
const NAMESPACE_PURGES = '/api/v1/cache/namespaces/:namespace/purges'
const WARM_UPS = '/api/v1/cache/warm-ups'
const STATISTICS = '/api/v1/cache'
const LOOKUPS = '/api/v1/cache/lookups'
const NAMESPACE_LOOKUPS = '/api/v1/cache/namespaces/:namespace/lookups'
export const CACHE_PATHS = [
  STATISTICS,
  LOOKUPS,
  '/api/v1/cache/namespaces/{namespace}/lookups',
  PURGES,
  '/api/v1/cache/namespaces/{namespace}/purges',
  WARM_UPS,
  '/api/v1/cache/warm-ups/{id}',
]

/** Methods of a path of the cache, for a request with another one; undefined for other paths. */
export function cacheMethodsOf(path: string): string | undefined {
  const parts =
    /^\/api\/v1\/cache\/(purges|lookups|namespaces\/[^/?]+\/(?:purges|lookups)|warm-ups(\/[^/?]+)?)(\?|$)/.exec(path)
  if (parts === null) return undefined
  return parts[2] === undefined ? 'POST' : 'GET, HEAD'
}

export function serveCaches(app: FastifyInstance, caches: CacheRequests, reject: Reject): void {
  const refuse = (reply: FastifyReply, { status, title, detail, reason }: CacheRefusal): FastifyReply =>
    reject(reply, status, title, detail, reason)
  const params = (properties: object) => ({ type: 'object', properties })

  const purge = async (reply: FastifyReply, namespace: string | undefined, body: PurgeBody): Promise<FastifyReply> => {
    const outcome = await caches.purge(namespace, body)
    if (!outcome.ok) return refuse(reply, outcome)
    const { view } = outcome
    return reply.code(view.everywhere ? 200 : 202).send(view)
  }
  const purging = { body: PURGE_BODY, response: { '2xx': RESPONSES.purge } }
  app.post<{ Body: PurgeBody }>(PURGES, { schema: purging, bodyLimit: MAX_PURGE }, (request, reply) =>
    purge(reply, undefined, request.body),
  )
  app.post<{ Body: PurgeBody; Params: { namespace: string } }>(
    NAMESPACE_PURGES,
    { schema: { ...purging, params: params(NAMESPACE) }, bodyLimit: MAX_PURGE },
    (request, reply) => purge(reply, request.params.namespace, request.body),
  )
  app.get<OfReplica>(
    STATISTICS,
    { schema: { querystring: REPLICA, response: { '2xx': RESPONSES.cache } } },
    async (request, reply) => {
      const outcome = await caches.statistics(request.query.replica)
      return outcome.ok ? reply.send(outcome.view) : refuse(reply, outcome)
    },
  )
  const lookup = async (
    reply: FastifyReply,
    namespace: string | undefined,
    body: PurgeBody,
    { replica }: OfReplica['Querystring'],
  ): Promise<FastifyReply> => {
    const outcome = await caches.lookup(namespace, body, replica)
    return outcome.ok ? reply.send(outcome.view) : refuse(reply, outcome)
  }
  const looking = { body: PURGE_BODY, querystring: REPLICA, response: { '2xx': RESPONSES.lookup } }
  app.post<OfReplica & { Body: PurgeBody }>(
    LOOKUPS,
    { schema: looking, bodyLimit: MAX_PURGE },
    async (request, reply) => await lookup(reply, undefined, request.body, request.query),
  )
  app.post<OfReplica & { Body: PurgeBody; Params: { namespace: string } }>(
    NAMESPACE_LOOKUPS,
    { schema: { ...looking, params: params(NAMESPACE) }, bodyLimit: MAX_PURGE },
    async (request, reply) => await lookup(reply, request.params.namespace, request.body, request.query),
  )
  app.post<OfReplica & { Body: WarmUpBody }>(
    WARM_UPS,
    {
      schema: { body: WARM_UP_BODY, querystring: REPLICA, response: { '2xx': RESPONSES.warmUp } },
      bodyLimit: MAX_WARM_UP,
    },
    async (request, reply) => {
      const outcome = await caches.warmUp(request.body, request.query.replica)
      if (!outcome.ok) return refuse(reply, outcome)
      return reply.code(202).header('location', `${WARM_UPS}/${outcome.view.id}`).send(outcome.view)
    },
  )
  app.get<{ Params: { id: string } }>(
    `${WARM_UPS}/:id`,
    { schema: { params: params(ID), response: { '2xx': RESPONSES.warmUp } } },
    (request, reply) => {
      const outcome = caches.warmUpState(request.params.id)
      return outcome.ok ? reply.send(outcome.view) : refuse(reply, outcome)
    },
  )
}
