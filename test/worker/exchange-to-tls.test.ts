import { createServer } from 'node:https'
import { TlsConnector } from '../../src/connector/tls-connector.ts'
import { HTTP1, Secrets, tlsState } from '../connector/tls-endpoint.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { HttpClients, serveHttp, socketGateway } from '../lib/socket-rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import type { TransportRig } from '../suite/transport-rig.ts'
import { tunnelSuite } from '../suite/tunnel.ts'

const authority = new TestAuthority()
const { cert, key } = authority.server('up.test')
const secrets = new Secrets()
const options = { backend: 'default/up', tls: { ...secrets.ca(authority.ca), serverName: 'up.test' }, protocol: HTTP1 }

/** Endpoints of node:https behind the connector for TLS. */
const toTls: TransportRig = {
  capacity: 1,
  plainUpgrades: true,
  large: 24 * 1024 * 1024,
  gateway: (scope, given) =>
    socketGateway(scope, given, (port) => new HttpClients(port), {
      serve: (to, script, counter) => serveHttp(to, script, counter, createServer({ cert, key, allowHalfOpen: true })),
      connector: new TlsConnector(options, tlsState(secrets)),
    }),
}

exchangeSuite('to TLS', toTls)
tunnelSuite('to TLS', toTls)
