import { h2Rig } from '../lib/h2-rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import { tunnelSuite } from '../suite/tunnel.ts'

exchangeSuite('over HTTP/2', h2Rig)
tunnelSuite('over HTTP/2', h2Rig)
