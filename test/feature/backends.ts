/**
 * Tiny real backends for feature tests: one that tells what it received, one that speaks whatever bytes a test wants.
 */
import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Scope } from './harness.ts'

/** A port on which nothing listens: it was free a moment ago. */
export { freePort as closedPort } from '../../bench/lib/free-port.ts'

/** @param serve answers its requests @returns it listens, until the end of `scope` */
export async function httpBackend(scope: Scope, serve: RequestListener): Promise<HttpBackend> {
  const server = createHttpServer(serve)
  const port = await listen(server)
  scope.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { server, port }
}

export interface HttpBackend {
  readonly server: Server
  readonly port: number
}

/** What an echo backend received, also the JSON body of its answer. */
export interface Received {
  readonly name: string
  readonly method: string
  /** The target as it came. */
  readonly url: string
  /** Lower-case names; several values of one name are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  /** Latin-1 text of the body. */
  readonly body: string
  readonly trailers: Readonly<Record<string, string | undefined>>
}

export interface EchoBackend {
  readonly port: number
  readonly received: Received[]
  /** Connections that were opened to it. */
  readonly connections: number
}

/**
 * Answers 200 with a JSON {@link Received}, and with the status and headers that `x-answer-*` of the request ask for.
 */
export async function echoBackend(scope: Scope, name = 'echo'): Promise<EchoBackend> {
  const received: Received[] = []
  let connections = 0
  const { server, port } = await httpBackend(scope, (request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const headers: Record<string, string> = {}
      for (const [key, values] of Object.entries(request.headersDistinct)) headers[key] = values!.join(', ')
      const body = Buffer.concat(parts).toString('latin1')
      const entry: Received = {
        name,
        method: request.method!,
        url: request.url!,
        headers,
        body,
        trailers: request.trailers,
      }
      received.push(entry)
      const status = Number(headers['x-answer-status'] ?? 200)
      response.writeHead(status, { 'content-type': 'application/json', 'x-backend': name, server: 'echo' })
      response.end(status === 204 || status === 304 ? undefined : JSON.stringify(entry))
    })
  })
  server.keepAliveTimeout = 60_000
  server.on('connection', () => connections++)
  return {
    port,
    received,
    get connections() {
      return connections
    },
  }
}

export interface RawBackend {
  readonly port: number
  readonly sockets: Set<Socket>
}

/** @param serve called for each connection, with its number from 0 */
export async function rawBackend(scope: Scope, serve: (socket: Socket, number: number) => void): Promise<RawBackend> {
  const sockets = new Set<Socket>()
  let count = 0
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    serve(socket, count++)
  })
  const port = await listen(server)
  scope.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port, sockets }
}

/**
 * Calls back with each complete request head that arrives (bodies are for the test to read); returns what came after
 * it.
 */
export function onHead(socket: Socket, answer: (head: string, rest: Buffer) => void): void {
  let bytes = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    for (let end = bytes.indexOf('\r\n\r\n'); end >= 0; end = bytes.indexOf('\r\n\r\n')) {
      const head = bytes.toString('latin1', 0, end + 4)
      bytes = bytes.subarray(end + 4)
      answer(head, bytes)
    }
  })
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
