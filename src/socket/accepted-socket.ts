/**
 * Reads of accepted sockets go into one buffer for the whole thread, as `net.connect` offers it by `onread` for the
 * sockets we open ourselves. node:net has no such option for a server, so the accepted handle is given to a socket that
 * has it: one allocation of 64 KiB, one stream chunk and one tick less for each read, together 15 % of the processor
 * time of a small request (docs/decisions/0007).
 *
 * The option `handle` is documented for a bound socket; that it takes an accepted one's handle is what Node's own
 * modules rely on. Where it is not as expected the socket is read as any other: slower, and nothing else.
 */
import { Socket } from 'node:net'

/** Bytes a client connection may hold unsent before the upstream is asked to wait. */
export const HIGH_WATER = 128 * 1024
/** Bytes of one read. */
const READ_BYTES = 64 * 1024
const shared = Buffer.allocUnsafeSlow(READ_BYTES)

type Construction = NonNullable<ConstructorParameters<typeof Socket>[0]>

interface WithHandle {
  _handle?: object | null
}

/**
 * @param accepted paused at its creation (`pauseOnConnect`), not yet read
 * @param receive is called with bytes that are the receiver's own
 * @param glance is called first, with the first `length` bytes of what the next read overwrites; true: it needs no
 *   more of them, and they are not received
 */
export function adopt(
  accepted: Socket,
  receive: (bytes: Buffer) => void,
  glance: (bytes: Buffer, length: number) => boolean = () => false,
): Socket {
  const { _handle: handle } = accepted as unknown as WithHandle
  if (handle === undefined || handle === null || !('useUserBuffer' in handle)) {
    accepted.on('data', receive)
    return accepted.resume()
  }
  // From here on the accepted socket is an empty shell: whatever happens to it must not touch the connection.
  ;(accepted as unknown as WithHandle)._handle = null
  const construction: Omit<Construction, 'handle'> & { handle: object; highWaterMark: number } = {
    handle,
    allowHalfOpen: true,
    highWaterMark: HIGH_WATER,
    onread: {
      buffer: shared,
      callback: (length: number) => {
        if (glance(shared, length)) return true
        const bytes = Buffer.allocUnsafe(length)
        shared.copy(bytes, 0, 0, length)
        receive(bytes)
        return true
      },
    },
  }
  return new Socket(construction as Construction).resume()
}
