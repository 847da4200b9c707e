/** TLS endpoints for tests, and a connector before them. */
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { type SecuredProtocol, TlsConnector, type UpstreamTlsState } from '../../src/connector/tls-connector.ts'
import { UpstreamContexts } from '../../src/connector/upstream-contexts.ts'
import { UpstreamSessions } from '../../src/connector/upstream-sessions.ts'
import { H1Session } from '../../src/http1/upstream-h1.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import type { UpstreamTls } from '../../src/snapshot/upstream-tls.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import type { SessionOwner, UpstreamSession } from '../../src/transport/connector.ts'
import type { Scope } from '../socket/sockets.ts'

export const HTTP1: SecuredProtocol = {
  alpn: 'http/1.1',
  withoutAlpn: true,
  expectedCapacity: 1,
  begin(connection, owner) {
    owner.connected(new H1Session(connection, owner))
    return null
  },
}

export interface TlsEndpoint {
  readonly port: number
  readonly server: Server
  /** Open connections whose handshake is complete. */
  readonly sockets: Set<TLSSocket>
}

/** A TLS server on 127.0.0.1 that ends with the test. */
export async function tlsEndpoint(
  scope: Scope,
  options: TlsOptions,
  serve: (socket: TLSSocket) => void = () => {},
): Promise<TlsEndpoint> {
  const sockets = new Set<TLSSocket>()
  const raw = new Set<Socket>()
  const server = createServer(options, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    serve(socket)
  })
  server.on('connection', (socket: Socket) => {
    raw.add(socket)
    socket.on('close', () => raw.delete(socket))
  })
  server.on('tlsClientError', () => {})
  return { port: await listen(scope, server, raw), server, sockets }
}

/** A server on 127.0.0.1 that says what it likes. */
export async function rawEndpoint(scope: Scope, serve: (socket: Socket) => void): Promise<number> {
  const raw = new Set<Socket>()
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    raw.add(socket)
    socket.on('error', () => {})
    serve(socket)
  })
  return listen(scope, server, raw)
}

async function listen(scope: Scope, server: Server, sockets: ReadonlySet<Socket>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

export const NO_TLS_OPTIONS: UpstreamTls = {
  ca: undefined,
  serverName: undefined,
  serviceName: undefined,
  clientCertificate: undefined,
  insecureSkipVerify: false,
}

/** Content ids of Secrets, and their bytes. */
export class Secrets {
  readonly contents = new ContentStore()

  put(id: string, pem: string | null): string {
    const bytes = pem === null ? null : new Uint8Array(new SharedArrayBuffer(Buffer.byteLength(pem)))
    if (pem !== null) Buffer.from(bytes!.buffer).write(pem, 'latin1')
    this.contents.apply([{ id, bytes }])
    return id
  }

  ca(pem: string): UpstreamTls {
    return { ...NO_TLS_OPTIONS, ca: this.put('Secret default/ca ca.crt headgate.dev/ca', pem) }
  }

  client({ cert, key }: { readonly cert: string; readonly key: string }): UpstreamTls['clientCertificate'] {
    return {
      secret: 'default/client',
      chain: this.put('Secret default/client tls.crt kubernetes.io/tls', cert),
      key: this.put('Secret default/client tls.key kubernetes.io/tls', key),
    }
  }
}

export function tlsState(secrets: Secrets, wall: () => number = Date.now): UpstreamTlsState {
  return { contexts: new UpstreamContexts(secrets.contents, systemTimers), sessions: new UpstreamSessions(wall) }
}

export type Outcome = { readonly session: UpstreamSession } | { readonly error: GatewayError }

/** One connection, or why there is none. */
export function dial(
  port: number,
  tls: UpstreamTls,
  state: UpstreamTlsState,
  { hostname, protocol = HTTP1 }: { readonly hostname?: string; readonly protocol?: SecuredProtocol } = {},
): Promise<Outcome> {
  const endpoint = {
    address: '127.0.0.1',
    port,
    authority: `127.0.0.1:${port}`,
    ...(hostname === undefined ? {} : { hostname }),
  } as Endpoint
  const outcome = Promise.withResolvers<Outcome>()
  const owner: SessionOwner = {
    limits: { head: 10_000, headers: 100, uri: 0 },
    connected: (session) => outcome.resolve({ session }),
    connectFailed: (error) => outcome.resolve({ error }),
    available() {},
    closed() {},
  }
  new TlsConnector({ backend: 'default/up', tls, protocol }, state).connect(endpoint, owner)
  return outcome.promise
}
