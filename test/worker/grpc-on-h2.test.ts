import { h2Rig } from '../lib/h2-rig.ts'
import { grpcSuite } from '../suite/grpc.ts'

grpcSuite('over HTTP/2', h2Rig)
