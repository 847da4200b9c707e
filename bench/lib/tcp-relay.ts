/**
 * The bare TCP relay that tunnels are measured against: each connection piped to the target and back, nothing read.
 *
 * `node tcp-relay.ts TARGET-PORT`: prints its own port.
 */
import { type AddressInfo, connect, createServer } from 'node:net'

const target = Number(process.argv[2])
const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (client) => {
  const upstream = connect({ host: '127.0.0.1', port: target, noDelay: true, allowHalfOpen: true })
  client.on('error', () => upstream.destroy())
  upstream.on('error', () => client.destroy())
  client.pipe(upstream)
  upstream.pipe(client)
})
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`),
)
