import { memoryRig } from '../lib/memory/rig.ts'
import { socketRig } from '../lib/socket-rig.ts'
import { filterSuite } from '../suite/filter.ts'

filterSuite('on sockets', socketRig)
filterSuite('in memory, one request a connection', memoryRig(1))
filterSuite('in memory, many requests a connection', memoryRig(4))
