/** WebSockets of `ws` on streams of node:http2, which `ws` itself does not open (RFC 8441). */
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { Scope } from '../worker/test-plane.ts'

/** What `ws` does with the socket of a handshake, either side. */
interface Joinable {
  _isServer: boolean
  setSocket(socket: Duplex, head: Buffer, options: object): void
}

export function joined(stream: Duplex, isServer: boolean): WebSocket {
  const socket = new WebSocket(null as unknown as string, undefined, {
    autoPong: true,
    closeTimeout: 30_000,
  } as object) as WebSocket & Joinable
  socket._isServer = isServer
  socket.setSocket(stream, Buffer.alloc(0), { maxPayload: 64 << 20, allowSynchronousEvents: true })
  return socket
}

export async function h2Session(scope: Scope, url: string, options: object = {}): Promise<ClientHttp2Session> {
  const session = connect(url, options)
  session.on('error', () => {})
  scope.after(() => session.destroy())
  await once(session, 'remoteSettings')
  return session
}

export interface Opened {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly stream: ClientHttp2Stream
}

/** An extended CONNECT, and its response. */
export async function extendedConnect(
  session: ClientHttp2Session,
  authority: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Opened> {
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':path': '/chat?room=1',
      ':authority': authority,
      'sec-websocket-version': '13',
      ...more,
    },
    { endStream: false },
  )
  stream.on('error', () => {})
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status': number }]
  return { status: headers[':status'], headers, stream }
}

export interface H2WebSocketServer {
  readonly port: number
  /** Of the newest handshake. */
  readonly asked: () => IncomingHttpHeaders | undefined
}

/** Agrees to each extended CONNECT, and sends each message back. */
export async function h2WebSocketServer(scope: Scope, enableConnectProtocol = true): Promise<H2WebSocketServer> {
  const server = createServer({ settings: { enableConnectProtocol } })
  const sessions = new Set<ServerHttp2Session>()
  let asked: IncomingHttpHeaders | undefined
  server.on('session', (session) => {
    sessions.add(session)
    session.on('error', () => {})
  })
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    asked = headers
    stream.on('error', () => {})
    if (headers[':method'] !== 'CONNECT') return void stream.respond({ ':status': 204 }, { endStream: true })
    stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat' })
    const socket = joined(stream, true)
    socket.on('message', (data, binary) => socket.send(data as Buffer, { binary }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  return { port: (server.address() as AddressInfo).port, asked: () => asked }
}
