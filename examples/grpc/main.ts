/** Starts the example service of gRPC: `node examples/grpc/main.ts [--port 9021] [--host 127.0.0.1] [--name orders]`. */
import { parseArgs } from 'node:util'
import { startOrders } from './service.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '9021' },
    host: { type: 'string', default: '127.0.0.1' },
    name: { type: 'string', default: 'orders' },
  },
})
const service = await startOrders(values.name, `${values.host}:${values.port}`)
// Started by another program: never outlive it.
process.once('disconnect', () => process.exit())
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void service.close().then(() => process.exit()))
console.log(`${values.name} listens on ${values.host}:${service.port}`)
process.send?.('listening')
