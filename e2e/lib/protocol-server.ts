/**
 * The service of the pods that speak protocols: WebSocket (sends back text) with `/readyz` on one port, and gRPC over
 * clear-text HTTP/2 (sends back messages) on another. On SIGTERM it says goodbye on both: a close frame with 1001, and
 * GOAWAY.
 *
 * This file is mounted into the pod as it is, so it stands alone.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { createServer as createH2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const [websocketPort, grpcPort] = process.argv.slice(2).map(Number)
const tunnels = new Set<Duplex>()
const sessions = new Set<ServerHttp2Session>()

const http = createServer((request, response) => {
  response.writeHead(request.url === '/readyz' ? 200 : 404).end()
})
http.on('upgrade', (request, socket: Duplex, head: Buffer) => {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${GUID}`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  tunnels.add(socket)
  socket.on('error', () => {})
  socket.on('close', () => tunnels.delete(socket))
  let received = head
  const read = (): void => {
    for (let frame = frameOf(received); frame !== undefined; frame = frameOf(received)) {
      received = received.subarray(frame.end)
      if (frame.opcode === 8) socket.end(frameWith(8, frame.payload))
      else socket.write(frameWith(frame.opcode === 9 ? 10 : frame.opcode, frame.payload))
    }
  }
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    read()
  })
  socket.on('end', () => socket.end())
  read()
})

/** Of a client: masked, at most 125 bytes (RFC 6455 §5.2). */
function frameOf(bytes: Buffer): { opcode: number; payload: Buffer; end: number } | undefined {
  const length = (bytes[1] ?? 0) & 0x7f
  const end = 6 + length
  if (bytes.length < 6 || bytes.length < end) return undefined
  const payload = Buffer.from(bytes.subarray(6, end))
  for (let i = 0; i < length; i++) payload[i]! ^= bytes[2 + (i % 4)]!
  return { opcode: bytes[0]! & 0x0f, payload, end }
}

function frameWith(opcode: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x80 | opcode, payload.length]), payload])
}

const grpc = createH2Server()
grpc.on('session', (session: ServerHttp2Session) => {
  sessions.add(session)
  session.on('close', () => sessions.delete(session))
  session.on('error', () => {})
})
grpc.on('stream', (stream: ServerHttp2Stream) => {
  stream.on('error', () => {})
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.pipe(stream)
})

process.on('SIGTERM', () => {
  for (const tunnel of tunnels) tunnel.end(frameWith(8, Buffer.from([0x03, 0xe9])))
  for (const session of sessions) session.close()
  http.close()
  grpc.close()
  setTimeout(() => process.exit(0), 3_000).unref()
})
http.listen(websocketPort, '0.0.0.0')
grpc.listen(grpcPort, '0.0.0.0')
