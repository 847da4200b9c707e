/**
 * A gRPC backend over clear-text HTTP/2 that sends back the message it gets.
 *
 * `node grpc-origin.ts`: prints its port.
 */
import { createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'

const server = createServer({ settings: { maxConcurrentStreams: 1_000 } })
server.on('stream', (stream: ServerHttp2Stream) => {
  const chunks: Buffer[] = []
  stream.on('error', () => {})
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  stream.on('end', () => {
    if (stream.destroyed) return
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.end(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
  })
})
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`),
)
