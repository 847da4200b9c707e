/** Connections to endpoints in clear: TCP, and HTTP/1.1 on it. */
import type { Endpoint } from '../balance/endpoint.ts'
import type { Connector, PendingConnection, SessionOwner } from '../transport/connector.ts'
import { connectInClear } from './connect-in-clear.ts'
import { H1Session } from './upstream-h1.ts'

export const tcpConnector: Connector = {
  connect(endpoint: Endpoint, owner: SessionOwner, first?: Uint8Array): PendingConnection {
    return connectInClear(endpoint, owner, first, (connection) => new H1Session(connection, owner))
  },
}
