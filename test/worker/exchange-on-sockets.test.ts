import { socketRig } from '../lib/socket-rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import { tunnelSuite } from '../suite/tunnel.ts'

exchangeSuite('on sockets', socketRig)
tunnelSuite('on sockets', socketRig)
