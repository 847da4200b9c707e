import { memoryRig } from '../lib/memory/rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import { tunnelSuite } from '../suite/tunnel.ts'

for (const [how, capacity] of [
  ['in memory', 1],
  ['in memory, many requests a connection', 100],
] as const) {
  exchangeSuite(how, memoryRig(capacity))
  tunnelSuite(how, memoryRig(capacity))
}
