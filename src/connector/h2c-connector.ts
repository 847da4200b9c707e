/** Connections to endpoints in clear, with HTTP/2 by prior knowledge on them (RFC 9113 §3.3). */
import type { Endpoint } from '../balance/endpoint.ts'
import { H2Session } from '../http2/upstream-h2.ts'
import { openTcp } from '../socket/outgoing-socket.ts'
import type { Connector, PendingConnection, SessionOwner } from '../transport/connector.ts'
import type { Timers } from '../transport/timers.ts'
import { connectFault } from './connect-fault.ts'

export class H2cConnector implements Connector {
  readonly expectedCapacity = 100
  readonly #timers: Timers

  constructor(timers: Timers) {
    this.#timers = timers
  }

  connect(endpoint: Endpoint, owner: SessionOwner, first?: Uint8Array): PendingConnection {
    const connection = openTcp(endpoint.address, endpoint.port)
    const { socket } = connection
    let session: PendingConnection | null = null
    const { authority } = endpoint
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      if (first !== undefined) socket.write(first)
      session = H2Session.begin(connection, owner, { scheme: 'http', timers: this.#timers, authority })
    })
    socket.once('error', (error) => owner.connectFailed(connectFault(error, authority)))
    return {
      cancel() {
        if (session !== null) return session.cancel()
        socket.removeAllListeners()
        socket.on('error', () => {})
        socket.destroy()
      },
    }
  }
}
