/**
 * Buffers for large pieces of bodies between the shared read buffer and a client's socket. Each is used again once the
 * system has taken its bytes: memory that is warm costs a third of what a fresh allocation does, and leaves nothing for
 * the collector.
 */
import type { Socket } from 'node:net'

/** One read of 64 KiB, a head before it and a chunk's frame around it. */
const BYTES = 72 * 1024
/** So many are kept; what slow clients hold beyond that is allocated for them and given up after. */
const KEPT = 64

const free: Buffer[] = []

/** @param length bytes that are needed */
export function takeWriteBuffer(length: number): Buffer {
  return length <= BYTES ? (free.pop() ?? Buffer.allocUnsafeSlow(BYTES)) : Buffer.allocUnsafeSlow(length)
}

/** Nobody uses it any more. */
export function returnWriteBuffer(buffer: Buffer): void {
  if (buffer.length === BYTES && free.length < KEPT) free.push(buffer)
}

/**
 * Writes `before`, the bytes from `start` to `end`, and `after` as one piece; the bytes may be overwritten after the
 * return.
 */
export function writeCopy(
  socket: Socket,
  before: string,
  bytes: Buffer,
  start: number,
  end: number,
  after: string,
): void {
  const length = before.length + (end - start) + after.length
  const out = takeWriteBuffer(length)
  if (before !== '') out.latin1Write(before, 0)
  bytes.copy(out, before.length, start, end)
  if (after !== '') out.latin1Write(after, length - after.length)
  // Called when the system has the bytes, or when the socket is closed and will never ask for them.
  socket.write(out.subarray(0, length), () => returnWriteBuffer(out))
}
