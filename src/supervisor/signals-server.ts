/**
 * `/healthz`, `/readyz` and `/metrics` on a port of their own, answered by the supervisor: whether the process lives
 * must be answerable when everything else is busy. Metrics come from the control thread by message.
 */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Milliseconds } from '../lib/clock.ts'
import type { Address } from './ports.ts'

export interface Signs {
  /** Empty = alive and well; otherwise what is wrong. */
  trouble(): string
  /** Empty = traffic may be sent here; otherwise what is missing. */
  unready(): string
  /** Said beside the readiness; empty = nothing. */
  remark(): string
  /** Undefined while the control thread is away. */
  metrics(): Promise<{ readonly contentType: string; readonly body: string } | undefined>
}

/** A probe that takes longer than this has given up anyway. */
const REQUEST_WITHIN: Milliseconds = 5_000
const IDLE: Milliseconds = 5_000
const LOOK_EVERY: Milliseconds = 1_000
const MAX_CONNECTIONS = 64

export function openSignals(address: Address, signs: Signs): Promise<Server> {
  const server = createServer(
    { connectionsCheckingInterval: LOOK_EVERY, keepAliveTimeout: IDLE },
    (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD')
        return say(response, 405, 'only GET and HEAD are served here\n')
      const path = request.url?.split('?', 1)[0]
      if (path === '/healthz') return verdict(response, signs.trouble())
      if (path === '/readyz') return verdict(response, signs.unready(), signs.remark())
      if (path === '/metrics') return void metrics(response, signs)
      say(response, 404, 'served here: /healthz /readyz /metrics\n')
    },
  )
  server.headersTimeout = REQUEST_WITHIN
  server.requestTimeout = REQUEST_WITHIN
  keepRoom(server)
  server.unref()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: address.port, ...(address.host && { host: address.host }) }, () => resolve(server))
  })
}

/**
 * When there are too many connections the oldest goes: whoever opens them and says nothing must not keep the probes
 * out.
 */
function keepRoom(server: Server): void {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    if (open.size <= MAX_CONNECTIONS) return
    const [oldest] = open
    open.delete(oldest!)
    oldest!.destroy()
  })
}

function verdict(response: ServerResponse, objection: string, remark = ''): void {
  const text = objection === '' ? 'ok' : objection
  say(response, objection === '' ? 200 : 503, remark === '' ? `${text}\n` : `${text}; ${remark}\n`)
}

async function metrics(response: ServerResponse, signs: Signs): Promise<void> {
  const answer = await signs.metrics()
  if (answer === undefined)
    say(response, 503, 'the control thread cannot answer now: it is being replaced, or the log says why\n')
  else say(response, 200, answer.body, answer.contentType)
}

function say(response: ServerResponse, status: number, body: string, contentType = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}
