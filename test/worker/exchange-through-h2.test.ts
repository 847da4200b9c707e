import { H2Clients } from '../lib/h2-rig.ts'
import { H2C_UPSTREAMS, STREAMS } from '../lib/h2-upstreams.ts'
import { socketGateway } from '../lib/socket-rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import type { TransportRig } from '../suite/transport-rig.ts'
import { tunnelSuite } from '../suite/tunnel.ts'

const throughH2: TransportRig = {
  capacity: STREAMS,
  plainUpgrades: false,
  large: 24 * 1024 * 1024,
  gateway: (scope, options) => socketGateway(scope, options, (port) => H2Clients.connect(port), H2C_UPSTREAMS),
}

exchangeSuite('from HTTP/2 to HTTP/2', throughH2)
tunnelSuite('from HTTP/2 to HTTP/2', throughH2)
