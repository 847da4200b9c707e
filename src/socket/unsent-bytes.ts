/** How much of what was written to a socket the system has not taken: what no peer can have seen. */
import type { Socket } from 'node:net'

interface WithHandle {
  _handle?: { readonly bytesWritten?: unknown; readonly writeQueueSize?: unknown } | null
}

/**
 * Exact as long as the socket has its handle, which knows how far it is within a write; otherwise whole writes are
 * counted.
 *
 * @param socket not yet destroyed
 */
export function unsentBytes(socket: Socket): number {
  const length = socket.writableLength
  if (length === 0) return 0
  const handle = (socket as unknown as WithHandle)._handle
  const taken = handle?.bytesWritten
  const queued = handle?.writeQueueSize
  if (typeof taken !== 'number' || typeof queued !== 'number') return length
  return socket.bytesWritten - taken + queued
}
