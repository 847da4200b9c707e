/** Writes header and trailer sections of HTTP/2 as frames, right behind what a connection has gathered. */
import { frameFieldBlock } from '../http/frame-writer.ts'
import { DEFAULT_FRAME_SIZE, Flag, FRAME_HEADER } from '../http/frames.ts'
import { BLOCK_OVERHEAD, encodedBound, HpackEncoder } from '../http/hpack-encoder.ts'
import { DateField } from '../http/write-head.ts'
import type { Fields } from '../message/fields.ts'
import type { FrameOutput } from './frame-output.ts'
import type { SendingStream } from './sending-stream.ts'

/** Bytes of `:status`, `date` and `content-length`. */
const OWN_FIELDS = 128

const dates = new DateField()

export class HeaderOutput {
  readonly #output: FrameOutput
  readonly #encoder = new HpackEncoder()

  constructor(output: FrameOutput) {
    this.#output = output
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  allowTableSize(size: number): void {
    this.#encoder.allowTableSize(size)
  }

  /**
   * @param status 0 = trailers
   * @param wall for a `date`, which has to be added; 0 = none is
   * @param length for a `content-length`, which has to be added; -1 = none is
   */
  write(
    stream: SendingStream,
    status: number,
    fields: Fields | null,
    wall: number,
    length: number,
    endStream: boolean,
  ): void {
    const output = this.#output
    const encoder = this.#encoder
    const bound = (fields === null ? 0 : encodedBound(fields)) + BLOCK_OVERHEAD + OWN_FIELDS
    const frames = Math.ceil(bound / DEFAULT_FRAME_SIZE)
    const start = output.reserve(frames * FRAME_HEADER + bound)
    const out = output.bytes
    let at = encoder.begin(out, start + FRAME_HEADER)
    if (status > 0) at = encoder.status(out, at, status)
    if (fields !== null) at = encoder.fields(out, at, fields)
    if (wall > 0) at = encoder.field(out, at, 'date', dates.value(wall))
    if (length >= 0) at = encoder.field(out, at, 'content-length', String(length))
    stream.lastFrame = output.position
    const block = at - start - FRAME_HEADER
    const flags = endStream ? Flag.END_STREAM : 0
    output.at = frameFieldBlock(out, start, block, flags, stream.id)
  }
}
