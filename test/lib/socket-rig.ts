/** The exchange on sockets: the real listeners and pools, with node:http at both ends. */
import { once } from 'node:events'
import {
  Agent,
  createServer,
  type ClientRequest as HttpClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { tcpConnector } from '../../src/connector/tcp-connector.ts'
import { acceptOf, KEY_FIELD } from '../../src/message/websocket-handshake.ts'
import type { Connector } from '../../src/transport/connector.ts'
import { deafPort, listening, until } from '../socket/sockets.ts'
import type {
  Asking,
  ClientRequest,
  FieldMap,
  GatewayOptions,
  ReceivedHead,
  ReceivedResponse,
  Scope,
  ServedRequest,
  TransportGateway,
  TransportRig,
  TunnelEnd,
} from '../suite/transport-rig.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { KEY } from './websocket-lines.ts'

/** Clients of one gateway. */
export interface SocketClients {
  ask(asking: Asking): ClientRequest
  /** They send no more requests: connections that lie idle are closed. */
  leave(): void
  /** The test is over. */
  close(): void
}

/** Counts the connections that its servers accept. */
export interface ConnectionCounter {
  connections: number
}

/** Endpoints, and how a gateway comes to them. */
export interface SocketUpstreams {
  /** @returns the port of a server whose requests the script serves */
  serve(scope: Scope, script: (request: ServedRequest) => void, counter: ConnectionCounter): Promise<number>
  readonly connector: Connector
}

export const HTTP_UPSTREAMS: SocketUpstreams = { serve: serveHttp, connector: tcpConnector }

/** A gateway between clients and upstreams of some protocol. */
export async function socketGateway(
  scope: Scope,
  options: GatewayOptions,
  clientsOf: (port: number) => SocketClients | Promise<SocketClients>,
  { serve, connector }: SocketUpstreams = HTTP_UPSTREAMS,
): Promise<TransportGateway> {
  const counter = { connections: 0 }
  const upstreams: number[] = []
  for (const script of options.upstreams)
    upstreams.push(typeof script === 'function' ? await serve(scope, script, counter) : await portOf(scope, script))
  const gateway = await inProcess(scope, { ...options, upstreams, connector })
  const clients = await clientsOf(gateway.port)
  scope.after(() => clients.close())
  return new SocketGateway(gateway, clients, counter)
}

export const socketRig: TransportRig = {
  capacity: 1,
  plainUpgrades: true,
  large: 24 * 1024 * 1024,
  gateway: (scope, options) => socketGateway(scope, options, (port) => new HttpClients(port)),
}

async function portOf(scope: Scope, script: 'deaf' | 'refusing'): Promise<number> {
  if (script === 'deaf') return deafPort(scope)
  const { port, server } = await listening(scope, () => {})
  server.close()
  return port
}

/** TLS cannot be reset: it ends without `close_notify`. */
function cut(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

/** @param server of node:http, or of node:https */
export async function serveHttp(
  scope: Scope,
  script: (request: ServedRequest) => void,
  counter: ConnectionCounter,
  server: Server = createServer(),
): Promise<number> {
  server.on('request', (req, res) => script(new HttpServed(req, res)))
  server.on('upgrade', (req: IncomingMessage, socket: Socket, early: Buffer) => {
    const res = new ServerResponse(req)
    res.assignSocket(socket)
    script(new HttpServed(req, res, early))
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    counter.connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

class SocketGateway implements TransportGateway {
  readonly #inProcess: InProcess
  readonly #clients: SocketClients
  readonly #counter: { readonly connections: number }

  constructor(gateway: InProcess, clients: SocketClients, counter: { readonly connections: number }) {
    this.#inProcess = gateway
    this.#clients = clients
    this.#counter = counter
  }

  ask(asking: Asking = {}): ClientRequest {
    return this.#clients.ask(asking)
  }

  get connections(): number {
    return this.#counter.connections
  }

  pass(milliseconds: number): Promise<void> {
    return delay(milliseconds)
  }

  until(holds: () => boolean, what?: string): Promise<void> {
    return until(holds, what)
  }

  log(): readonly Readonly<Record<string, unknown>>[] {
    return this.#inProcess.log()
  }

  async nothingLeft(): Promise<void> {
    this.#clients.leave()
    await this.#inProcess.nothingLeft()
  }

  get errors(): readonly unknown[] {
    return this.#inProcess.errors
  }
}

export class HttpClients implements SocketClients {
  readonly #port: number
  readonly #agent = new Agent({ keepAlive: true })
  readonly #requests: HttpRequest[] = []

  constructor(port: number) {
    this.#port = port
  }

  ask(asking: Asking): ClientRequest {
    const request = new HttpRequest(this.#port, this.#agent, asking)
    this.#requests.push(request)
    return request
  }

  leave(): void {
    this.#agent.destroy()
  }

  close(): void {
    this.#agent.destroy()
    for (const request of this.#requests) request.close()
  }
}

export function fieldMap(headers: Readonly<Record<string, string | string[] | undefined>>): FieldMap {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value].flat().join(', ')]))
}

class HttpRequest implements ClientRequest {
  readonly #req: HttpClientRequest
  readonly #head = Promise.withResolvers<ReceivedHead>()
  readonly #whole = Promise.withResolvers<ReceivedResponse>()
  readonly #upgraded = Promise.withResolvers<TunnelEnd>()
  #res: IncomingMessage | null = null
  /** Of the tunnel. */
  #socket: Socket | null = null
  #paused = false
  readonly interim: ReceivedHead[] = []

  constructor(port: number, agent: Agent, { method = 'GET', path = '/', fields, length, body, upgrade }: Asking) {
    for (const { promise } of [this.#head, this.#upgraded]) promise.catch(() => {})
    const headers: Record<string, string> = { host: 'rig.test', ...fields }
    if (length === 'unknown') headers['transfer-encoding'] = 'chunked'
    else if (length !== undefined || body !== undefined) headers['content-length'] = `${length ?? body!.length}`
    if (upgrade !== undefined) Object.assign(headers, { connection: 'upgrade', upgrade })
    if (upgrade === 'websocket') Object.assign(headers, { 'sec-websocket-key': KEY, 'sec-websocket-version': '13' })
    const half = { allowHalfOpen: true }
    const req = httpRequest({ host: '127.0.0.1', port, agent, method, path, headers, ...half })
    this.#req = req
    req.on('information', (info) => this.interim.push({ status: info.statusCode, fields: fieldMap(info.headers) }))
    req.on('response', (res) => this.#respond(res))
    req.on('upgrade', (res, socket: Socket, early: Buffer) => {
      this.#socket = socket
      this.#head.resolve({ status: 101, fields: fieldMap(res.headers) })
      this.#upgraded.resolve(new SocketEnd(socket, early))
    })
    req.on('error', () => this.#cut())
    req.on('close', () => this.#cut())
    if (body !== undefined) this.write(body)
    if (length === undefined) req.end()
    else req.flushHeaders()
  }

  #respond(res: IncomingMessage): void {
    this.#res = res
    const head = { status: res.statusCode!, fields: fieldMap(res.headers) }
    this.#head.resolve(head)
    const parts: Buffer[] = []
    const over = (complete: boolean): void => {
      const body = Buffer.concat(parts).toString('latin1')
      this.#whole.resolve({ ...head, body, trailers: fieldMap(res.trailers), complete })
    }
    res.on('data', (part: Buffer) => parts.push(part))
    res.on('end', () => over(res.complete))
    res.on('close', () => over(res.complete))
    res.on('error', () => {})
    if (this.#paused) res.pause()
  }

  #cut(): void {
    if (this.#res !== null) return
    this.#whole.resolve({ status: 0, fields: {}, body: '', trailers: {}, complete: false })
    this.#head.reject(new Error('no response'))
    this.#upgraded.reject(new Error('not upgraded'))
  }

  write(bytes: string | Buffer): void {
    this.#req.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  end(trailers?: FieldMap): void {
    if (trailers !== undefined) this.#req.addTrailers(trailers)
    this.#req.end()
  }

  get unsent(): number {
    return this.#req.writableLength + (this.#req.socket?.writableLength ?? 0)
  }

  pause(): void {
    this.#paused = true
    this.#res?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#res?.resume()
  }

  head(): Promise<ReceivedHead> {
    return this.#head.promise
  }

  response(): Promise<ReceivedResponse> {
    return this.#whole.promise
  }

  upgraded(): Promise<TunnelEnd> {
    return this.#upgraded.promise
  }

  vanish(): void {
    const { socket } = this.#req
    // Node leaks the handle of a socket that is reset while its FIN is on its way.
    if (socket?.writableEnded === true) socket.destroy()
    else socket?.resetAndDestroy()
  }

  /** The test is over. */
  close(): void {
    this.#req.destroy()
    this.#socket?.destroy()
  }
}

class HttpServed implements ServedRequest {
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  readonly #early: Buffer
  readonly #body: Buffer[] = []
  readonly #whole = Promise.withResolvers<string>()
  readonly method: string
  readonly target: string
  readonly fields: FieldMap
  received = 0
  gone = false

  constructor(req: IncomingMessage, res: ServerResponse, early: Buffer = Buffer.alloc(0)) {
    this.#req = req
    this.#res = res
    this.#early = early
    this.method = req.method!
    this.target = req.url!
    this.fields = fieldMap(req.headers)
    req.on('data', (part: Buffer) => {
      this.received += part.length
      this.#body.push(part)
    })
    req.on('end', () => this.#whole.resolve(Buffer.concat(this.#body).toString('latin1')))
    for (const each of [req, res]) each.on('error', () => {})
    res.on('close', () => {
      if (!res.writableFinished || !req.complete) this.gone = true
    })
    req.on('close', () => {
      if (!req.complete) this.gone = true
    })
  }

  body(): Promise<string> {
    return this.#whole.promise
  }

  get trailers(): FieldMap {
    return fieldMap(this.#req.trailers)
  }

  pause(): void {
    this.#req.pause()
  }

  resume(): void {
    this.#req.resume()
  }

  interim(status: number, fields: FieldMap): void {
    if (status === 103) this.#res.writeEarlyHints({ ...fields })
    else this.#res.writeProcessing()
  }

  head(status: number, fields: FieldMap = {}): void {
    this.#res.writeHead(status, { ...fields })
    this.#res.flushHeaders()
  }

  write(bytes: string | Buffer): void {
    this.#res.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  get unsent(): number {
    return this.#res.writableLength + (this.#res.socket?.writableLength ?? 0)
  }

  end(trailers?: FieldMap): void {
    if (trailers !== undefined) this.#res.addTrailers(trailers)
    this.#res.end()
  }

  respond(status: number, body = '', fields: FieldMap = {}): void {
    this.#res.writeHead(status, status === 204 ? { ...fields } : { 'content-length': `${body.length}`, ...fields })
    this.#res.end(Buffer.from(body, 'latin1'))
  }

  reset(): void {
    // Behind what was written before.
    setImmediate(() => cut(this.#req.socket))
  }

  upgrade(protocol: string): TunnelEnd {
    const socket = this.#req.socket
    this.#res.detachSocket(socket)
    socket.write(
      `HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: ${this.fields.upgrade}\r\n` +
        `sec-websocket-accept: ${acceptOf(this.fields[KEY_FIELD] ?? '')}\r\nx-upgraded: ${protocol}\r\n\r\n`,
    )
    return new SocketEnd(socket, this.#early)
  }
}

class SocketEnd implements TunnelEnd {
  readonly #socket: Socket
  received: string
  ended = false
  closed = false

  constructor(socket: Socket, early: Buffer) {
    this.#socket = socket
    this.received = early.toString('latin1')
    socket.on('data', (part: Buffer) => (this.received += part.toString('latin1')))
    socket.on('end', () => (this.ended = true))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.ended = true
      this.closed = true
    })
    socket.resume()
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    cut(this.#socket)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  get unsent(): number {
    return this.#socket.writableLength
  }
}
