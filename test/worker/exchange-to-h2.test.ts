import { H2C_UPSTREAMS, STREAMS } from '../lib/h2-upstreams.ts'
import { HttpClients, socketGateway } from '../lib/socket-rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import type { TransportRig } from '../suite/transport-rig.ts'
import { tunnelSuite } from '../suite/tunnel.ts'

const toH2: TransportRig = {
  capacity: STREAMS,
  plainUpgrades: true,
  large: 24 * 1024 * 1024,
  gateway: (scope, options) => socketGateway(scope, options, (port) => new HttpClients(port), H2C_UPSTREAMS),
}

exchangeSuite('to HTTP/2', toH2)
tunnelSuite('to HTTP/2', toH2)
