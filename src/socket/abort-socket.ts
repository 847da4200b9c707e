/** Ends a connection in the middle, so that the other end notices. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** By a reset; within TLS by an end without the alert that announces it (RFC 8446 §6.1), as a reset is not offered. */
export function abortSocket(socket: Socket): void {
  if (socket.destroyed) return
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
