/**
 * A client that makes TLS handshakes one after another on a number of lanes, and closes each connection at once.
 *
 * `node handshake-load.ts '{"port":…,"hosts":["…"],"seconds":4,"lanes":8,"resume":false}'`: prints one line of JSON.
 * With `resume` each but the first of a lane resumes the session of the one before; one that does not counts as failed.
 */
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'

export interface HandshakeLoad {
  readonly port: number
  /** Taken in turn. */
  readonly hosts: readonly string[]
  readonly seconds: number
  readonly lanes: number
  readonly resume: boolean
}

const options = JSON.parse(process.argv[2]!) as HandshakeLoad
const times: number[] = []
let failed = 0
let turn = 0

async function handshake(session: Buffer | undefined): Promise<TLSSocket> {
  const servername = options.hosts[turn++ % options.hosts.length]!
  const socket = connect({ port: options.port, host: '127.0.0.1', servername, session, rejectUnauthorized: false })
  socket.on('error', () => {})
  await Promise.race([
    once(socket, 'secureConnect'),
    once(socket, 'close').then(() => {
      throw new Error('closed')
    }),
  ])
  return socket
}

/** A ticket comes after the handshake, with the answer at the latest. */
async function ticket(): Promise<Buffer> {
  const socket = await handshake(undefined)
  const came = once(socket, 'session')
  socket.resume().write(`GET / HTTP/1.1\r\nhost: ${socket.servername}\r\nconnection: close\r\n\r\n`)
  const [session] = (await came) as [Buffer]
  socket.destroy()
  return session
}

async function lane(until: number): Promise<void> {
  const session = options.resume ? await ticket() : undefined
  while (performance.now() < until) {
    const began = performance.now()
    try {
      const socket = await handshake(session)
      times.push(performance.now() - began)
      if (options.resume && !socket.isSessionReused()) failed++
      const closed = once(socket, 'close')
      socket.resume().end()
      await closed
    } catch {
      failed++
      await delay(5)
    }
  }
}

const began = performance.now()
await Promise.all(Array.from({ length: options.lanes }, () => lane(began + options.seconds * 1_000)))
const seconds = (performance.now() - began) / 1_000
times.sort((a, b) => a - b)
const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? Number.NaN
const result = { requests: times.length, perSecond: times.length / seconds, p50: at(0.5), p99: at(0.99), failed }
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
