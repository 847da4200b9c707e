/**
 * The way of an accepted socket to the connection that serves it: the PROXY header where the listener expects one, the
 * ClientHello where it speaks TLS, then the choice of who goes on with it. A socket of a clear-text listener without
 * PROXY headers takes none of these steps.
 */
import type { Socket } from 'node:net'
import type { PeerListener } from '../transport/peer.ts'
import { clearText } from './clear-text.ts'
import type { ServerContext } from './server-context.ts'
import type { TlsAcceptor } from './tls-acceptor.ts'
import { UnservedSocket } from './unserved-socket.ts'

/** What a listener expects of its clients. */
export interface StageListener extends PeerListener {
  /** They begin with a handshake. */
  readonly tls: boolean
}

export interface StageContext extends ServerContext {
  /** Serves the sockets of listeners that speak TLS. */
  readonly tls: TlsAcceptor
}

/**
 * @param socket paused, not yet read
 * @param address of its other end, canonical
 */
export function acceptSocket(socket: Socket, address: string, listener: StageListener, context: StageContext): void {
  if (listener.tls) context.tls.accept(new UnservedSocket(socket, address, listener, context), null)
  else clearText.accept(socket, { address, scheme: 'http', listener, tls: null }, context, null)
}
