/** Endpoints that speak HTTP/2, as the Backend's protocol says, and clients of both protocols. */

import { H2Clients } from '../lib/h2-rig.ts'
import { H2C_UPSTREAMS, STREAMS } from '../lib/h2-upstreams.ts'
import { HttpClients, type SocketClients, socketGateway } from '../lib/socket-rig.ts'
import { grpcSuite } from '../suite/grpc.ts'
import type { TransportRig } from '../suite/transport-rig.ts'

const MIB = 1024 * 1024

function rig(large: number, clientsOf: (port: number) => SocketClients | Promise<SocketClients>): TransportRig {
  return {
    capacity: STREAMS,
    plainUpgrades: false,
    large,
    gateway: (scope, options) => socketGateway(scope, options, clientsOf, H2C_UPSTREAMS),
  }
}

grpcSuite(
  'over HTTP/2',
  rig(4 * MIB, (port) => H2Clients.connect(port)),
)
grpcSuite(
  'from HTTP/1.1 to HTTP/2',
  rig(20 * MIB, (port) => new HttpClients(port)),
)
