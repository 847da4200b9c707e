/**
 * Serves `/healthz`, `/readyz` and `/metrics` on a port of their own. The supervisor answers, so that probes succeed
 * while the other threads are busy; the control thread supplies the metrics by message.
 */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Milliseconds } from '../lib/clock.ts'
import type { SocketAddress } from '../pattern/host.ts'

export interface HealthReport {
  /** Why the process is unhealthy; empty when it is healthy. */
  unhealthy(): string
  /** Why the process is not ready for traffic; empty when it is ready. */
  unready(): string
  /** A notice in the body of `/readyz` that does not change its status; may be empty. */
  notice(): string
  /** Undefined while the control thread does not run. */
  metrics(): Promise<{ readonly contentType: string; readonly body: string } | undefined>
}

/** Exceeds the timeout of usual probes. */
const REQUEST_TIMEOUT: Milliseconds = 5_000
const KEEP_ALIVE_TIMEOUT: Milliseconds = 5_000
const CHECK_INTERVAL: Milliseconds = 1_000
const MAX_CONNECTIONS = 64

export function openSignalsServer(address: SocketAddress, report: HealthReport): Promise<Server> {
  const server = createServer(
    { connectionsCheckingInterval: CHECK_INTERVAL, keepAliveTimeout: KEEP_ALIVE_TIMEOUT },
    (request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD')
        return respond(response, 405, 'only GET and HEAD are allowed\n')
      const path = request.url?.split('?', 1)[0]
      if (path === '/healthz') return respondHealth(response, report.unhealthy())
      if (path === '/readyz') return respondHealth(response, report.unready(), report.notice())
      if (path === '/metrics') return void respondMetrics(response, report)
      respond(response, 404, 'available paths: /healthz /readyz /metrics\n')
    },
  )
  server.headersTimeout = REQUEST_TIMEOUT
  server.requestTimeout = REQUEST_TIMEOUT
  limitConnections(server)
  server.unref()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: address.port, ...(address.host && { host: address.host }) }, () => resolve(server))
  })
}

/** Closes the oldest connection above the limit, so that idle connections cannot lock out the probes. */
function limitConnections(server: Server): void {
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

function respondHealth(response: ServerResponse, problem: string, notice = ''): void {
  const text = problem === '' ? 'ok' : problem
  respond(response, problem === '' ? 200 : 503, notice === '' ? `${text}\n` : `${text}; ${notice}\n`)
}

async function respondMetrics(response: ServerResponse, report: HealthReport): Promise<void> {
  const exposition = await report.metrics()
  if (exposition === undefined)
    respond(response, 503, 'the control thread does not respond: it is restarting, or the log contains the cause\n')
  else respond(response, 200, exposition.body, exposition.contentType)
}

function respond(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}
