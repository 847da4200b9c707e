/** What a frame's header alone says against it (RFC 9113 §6, RFC 9218 §7.1). */
import { Flag, FrameType, type Role } from './frames.ts'

/**
 * PROTOCOL_ERROR by the stream that a frame is on.
 *
 * @param role ours
 * @param blockStream whose field block is under way; 0 = none
 * @returns what is wrong; '' where nothing is
 */
export function misplaced(type: number, stream: number, role: Role, blockStream: number): string {
  switch (type) {
    case FrameType.HEADERS:
      // Nobody but a client opens streams here: push is not allowed.
      return stream % 2 === 1 ? '' : `HEADERS on stream ${stream}`
    case FrameType.DATA:
    case FrameType.PRIORITY:
    case FrameType.RST_STREAM:
      return stream === 0 ? 'a frame on stream 0 that belongs to another' : ''
    case FrameType.SETTINGS:
    case FrameType.PING:
    case FrameType.GOAWAY:
      return stream === 0 ? '' : `a frame of the connection on stream ${stream}`
    case FrameType.PUSH_PROMISE:
      return 'PUSH_PROMISE'
    case FrameType.CONTINUATION:
      return blockStream === 0 ? 'CONTINUATION without a field block' : ''
    case FrameType.PRIORITY_UPDATE:
      if (role === 'client') return 'PRIORITY_UPDATE from a server'
      return stream === 0 ? '' : `PRIORITY_UPDATE on stream ${stream}`
    default:
      return ''
  }
}

/** FRAME_SIZE_ERROR by the type alone (RFC 9113 §6, RFC 9218 §7.1). */
export function wrongSize(type: number, length: number, flags: number): boolean {
  switch (type) {
    case FrameType.HEADERS:
      return length < ((flags & Flag.PADDED) === 0 ? 0 : 1) + ((flags & Flag.PRIORITY) === 0 ? 0 : 5)
    case FrameType.PRIORITY:
      return length !== 5
    case FrameType.RST_STREAM:
    case FrameType.WINDOW_UPDATE:
      return length !== 4
    case FrameType.SETTINGS:
      return (flags & Flag.ACK) === 0 ? length % 6 !== 0 : length !== 0
    case FrameType.PING:
      return length !== 8
    case FrameType.GOAWAY:
      return length < 8
    case FrameType.PRIORITY_UPDATE:
      return length < 4
    default:
      return false
  }
}

/** Big-endian. */
export function uint32(bytes: Buffer, at: number): number {
  return uint31(bytes, at) + (bytes[at]! >= 0x80 ? 0x8000_0000 : 0)
}

/** Without the reserved bit. */
export function uint31(bytes: Buffer, at: number): number {
  return ((bytes[at]! & 0x7f) << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}
