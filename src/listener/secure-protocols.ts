/** What is spoken within TLS, by its name in ALPN (RFC 7301), in the order of the gateway's preference. */
import type { TLSSocket } from 'node:tls'
import { H1Connection } from '../http1/downstream-h1.ts'
import { H2Connection } from '../http2/downstream-h2.ts'
import type { ServerContext } from '../socket/server-context.ts'
import type { Peer } from '../transport/peer.ts'

/** @param socket its handshake is complete, and nothing was read since */
export type SecureProtocol = (socket: TLSSocket, peer: Peer, context: ServerContext) => void

export const SECURE_PROTOCOLS: ReadonlyMap<string, SecureProtocol> = new Map<string, SecureProtocol>([
  ['h2', serveHttp2],
  ['http/1.1', serveHttp1],
  ['http/1.0', serveHttp1],
])

/** A client that names no protocol speaks HTTP/1.1. */
export function serveHttp1(socket: TLSSocket, peer: Peer, context: ServerContext): void {
  new H1Connection((receive) => socket.on('data', receive), peer, context)
}

function serveHttp2(socket: TLSSocket, peer: Peer, context: ServerContext): void {
  new H2Connection((receive) => socket.on('data', receive), peer, context)
}
