/** `POST /api/v1/explain`: a body, since a request may have credentials that do not belong in a URL. */
import type { FastifyInstance } from 'fastify'
import type { ExplainBody, Explanations } from './explanations.ts'
import type { Reject } from './registration-routes.ts'
import { RESPONSES } from './response-schemas.ts'

export const EXPLAIN_PATH = '/api/v1/explain'
/** Bytes: as much as a request may have in its head, and JSON around it. */
const MAX_BODY = 131_072
const MAX_URL = 8_192
const MAX_HEADERS = 100
const MAX_VALUE = 16_384

const text = (maxLength: number, pattern?: string) =>
  ({ type: 'string', minLength: 1, maxLength, ...(pattern !== undefined && { pattern }) }) as const

/** RFC 9110 §5.6.2. */
const TOKEN = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"

const BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['url'],
  properties: {
    url: text(MAX_URL),
    method: text(32, TOKEN),
    headers: {
      type: 'array',
      maxItems: MAX_HEADERS,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name', 'value'],
        properties: {
          name: text(256, TOKEN),
          // Nothing that a codec would refuse (RFC 9110 §5.5).
          value: { type: 'string', maxLength: MAX_VALUE, pattern: '^[^\\u0000-\\u0008\\u000a-\\u001f\\u007f]*$' },
        },
      },
    },
    client: text(64),
    listener: text(63),
  },
} as const

/** Methods of its path, for a request with another one; undefined for other paths. */
export function explainMethodsOf(path: string): string | undefined {
  return path.split('?', 1)[0] === EXPLAIN_PATH ? 'POST' : undefined
}

export function serveExplain(app: FastifyInstance, explanations: Explanations, reject: Reject): void {
  app.post<{ Body: ExplainBody }>(
    EXPLAIN_PATH,
    { schema: { body: BODY, response: { '2xx': RESPONSES.explain } }, bodyLimit: MAX_BODY },
    async ({ body }, reply) => {
      const outcome = await explanations.explain(body)
      if (outcome.ok) return reply.send(outcome.view)
      return reject(reply, outcome.status, outcome.title, outcome.detail, outcome.reason)
    },
  )
}
