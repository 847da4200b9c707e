/** A worker with clients and upstreams over HTTP/2. */
import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { realTimers } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import type { InProcessOptions, Scope } from './test-plane.ts'

export async function grpcGateway(scope: Scope, options: InProcessOptions): Promise<InProcess> {
  return inProcess(scope, { backend: { protocol: 'GRPC' }, connector: new H2cConnector(realTimers()), ...options })
}
