/**
 * The clear-text protocol: serves an accepted socket as one HTTP/1.1 connection, or as HTTP/2 where the first bytes are
 * its preface (prior knowledge, RFC 9113 §3.3). PRI is no method of HTTP/1.1.
 */
import type { Socket } from 'node:net'
import { PREFACE } from '../http/frames.ts'
import { H1Connection } from '../http1/downstream-h1.ts'
import { H2Connection } from '../http2/downstream-h2.ts'
import { adopt } from '../socket/accepted-socket.ts'
import type { ClientProtocol, ServerContext } from '../socket/server-context.ts'
import type { Peer } from '../transport/peer.ts'

export const clearText: ClientProtocol = {
  accept(socket: Socket, peer: Peer, context: ServerContext, early: Buffer | null): void {
    let receive = (bytes: Buffer): void => choose(bytes)
    const own = adopt(
      socket,
      (bytes) => receive(bytes),
      (bytes, length) => {
        if (first !== null || !h1.repeat(bytes, length)) return false
        receive = deliver
        return true
      },
    )
    let deliver = receive
    const take = (to: (bytes: Buffer) => void): Socket => {
      deliver = to
      return own
    }
    const h1 = new H1Connection(take, peer, context)
    let first: Buffer | null = null
    const choose = (bytes: Buffer): void => {
      first = first === null ? bytes : Buffer.concat([first, bytes])
      const preface = beginsWithPreface(first)
      // Of bytes so few none is a whole request of HTTP/1.1, whose deadline for a head holds until then.
      if (preface === null) return
      if (preface) {
        h1.release()
        for (const event of ['end', 'drain', 'error', 'close']) own.removeAllListeners(event)
        new H2Connection(take, peer, context)
      }
      receive = deliver
      receive(first)
      first = null
    }
    if (early !== null && early.length > 0) receive(early)
  },
}

/** @returns null: it may still become one */
function beginsWithPreface(bytes: Buffer): boolean | null {
  const length = Math.min(bytes.length, PREFACE.length)
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return false
  return length === PREFACE.length ? true : null
}
