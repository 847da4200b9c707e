/**
 * A client that opens connections, asks once on each, and keeps them.
 *
 * `node idle-connections.ts '{"port":…,"host":"…","count":15000,"tls":true}'`: prints how many were answered, and ends
 * when its input does.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext } from 'node:tls'

export interface IdleLoad {
  readonly port: number
  readonly host: string
  readonly count: number
  readonly tls: boolean
}

const LANES = 32
const options = JSON.parse(process.argv[2]!) as IdleLoad
const secureContext = createSecureContext()
const kept: Socket[] = []
let opened = 0

function dial(): Socket {
  const { port, host: servername, tls } = options
  return tls
    ? connectTls({ port, host: '127.0.0.1', servername, secureContext, rejectUnauthorized: false })
    : connect({ port, host: '127.0.0.1' })
}

async function lane(): Promise<void> {
  while (opened < options.count) {
    opened++
    const socket = dial()
    socket.on('error', () => {})
    socket.write(`GET /api/x HTTP/1.1\r\nhost: ${options.host}\r\n\r\n`)
    const answer = await Promise.race([once(socket, 'data'), once(socket, 'close')])
    if (String(answer[0]).startsWith('HTTP/1.1 200')) kept.push(socket)
    socket.on('data', () => {})
  }
}

await Promise.all(Array.from({ length: LANES }, lane))
process.stdout.write(`${kept.length}\n`)
process.stdin.resume().on('end', () => process.exit(0))
