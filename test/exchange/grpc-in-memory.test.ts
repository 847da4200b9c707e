import { memoryRig } from '../lib/memory/rig.ts'
import { grpcSuite } from '../suite/grpc.ts'

grpcSuite('in memory', memoryRig(100))
