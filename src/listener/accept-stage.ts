/**
 * The way of an accepted socket to the connection that serves it: the PROXY header where the listener expects one, the
 * ClientHello where it speaks TLS, then the choice of who goes on with it. A socket of a clear-text listener without
 * PROXY headers takes none of these steps.
 */
import type { Socket } from 'node:net'
import type { CidrSet } from '../pattern/cidr.ts'
import type { ServerContext } from '../socket/server-context.ts'
import type { Peer, PeerListener } from '../transport/peer.ts'
import { clearText } from './clear-text.ts'
import { ProxyHeaderStep, type RefusedProxyHeader } from './proxy-header-step.ts'
import type { TlsAcceptor } from './tls-acceptor.ts'
import { endsOf, UnservedSocket } from './unserved-socket.ts'

/** What a listener expects of its clients. */
export interface StageListener extends PeerListener {
  /** They begin with a handshake. */
  readonly tls: boolean
  /** Before all else they begin with a PROXY header, and may do so from these addresses; null = they do not. */
  readonly proxies: CidrSet | null
}

export interface StageContext extends ServerContext {
  /** Serves the sockets of listeners that speak TLS. */
  readonly tls: TlsAcceptor
  /** A connection is closed for want of a PROXY header. */
  refusedProxyHeader(refusal: RefusedProxyHeader): void
}

/**
 * @param socket paused, not yet read
 * @param address of its other end, canonical
 */
export function acceptSocket(socket: Socket, address: string, listener: StageListener, context: StageContext): void {
  if (listener.proxies !== null) acceptProxied(socket, address, listener, listener.proxies, context)
  else if (listener.tls) context.tls.accept(new UnservedSocket(socket, address, listener, context), null)
  else clearText.accept(socket, directPeer(socket, address, listener), context, null)
}

function directPeer(socket: Socket, address: string, listener: PeerListener): Peer {
  return { address, connection: endsOf(socket, address), scheme: 'http', listener, tls: null }
}

function acceptProxied(
  socket: Socket,
  address: string,
  listener: StageListener,
  trusted: CidrSet,
  context: StageContext,
): void {
  if (!trusted.has(address)) {
    context.refusedProxyHeader({ reason: 'untrusted', address, listener })
    socket.destroy()
    return
  }
  const unserved = new UnservedSocket(socket, address, listener, context)
  const step = new ProxyHeaderStep(
    unserved,
    (refusal) => context.refusedProxyHeader(refusal),
    (connection, early) => {
      unserved.proxied = connection
      if (connection !== null) unserved.address = connection.sourceAddress
      if (listener.tls) return context.tls.accept(unserved, early)
      unserved.release()
      clearText.accept(socket, unserved.peerOf('http', null), context, early)
    },
  )
  unserved.read(step, null)
}
