import { socketRig } from '../lib/socket-rig.ts'
import { grpcSuite } from '../suite/grpc.ts'

// HTTP/1.1 at both ends, whatever the Backend's protocol says: chunks have trailers, too.
grpcSuite('on sockets', socketRig)
