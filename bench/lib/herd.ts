/** Many clients that ask for one cold key at the same moment. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Herd {
  readonly port: number
  readonly host: string
  readonly path: string
  readonly clients: number
}

export interface HerdResult {
  /** Answers other than 200 with so many bytes, and connections that broke or took too long. */
  readonly failed: number
  /** Milliseconds from the requests to the first and the last answer. */
  readonly first: number
  readonly last: number
}

const PATIENCE_MS = 30_000

/** @param bytes of the body that each is to get */
export async function ask({ port, host, path, clients }: Herd, bytes: number): Promise<HerdResult> {
  const sockets: Socket[] = []
  for (let i = 0; i < clients; i++) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    // 'close' follows.
    socket.on('error', () => {})
    sockets.push(socket)
    await Promise.race([once(socket, 'connect'), once(socket, 'close')])
  }
  const began = performance.now()
  const answers = sockets.map((socket) => answered(socket, bytes))
  for (const socket of sockets) socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
  const times = await Promise.all(answers)
  for (const socket of sockets) socket.destroy()
  const good = times.filter((at) => !Number.isNaN(at)).map((at) => at - began)
  return { failed: clients - good.length, first: Math.min(...good), last: Math.max(...good) }
}

/** @returns when the answer was complete; NaN where it was none */
function answered(socket: Socket, bytes: number): Promise<number> {
  return new Promise((resolve) => {
    let text = ''
    const over = (at: number): void => {
      clearTimeout(patience)
      resolve(at)
    }
    const patience = setTimeout(() => over(Number.NaN), PATIENCE_MS)
    socket.once('close', () => over(Number.NaN))
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part
      const end = text.indexOf('\r\n\r\n')
      if (end < 0 || text.length < end + 4 + bytes) return
      over(text.startsWith('HTTP/1.1 200 ') && text.length === end + 4 + bytes ? performance.now() : Number.NaN)
    })
  })
}
