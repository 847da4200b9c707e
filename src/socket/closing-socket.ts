/** A socket that nobody serves: last bytes are sent on it, and it is closed behind them. */
import type { Socket } from 'node:net'
import { LingeringClose } from './lingering-close.ts'
import type { OpenConnection, ServerContext } from './server-context.ts'

export class ClosingSocket implements OpenConnection {
  readonly idle = false
  readonly #socket: Socket

  /** @param socket paused */
  constructor(socket: Socket, context: ServerContext, last: Buffer) {
    this.#socket = socket
    context.connections.add(this)
    socket.on('error', () => {})
    socket.write(last)
    const closing = new LingeringClose(socket, context.timers, 0, () => socket.destroy())
    socket.on('data', (bytes) => closing.drop(bytes.length))
    // What comes is dropped, and the client's end is noticed.
    socket.resume()
    socket.on('close', () => {
      closing.done()
      context.connections.delete(this)
    })
  }

  drain(): void {}

  destroy(): void {
    this.#socket.destroy()
  }
}
