/** Connections to endpoints in clear: TCP, and what is spoken on it. */
import type { Endpoint } from '../balance/endpoint.ts'
import { H1Session } from '../http1/upstream-h1.ts'
import { type OutgoingSocket, openTcp } from '../socket/outgoing-socket.ts'
import type { Connector, PendingConnection, SessionOwner, UpstreamSession } from '../transport/connector.ts'
import { connectFault } from './connect-fault.ts'

type Session = new (connection: OutgoingSocket, owner: SessionOwner) => UpstreamSession

/** @param session what an open connection is given to */
export function tcpConnectorOf(session: Session): Connector {
  return {
    connect(endpoint: Endpoint, owner: SessionOwner, first?: Uint8Array): PendingConnection {
      const connection = openTcp(endpoint.address, endpoint.port)
      const { socket } = connection
      socket.once('connect', () => {
        socket.removeAllListeners('error')
        if (first !== undefined) socket.write(first)
        owner.connected(new session(connection, owner))
      })
      socket.once('error', (error) => owner.connectFailed(connectFault(error, endpoint.authority)))
      return {
        cancel() {
          socket.removeAllListeners()
          socket.on('error', () => {})
          socket.destroy()
        },
      }
    },
  }
}

export const tcpConnector: Connector = tcpConnectorOf(H1Session)
