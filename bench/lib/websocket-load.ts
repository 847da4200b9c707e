/**
 * A WebSocket client that sends messages as fast as they come back: each connection keeps a number of them on their
 * way.
 *
 * `node websocket-load.ts '{"port":…,"host":"…","path":"/","seconds":4,"connections":64,"bytes":125,"depth":1}'`: prints
 * one line of JSON with the number of messages that came back, and of connections that failed.
 */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'

export interface WebSocketLoad {
  readonly port: number
  readonly host: string
  readonly path: string
  readonly seconds: number
  readonly connections: number
  /** Of the payload of a message. */
  readonly bytes: number
  /** Messages on their way on each connection. */
  readonly depth: number
}

export interface WebSocketResult {
  readonly messages: number
  readonly perSecond: number
  readonly failed: number
}

const options = JSON.parse(process.argv[2]!) as WebSocketLoad
const frame = maskedFrame(Buffer.alloc(options.bytes, 'x'))
const burst = Buffer.concat(Array.from({ length: options.depth }, () => frame))
let messages = 0
let failed = 0
let counting = false

/** A text frame as a client sends it (RFC 6455 §5.2). */
function maskedFrame(payload: Buffer): Buffer {
  const { length } = payload
  const head =
    length < 126
      ? Buffer.from([0x81, 0x80 | length])
      : length < 65_536
        ? Buffer.from([0x81, 0xfe, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 0, 0]), uint32(length)])
  const mask = randomBytes(4)
  for (let i = 0; i < length; i++) payload[i]! ^= mask[i % 4]!
  return Buffer.concat([head, mask, payload])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function open(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true })
    let head = ''
    let partial = 0
    socket.on('error', () => failed++)
    socket.on('close', () => resolve())
    socket.write(
      `GET ${options.path} HTTP/1.1\r\nhost: ${options.host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
        `sec-websocket-key: ${randomBytes(16).toString('base64')}\r\nsec-websocket-version: 13\r\n\r\n`,
    )
    const handshake = (bytes: Buffer): void => {
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', handshake)
      if (!head.startsWith('HTTP/1.1 101 ')) {
        failed++
        socket.destroy()
      }
      socket.on('data', (chunk: Buffer) => {
        partial += chunk.length
        const back = Math.floor(partial / frame.length)
        if (back === 0) return
        partial -= back * frame.length
        if (counting) messages += back
        socket.write(back === options.depth ? burst : burst.subarray(0, back * frame.length))
      })
      socket.write(burst)
      resolve()
    }
    socket.on('data', handshake)
  })
}

await Promise.all(Array.from({ length: options.connections }, open))
// What opens the connections is no part of the figures.
await new Promise((resolve) => setTimeout(resolve, 200))
process.stdout.write('open\n')
counting = true
const began = performance.now()
await new Promise((resolve) => setTimeout(resolve, options.seconds * 1000))
counting = false
const seconds = (performance.now() - began) / 1000
const result: WebSocketResult = { messages, perSecond: messages / seconds, failed }
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(failed > 0 ? 1 : 0))
