/** A relay that passes on a client's HTTP/2 frames one by one, so that what each one causes has happened by the next. */
import { connect, type Socket } from 'node:net'
import { FRAME_HEADER, PREFACE } from '../../src/http/frames.ts'
import { listening, type Scope } from '../socket/sockets.ts'

/** @returns how many bytes at the start are the preface or one frame; all of them, if less has come */
function first(bytes: Buffer, atPreface: boolean): number {
  if (atPreface) return Math.min(PREFACE.length, bytes.length)
  if (bytes.length < FRAME_HEADER) return bytes.length
  return Math.min(FRAME_HEADER + bytes.readUIntBE(0, 3), bytes.length)
}

function relay(client: Socket, server: Socket, pause: number): void {
  let waiting = Buffer.alloc(0)
  let atPreface = true
  let ended = false
  let timer: NodeJS.Timeout | undefined
  const pass = (): void => {
    timer = undefined
    if (waiting.length > 0) {
      const length = first(waiting, atPreface)
      atPreface = false
      server.write(waiting.subarray(0, length))
      waiting = waiting.subarray(length)
      timer = setTimeout(pass, pause)
    } else if (ended) server.end()
  }
  client.on('data', (bytes: Buffer) => {
    waiting = Buffer.concat([waiting, bytes])
    timer ??= setTimeout(pass, pause)
  })
  client.on('end', () => {
    ended = true
    timer ??= setTimeout(pass, 0)
  })
  server.pipe(client)
  const close = (): void => {
    clearTimeout(timer)
    client.destroy()
    server.destroy()
  }
  for (const socket of [client, server]) socket.on('error', close).on('close', close)
}

/**
 * @param port of the server, on 127.0.0.1
 * @param pause milliseconds between two frames
 * @returns the port of the relay, on 127.0.0.1
 */
export async function frameRelay(scope: Scope, port: number, pause: number): Promise<number> {
  const listener = await listening(scope, (client) => {
    client.setNoDelay()
    relay(client, connect({ host: '127.0.0.1', port, noDelay: true }), pause)
  })
  return listener.port
}
