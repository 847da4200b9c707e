/** The last frame of a gRPC-Web response: its trailers as a block of HTTP/1.1 field lines. */
import type { Fields } from '../message/fields.ts'
import { PREFIX_BYTES, TRAILERS_FLAG } from './message-frames.ts'

/** Field lines with names in lower case, as bytes one a character. */
export function trailerLines(trailers: Fields): string {
  let lines = ''
  trailers.forEach((name, value) => {
    lines += `${name}: ${value}\r\n`
  })
  return lines
}

export function trailersFrame(lines: string): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + lines.length)
  frame[0] = TRAILERS_FLAG
  frame.writeUInt32BE(lines.length, 1)
  frame.latin1Write(lines, PREFIX_BYTES)
  return frame
}
