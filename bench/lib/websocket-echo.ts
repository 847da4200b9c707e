/**
 * A WebSocket origin as cheap as one can be: it agrees to the handshake and sends back the bytes it gets. The frames
 * keep their mask, which no client of a bench minds.
 *
 * `node websocket-echo.ts`: prints its port.
 */
import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

/** RFC 6455 §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

const server = createServer({ noDelay: true, allowHalfOpen: false }, (socket) => {
  socket.on('error', () => {})
  let head = Buffer.alloc(0)
  const handshake = (bytes: Buffer): void => {
    head = Buffer.concat([head, bytes])
    const end = head.indexOf('\r\n\r\n')
    if (end < 0) return
    socket.off('data', handshake)
    agree(socket, head.toString('latin1', 0, end))
    socket.on('data', (chunk: Buffer) => socket.write(chunk))
    if (head.length > end + 4) socket.write(head.subarray(end + 4))
  }
  socket.on('data', handshake)
})
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`),
)

function agree(socket: Socket, head: string): void {
  const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? ''
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
}
