/** Frames of any content, right or wrong, as bytes: for tests and for raw peers. */
import { Flag, FrameType, PREFACE } from '../../src/http/frames.ts'

export { Flag, FrameType, PREFACE }

export interface RawFrame {
  readonly type: number
  readonly flags?: number
  readonly stream?: number
  readonly payload?: Buffer | string
  /** States another length than the payload has. */
  readonly length?: number
}

export function frame({ type, flags = 0, stream = 0, payload = '', length }: RawFrame): Buffer {
  const body = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload
  const head = Buffer.alloc(9)
  head.writeUIntBE(length ?? body.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** @param pairs identifier, value, … */
export function settings(...pairs: number[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 3)
  for (let i = 0; i < pairs.length; i += 2) {
    payload.writeUInt16BE(pairs[i]!, i * 3)
    payload.writeUInt32BE(pairs[i + 1]!, i * 3 + 2)
  }
  return frame({ type: FrameType.SETTINGS, payload })
}

export function windowUpdate(stream: number, increment: number): Buffer {
  return frame({ type: FrameType.WINDOW_UPDATE, stream, payload: uint32(increment) })
}

export function reset(stream: number, code: number): Buffer {
  return frame({ type: FrameType.RST_STREAM, stream, payload: uint32(code) })
}

/** A block of literal fields that are never indexed, without Huffman coding. */
export function literalBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = []
  for (const [name, value] of fields) parts.push(Buffer.from([0x10]), text(name), text(value))
  return Buffer.concat(parts)
}

/** A string of HPACK (RFC 7541 §5.2), as it is. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes])
  const length = [127]
  let rest = bytes.length - 127
  for (; rest >= 128; rest >>>= 7) length.push((rest & 0x7f) | 0x80)
  length.push(rest)
  return Buffer.concat([Buffer.from(length), bytes])
}

export interface HeadersOptions {
  readonly end?: boolean
  /** Without END_HEADERS. */
  readonly open?: boolean
}

export function headers(
  stream: number,
  fields: readonly (readonly [string, string])[],
  { end = true, open = false }: HeadersOptions = {},
): Buffer {
  const flags = (end ? Flag.END_STREAM : 0) | (open ? 0 : Flag.END_HEADERS)
  return frame({ type: FrameType.HEADERS, flags, stream, payload: literalBlock(fields) })
}

export function data(stream: number, payload: Buffer | string, end = false): Buffer {
  return frame({ type: FrameType.DATA, flags: end ? Flag.END_STREAM : 0, stream, payload })
}
