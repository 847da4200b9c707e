/** Writes the field blocks of requests on an HTTP/2 connection (RFC 9113 §8.3.1). */
import { frameFieldBlock } from '../http/frame-writer.ts'
import { DEFAULT_FRAME_SIZE, Flag, FRAME_HEADER } from '../http/frames.ts'
import { BLOCK_OVERHEAD, encodedBlockBound, encodedBound, HpackEncoder } from '../http/hpack-encoder.ts'
import { LITERAL_OVERHEAD } from '../http/hpack-writer.ts'
import type { Fields } from '../message/fields.ts'
import type { UpstreamRequest } from '../transport/upstream.ts'
import type { FrameOutput } from './frame-output.ts'

/** `te: trailers`, the one value that HTTP/2 knows (RFC 9113 §8.2.2), as a literal without indexing. */
const TE_TRAILERS = Buffer.from('\x00\x02te\x08trailers', 'latin1')
/** Bytes of everything but the fields: pseudo-header fields, x-request-id, te. */
const REQUEST_OVERHEAD = BLOCK_OVERHEAD + 8 * LITERAL_OVERHEAD + 64

export class RequestFrames {
  readonly #output: FrameOutput
  readonly #scheme: 'http' | 'https'
  readonly #encoder = new HpackEncoder()

  constructor(output: FrameOutput, scheme: 'http' | 'https') {
    this.#output = output
    this.#scheme = scheme
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  allowTableSize(size: number): void {
    this.#encoder.allowTableSize(size)
  }

  /** @param ended no body follows */
  request(stream: number, request: UpstreamRequest, ended: boolean): void {
    const { method, target, fields, forwarding, passed, id, upgrade } = request
    const authority = request.host ?? fields.get('host') ?? ''
    const strings = method.length + target.length + authority.length + id.length + (upgrade?.length ?? 0)
    const bound = strings + encodedBound(fields) + encodedBlockBound(forwarding) + encodedBlockBound(passed)
    const encoder = this.#encoder
    const start = this.#reserve(bound + REQUEST_OVERHEAD)
    const out = this.#output.bytes
    let at = encoder.begin(out, start + FRAME_HEADER)
    at = encoder.field(out, at, ':method', upgrade === null ? method : 'CONNECT')
    // RFC 8441 §4.
    if (upgrade !== null) at = encoder.field(out, at, ':protocol', upgrade)
    at = encoder.field(out, at, ':scheme', this.#scheme)
    if (authority !== '') at = encoder.authority(out, at, authority)
    at = encoder.field(out, at, ':path', target)
    at = encoder.fields(out, at, fields)
    at = encoder.block(out, at, forwarding)
    at = encoder.block(out, at, passed)
    at = encoder.field(out, at, 'x-request-id', id)
    if (request.acceptsTrailers) at += TE_TRAILERS.copy(out, at)
    this.#finish(stream, start, at, ended)
  }

  trailers(stream: number, fields: Fields): void {
    const start = this.#reserve(BLOCK_OVERHEAD + encodedBound(fields))
    const out = this.#output.bytes
    const at = this.#encoder.fields(out, this.#encoder.begin(out, start + FRAME_HEADER), fields)
    this.#finish(stream, start, at, true)
  }

  /** With room for the headers of CONTINUATION frames. */
  #reserve(bound: number): number {
    return this.#output.reserve(bound + FRAME_HEADER * (1 + Math.ceil(bound / DEFAULT_FRAME_SIZE)))
  }

  #finish(stream: number, start: number, end: number, endStream: boolean): void {
    const flags = endStream ? Flag.END_STREAM : 0
    this.#output.at = frameFieldBlock(this.#output.bytes, start, end - start - FRAME_HEADER, flags, stream)
  }
}
