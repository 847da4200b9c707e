/**
 * The admin API: the state of the control thread as JSON, and what may be changed. It has no TLS yet, so it is limited
 * to loopback, and cross-origin requests of a browser on this machine are rejected. Every change needs a bearer token.
 */
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { joinHostPort } from '../pattern/host.ts'
import { adminAddress, isOwnAuthority } from './admin-address.ts'
import type { AdminData } from './admin-data.ts'
import { type AdminTokens, authorize } from './bearer.ts'
import { CACHE_PATHS, cacheMethodsOf, serveCaches } from './cache-routes.ts'
import type { CacheRequests } from './caches.ts'
import { EXPLAIN_PATH, explainMethodsOf, serveExplain } from './explain-route.ts'
import type { Explanations } from './explanations.ts'
import { methodsOf, REGISTRATION_PATHS, serveRegistrations } from './registration-routes.ts'
import type { RegistrationRequests } from './registrations.ts'
import { PAGE_QUERY, RESPONSES } from './response-schemas.ts'

export interface AdminOptions {
  /** `127.0.0.1:9901`; port 0 lets the system choose. */
  readonly address: string
  /** Undefined: no change is accepted. */
  readonly tokens?: AdminTokens | undefined
  readonly data: AdminData
  readonly registrations: RegistrationRequests
  readonly caches: CacheRequests
  readonly explanations: Explanations
}

export interface AdminServer {
  /** As bound, `127.0.0.1:9901`. */
  readonly address: string
  readonly port: number
  close(): Promise<void>
}

/** Milliseconds; sufficient for curl or a dashboard on the same machine. */
const REQUEST_TIMEOUT = 5_000
const IDLE_TIMEOUT = 30_000
const MAX_CONNECTIONS = 64

/** Default rows per response: written within two milliseconds. */
const PAGE_ROWS = 200
const MAX_PAGE_ROWS = 1_000
/** Endpoints of the Backends of a page; the first Backend is there with all of its own. */
const MAX_PAGE_PARTS = 1_000

const PROBLEM = 'application/problem+json'

const SAFE_FIELDS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
}

/**
 * @throws {TypeError} when the address is not permitted, with the remedy
 * @throws {Error} from the system when it cannot be bound
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const { host, port } = adminAddress(options.address)
  const app = fastify({
    bodyLimit: 1_024,
    requestTimeout: REQUEST_TIMEOUT,
    connectionTimeout: IDLE_TIMEOUT,
    keepAliveTimeout: IDLE_TIMEOUT,
    routerOptions: { maxParamLength: 256 },
    // A path that cannot be decoded, or has too long a part, comes to no route and to no hook.
    frameworkErrors: (error, _, reply) => fail(reply.headers(SAFE_FIELDS), error),
    forceCloseConnections: true,
    http: { maxHeaderSize: 16_384, connectionsCheckingInterval: 1_000 },
    // Fastify's own defaults drop unknown members and turn strings into numbers.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  app.server.maxConnections = MAX_CONNECTIONS
  app.addHook('onRequest', guard)
  app.addHook('onRequest', async (request, reply) => {
    if (isRead(request)) return
    const verdict = await authorize(options.tokens, request.raw.rawHeaders)
    if (verdict.accepted) return
    if (verdict.status === 401) reply.header('www-authenticate', 'Bearer realm="headgate admin"')
    return reject(reply, verdict.status, verdict.title, verdict.detail, verdict.reason)
  })
  app.setNotFoundHandler((_, reply) => reject(reply, 404, 'The path does not exist', 'GET / lists the paths'))
  app.setErrorHandler((error: RequestError, _, reply) => fail(reply, error))
  // A heartbeat and a DELETE have no body, whatever content type their client states.
  const parseJson = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parseJson(request, String(body), done)
  })
  serveHealth(app, options.data)
  serveLists(app, options.data)
  serveRegistrations(app, options.registrations, reject, pageOf)
  serveCaches(app, options.caches, reject)
  serveExplain(app, options.explanations, reject)
  await app.listen({ host, port })
  const bound = (app.server.address() as { port: number }).port
  return {
    address: joinHostPort(host, bound),
    port: bound,
    close: () => app.close(),
  }
}

/** What Fastify gives to the error handler; `validation` is of Ajv, whose message does not name an unknown member. */
interface RequestError {
  readonly statusCode?: number
  readonly message: string
  readonly validation?: readonly { readonly params: Readonly<Record<string, unknown>> }[]
}

function fail(reply: FastifyReply, error: RequestError): FastifyReply {
  const status = error.statusCode ?? 500
  if (status >= 500) return reject(reply, 500, 'The control thread failed')
  return reject(reply, status, 'The request cannot be served', detailOf(error), REASONS[status] ?? 'InvalidRequest')
}

function detailOf({ message, validation }: RequestError): string {
  const names = validation?.map(
    ({ params: { additionalProperty, propertyName } }) => additionalProperty ?? propertyName,
  )
  const name = names?.find((value) => value !== undefined)
  return typeof name === 'string' ? `${message}: ${JSON.stringify(name.slice(0, 128))}` : message
}

function isRead({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** Rejects foreign hosts, cross-origin requests and changes that do not exist before any data is read. */
function guard(request: FastifyRequest, reply: FastifyReply, next: () => void): void {
  reply.headers(SAFE_FIELDS)
  const { host, origin, 'sec-fetch-site': site } = request.headers
  if (!isRead(request) && request.is404) {
    const { url } = request
    const methods = methodsOf(url) ?? cacheMethodsOf(url) ?? explainMethodsOf(url) ?? 'GET, HEAD'
    reply.header('allow', methods)
    reject(reply, 405, `Only ${methods} are allowed`, undefined, 'MethodNotAllowed')
  } else if (!isOwnAuthority(host)) {
    reject(reply, 421, 'The Host is not an address of this machine', 'Use localhost, 127.0.0.1 or [::1]')
  } else if (origin !== undefined && origin !== `http://${host}`) {
    reject(reply, 403, 'Cross-origin requests are not allowed')
  } else if (site === 'cross-site' || site === 'same-site') {
    // Requests for scripts and images have no Origin field.
    reject(reply, 403, 'Cross-origin requests are not allowed')
  } else next()
}

function reject(reply: FastifyReply, status: number, title: string, detail?: string, reason?: string): FastifyReply {
  const problem = {
    type: 'about:blank',
    title,
    status,
    ...(detail !== undefined && { detail }),
    ...(reason !== undefined && { reason }),
  }
  return reply.code(status).type(PROBLEM).send(JSON.stringify(problem))
}

function serveHealth(app: FastifyInstance, data: AdminData): void {
  const health = (path: string, read: () => readonly string[], healthy: string, unhealthy: string) =>
    app.get(path, { schema: { response: { '2xx': RESPONSES.health, '5xx': RESPONSES.health } } }, (_, reply) => {
      const reasons = read()
      reply.code(reasons.length === 0 ? 200 : 503).send({ status: reasons.length === 0 ? healthy : unhealthy, reasons })
    })
  health('/healthz', () => data.unhealthy(), 'ok', 'failing')
  health('/readyz', () => data.unready(), 'ready', 'not ready')
  app.get('/metrics', async (_, reply) => {
    const { contentType, body } = await data.metrics()
    return reply.header('content-type', contentType).send(body)
  })
  app.get('/api/v1/version', { schema: { response: { '2xx': RESPONSES.version } } }, () => data.version())
  app.get('/', { schema: { response: { '2xx': RESPONSES.index } } }, () => ({ paths: PATHS }))
}

const PATHS = [
  '/healthz',
  '/readyz',
  '/metrics',
  '/api/v1/version',
  '/api/v1/routes',
  '/api/v1/backends',
  '/api/v1/statuses',
  '/api/v1/problems',
  '/api/v1/config',
  ...REGISTRATION_PATHS,
  ...CACHE_PATHS,
  EXPLAIN_PATH,
]

/** Of requests that are no requests of this API. */
const REASONS: Readonly<Record<number, string>> = { 413: 'BodyTooLarge', 415: 'UnsupportedMediaType' }

interface PageQuery {
  readonly offset?: string
  readonly limit?: string
}

function serveLists(app: FastifyInstance, data: AdminData): void {
  const list = <Row>(
    name: 'routes' | 'backends' | 'statuses' | 'problems' | 'config',
    readFrom: (offset: number) => Iterable<Row>,
    sizeOf?: (row: Row) => number,
  ) =>
    app.get<{ Querystring: PageQuery }>(
      `/api/v1/${name}`,
      { schema: { querystring: PAGE_QUERY, response: { '2xx': RESPONSES[name] } } },
      (request) => pageOf(readFrom, request.query, sizeOf),
    )
  list(
    'routes',
    skipping(() => data.routes()),
  )
  list(
    'backends',
    (offset) => data.backends(offset),
    ({ endpoints }) => endpoints.length,
  )
  list(
    'statuses',
    skipping(() => data.statuses()),
  )
  list(
    'problems',
    skipping(() => data.problems()),
  )
  list(
    'config',
    skipping(() => data.settings()),
  )
}

/** Of a list whose rows cost little. */
function skipping<Row>(read: () => Iterable<Row>): (offset: number) => Iterable<Row> {
  return (offset) => Iterator.from(read()).drop(offset)
}

/**
 * @param readFrom the list from an offset on
 * @param sizeOf of what has parts: a page ends early where they are many
 */
function pageOf<Row>(
  readFrom: (offset: number) => Iterable<Row>,
  query: PageQuery,
  sizeOf: (row: Row) => number = () => 0,
): { items: Row[]; next?: number } {
  const offset = Number(query.offset ?? 0)
  const limit = Math.min(Math.max(1, Number(query.limit ?? PAGE_ROWS)), MAX_PAGE_ROWS)
  const items: Row[] = []
  let parts = 0
  for (const item of readFrom(offset)) {
    const size = sizeOf(item)
    if (items.length === limit || (items.length > 0 && parts + size > MAX_PAGE_PARTS))
      return { items, next: offset + items.length }
    parts += size
    items.push(item)
  }
  return { items }
}
