/** Writers of HTTP/2 frames into a caller's buffer (RFC 9113 §6). Each returns the offset behind what it wrote. */
import { DEFAULT_FRAME_SIZE, type ErrorCode, Flag, FRAME_HEADER, FrameType } from './frames.ts'

/** Bytes of the frames with a fixed size. */
export const PING_FRAME = FRAME_HEADER + 8
export const RST_STREAM_FRAME = FRAME_HEADER + 4
export const WINDOW_UPDATE_FRAME = FRAME_HEADER + 4
/** Bytes of one setting. */
export const SETTING = 6

export function writeFrameHeader(
  out: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): number {
  out[at] = length >>> 16
  out[at + 1] = length >>> 8
  out[at + 2] = length
  out[at + 3] = type
  out[at + 4] = flags
  return writeUint32(out, at + 5, stream)
}

/**
 * Writes the headers around a field block that stands behind the room for the first one: HEADERS, and CONTINUATION
 * where it is larger than a frame; there must be room for these, too.
 *
 * @param flags of HEADERS, besides END_HEADERS
 */
export function frameFieldBlock(out: Buffer, start: number, length: number, flags: number, stream: number): number {
  if (length <= DEFAULT_FRAME_SIZE) {
    writeFrameHeader(out, start, length, FrameType.HEADERS, flags | Flag.END_HEADERS, stream)
    return start + FRAME_HEADER + length
  }
  const parts = Math.ceil(length / DEFAULT_FRAME_SIZE)
  // The last one first, since all but the first move apart.
  for (let part = parts - 1; part >= 0; part--) {
    const from = start + FRAME_HEADER + part * DEFAULT_FRAME_SIZE
    const size = Math.min(DEFAULT_FRAME_SIZE, start + FRAME_HEADER + length - from)
    const to = from + part * FRAME_HEADER
    out.copyWithin(to, from, from + size)
    const type = part === 0 ? FrameType.HEADERS : FrameType.CONTINUATION
    const last = part === parts - 1 ? Flag.END_HEADERS : 0
    writeFrameHeader(out, to - FRAME_HEADER, size, type, last | (part === 0 ? flags : 0), stream)
  }
  return start + length + parts * FRAME_HEADER
}

/** @param settings flat: identifier, value, identifier, value … */
export function writeSettings(out: Buffer, at: number, settings: readonly number[]): number {
  let next = writeFrameHeader(out, at, (settings.length / 2) * SETTING, FrameType.SETTINGS, 0, 0)
  for (let i = 0; i < settings.length; i += 2) {
    const id = settings[i]!
    out[next] = id >>> 8
    out[next + 1] = id
    next = writeUint32(out, next + 2, settings[i + 1]!)
  }
  return next
}

export function writeSettingsAck(out: Buffer, at: number): number {
  return writeFrameHeader(out, at, 0, FrameType.SETTINGS, Flag.ACK, 0)
}

/** @param data of which 8 bytes from `from` are sent */
export function writePing(out: Buffer, at: number, ack: boolean, data: Buffer, from: number): number {
  const next = writeFrameHeader(out, at, 8, FrameType.PING, ack ? Flag.ACK : 0, 0)
  data.copy(out, next, from, from + 8)
  return next + 8
}

export function writeWindowUpdate(out: Buffer, at: number, stream: number, increment: number): number {
  return writeUint32(out, writeFrameHeader(out, at, 4, FrameType.WINDOW_UPDATE, 0, stream), increment)
}

export function writeReset(out: Buffer, at: number, stream: number, code: ErrorCode): number {
  return writeUint32(out, writeFrameHeader(out, at, 4, FrameType.RST_STREAM, 0, stream), code)
}

/** Bytes of a GOAWAY with this debug data. */
export function goawayLength(debug: string): number {
  return FRAME_HEADER + 8 + debug.length
}

/** @param debug ASCII */
export function writeGoaway(out: Buffer, at: number, lastStream: number, code: ErrorCode, debug: string): number {
  let next = writeFrameHeader(out, at, 8 + debug.length, FrameType.GOAWAY, 0, 0)
  next = writeUint32(out, next, lastStream)
  next = writeUint32(out, next, code)
  return next + out.latin1Write(debug, next)
}

function writeUint32(out: Buffer, at: number, value: number): number {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
  return at + 4
}
