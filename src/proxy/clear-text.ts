/** The clear-text protocol: serves an accepted socket as one HTTP/1.1 connection. */
import type { Socket } from 'node:net'
import type { Peer } from '../transport/peer.ts'
import { adopt } from './accepted-socket.ts'
import { H1Connection } from './downstream-h1.ts'
import type { ClientProtocol, ServerContext } from './server-context.ts'

export const clearText: ClientProtocol = {
  accept(socket: Socket, peer: Peer, context: ServerContext, early: Buffer | null): void {
    const connection = new H1Connection((receive) => adopt(socket, receive), peer, context)
    if (early !== null && early.length > 0) connection.receive(early)
  },
}
