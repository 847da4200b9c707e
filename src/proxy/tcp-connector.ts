/** Connections to endpoints in clear: TCP, and HTTP/1.1 on it. */
import type { Endpoint } from '../balance/endpoint.ts'
import type { Connector, PendingConnection, SessionOwner } from '../transport/connector.ts'
import { connectFault } from './connect-fault.ts'
import { openTcp } from './outgoing-socket.ts'
import { H1Session } from './upstream-h1.ts'

export const tcpConnector: Connector = {
  connect(endpoint: Endpoint, owner: SessionOwner, first?: Uint8Array): PendingConnection {
    const connection = openTcp(endpoint.address, endpoint.port)
    const { socket } = connection
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      if (first !== undefined) socket.write(first)
      owner.connected(new H1Session(connection, owner))
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
