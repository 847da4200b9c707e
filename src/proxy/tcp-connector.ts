/** Connections to endpoints in clear: TCP, and HTTP/1.1 on it. */
import type { Endpoint } from '../balance/endpoint.ts'
import { GatewayError } from '../lib/error.ts'
import type { Connector, PendingConnection, SessionOwner } from '../transport/connector.ts'
import { OutgoingSocket } from './outgoing-socket.ts'
import { H1Session } from './upstream-h1.ts'

export const tcpConnector: Connector = {
  connect(endpoint: Endpoint, owner: SessionOwner): PendingConnection {
    const connection = new OutgoingSocket(endpoint.address, endpoint.port)
    const { socket } = connection
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      owner.connected(new H1Session(connection, owner))
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? error.message
      const reason = code === 'ETIMEDOUT' ? 'ConnectTimeout' : 'ConnectFailure'
      owner.connectFailed(new GatewayError(reason, `${endpoint.authority}: ${code}`))
    })
    return {
      cancel() {
        socket.removeAllListeners()
        socket.on('error', () => {})
        socket.destroy()
      },
    }
  },
}
