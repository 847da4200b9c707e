/**
 * Room for clients at the limit of connections: connections that lie idle are closed for new ones, those that were
 * accepted first before others, as clients open them again when they need them. Where all are busy, a new client is
 * told so and closed.
 */
import type { Socket } from 'node:net'
import { REASONS } from '../lib/reason.ts'
import { problemType } from '../policy/problem.ts'
import { ALERT } from '../tls/client-hello.ts'
import { ClosingSocket } from './closing-socket.ts'
import type { OpenConnection, ServerContext } from './server-context.ts'
import { alertRecord } from './tls-alert.ts'

/** Connections that are looked at for one new client. */
const LOOKS = 64
/** Refused clients that are being told so, over the limit; further ones are closed without a word. */
const TOLD = 64

export class ConnectionRoom {
  readonly #context: ServerContext
  /** Goes round, so that busy connections are not looked at again for each client. */
  #next: Iterator<OpenConnection> | null = null
  #told = 0

  constructor(context: ServerContext) {
    this.#context = context
  }

  /** @returns whether an idle connection was closed */
  make(): boolean {
    for (let look = 0; look < LOOKS; look++) {
      this.#next ??= this.#context.connections.values()
      const { value, done } = this.#next.next()
      if (done === true) this.#next = null
      else if (value.idle) {
        value.destroy()
        return true
      }
    }
    return false
  }

  /** @param socket paused, not yet read */
  refuse(socket: Socket, tls: boolean): void {
    if (this.#told >= TOLD) return void socket.destroy()
    this.#told++
    socket.once('close', () => this.#told--)
    new ClosingSocket(socket, this.#context, tls ? alertRecord(ALERT.internalError) : UNAVAILABLE)
  }
}

const { status, title } = REASONS.ConnectionLimit
const PROBLEM = JSON.stringify({ type: problemType('ConnectionLimit'), title, status, reason: 'ConnectionLimit' })
const UNAVAILABLE = Buffer.from(
  'HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n' +
    `retry-after: 1\r\nconnection: close\r\ncontent-length: ${PROBLEM.length}\r\n\r\n${PROBLEM}`,
)
