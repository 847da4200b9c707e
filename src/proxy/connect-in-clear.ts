import type { Endpoint } from '../balance/endpoint.ts'
import type { PendingConnection, SessionOwner, UpstreamSession } from '../transport/connector.ts'
import { connectFault } from './connect-fault.ts'
import { type OutgoingSocket, openTcp } from './outgoing-socket.ts'

/**
 * Connects to an endpoint in clear.
 *
 * @param first bytes that stand before everything else
 * @param begin makes the session of the connection, which is open
 */
export function connectInClear(
  endpoint: Endpoint,
  owner: SessionOwner,
  first: Uint8Array | undefined,
  begin: (connection: OutgoingSocket) => UpstreamSession,
): PendingConnection {
  const connection = openTcp(endpoint.address, endpoint.port)
  const { socket } = connection
  socket.once('connect', () => {
    socket.removeAllListeners('error')
    if (first !== undefined) socket.write(first)
    owner.connected(begin(connection))
  })
  socket.once('error', (error) => owner.connectFailed(connectFault(error, endpoint.authority)))
  return {
    cancel() {
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.destroy()
    },
  }
}
