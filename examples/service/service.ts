/**
 * The example service: it answers with what it received, so that rewrites and header edits can be seen, and misbehaves
 * as it is told to, so that time-outs, retries and refusals can be seen.
 */
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { type Behaviour, changed, latencyOf, QUIET } from './behaviour.ts'

const MAX_CHUNKS = 10_000
const MAX_CONTROL_BYTES = 64 * 1024

/** Not listening yet. */
export function createService(start: Partial<Behaviour> = {}): FastifyInstance {
  let behaviour = changed(QUIET, start)
  let served = 0
  const app = fastify({ forceCloseConnections: true, bodyLimit: 1024 ** 3, exposeHeadRoutes: false })
  // Bodies are counted as they pass, whatever their type: nothing is held in memory.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.get('/healthz', async (_request, reply) => await sign(reply, behaviour.healthy))
  app.get('/readyz', async (_request, reply) => await sign(reply, behaviour.ready))
  app.get('/_control', async () => ({ ...behaviour, served }))
  app.put('/_control', async (request, reply) => {
    try {
      behaviour = changed(behaviour, JSON.parse(await textOf(request)))
      return behaviour
    } catch (error) {
      return await reply.code(400).send({ error: (error as Error).message })
    }
  })

  app.all('/*', async (request, reply) => {
    served++
    const now = behaviour
    const bodyBytes = await countBytes(request)
    const wait = numberOf(request, 'latency', 600_000) ?? latencyOf(now, Math.random())
    if (wait > 0) await delay(wait)
    reply.header('x-served-by', now.name)
    if (Math.random() < now.resetRate) {
      reply.hijack()
      request.raw.socket.resetAndDestroy()
      return reply
    }
    if (Math.random() < now.errorRate)
      return await reply.code(now.errorStatus).send({ error: `${now.name} was told to fail` })
    return await answer(request, reply, now, bodyBytes)
  })
  return app
}

/** `?chunks=N&every=MS` streams, `?size=BYTES` gives plain text, `?status=CODE` sets the status; else a JSON echo. */
async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  behaviour: Behaviour,
  bodyBytes: number,
): Promise<FastifyReply> {
  const status = numberOf(request, 'status', 599)
  if (status !== undefined && status >= 200) reply.code(status)
  const chunks = numberOf(request, 'chunks', MAX_CHUNKS)
  if (chunks !== undefined) {
    reply.type('text/plain')
    return await reply.send(Readable.from(lines(behaviour.name, chunks, numberOf(request, 'every', 60_000) ?? 0)))
  }
  const size = numberOf(request, 'size', 100 * 1024 * 1024) ?? behaviour.size
  if (size > 0) return await reply.type('text/plain').send('x'.repeat(size))
  return await reply.send({
    servedBy: behaviour.name,
    method: request.method,
    path: request.url,
    bodyBytes,
    headers: request.headers,
  })
}

async function* lines(name: string, count: number, every: number): AsyncGenerator<string> {
  for (let i = 1; i <= count; i++) {
    if (i > 1 && every > 0) await delay(every)
    yield `${name}: line ${i} of ${count}\n`
  }
}

async function sign(reply: FastifyReply, good: boolean): Promise<FastifyReply> {
  return await reply.code(good ? 200 : 503).send({ status: good ? 'ok' : 'failing' })
}

async function countBytes(request: FastifyRequest): Promise<number> {
  let bytes = 0
  for await (const chunk of bodyOf(request)) bytes += chunk.length
  return bytes
}

async function textOf(request: FastifyRequest): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of bodyOf(request)) {
    bytes += chunk.length
    if (bytes > MAX_CONTROL_BYTES) throw new TypeError(`at most ${MAX_CONTROL_BYTES} bytes are expected`)
    parts.push(chunk)
  }
  return Buffer.concat(parts).toString()
}

/** Without a Content-Type no parser runs, and the body is still in the raw request. */
function bodyOf(request: FastifyRequest): AsyncIterable<Buffer> {
  return (request.body ?? request.raw) as AsyncIterable<Buffer>
}

function numberOf(request: FastifyRequest, name: string, most: number): number | undefined {
  const text = (request.query as Record<string, unknown>)[name]
  if (typeof text !== 'string' || !/^\d+$/.test(text)) return undefined
  return Math.min(Number(text), most)
}
