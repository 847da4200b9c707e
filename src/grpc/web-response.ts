/** The body of a gRPC response for a gRPC-Web client: the trailers become its last frame, and text is base64. */
import { GatewayError } from '../lib/error.ts'
import type { BodySink, BodyStep, BodyStepFactory } from '../message/body.ts'
import type { Fields } from '../message/fields.ts'
import { encodeBase64 } from './base64.ts'
import { MessageFrames } from './message-frames.ts'
import { trailerLines, trailersFrame } from './web-trailers.ts'

/**
 * @param text whether the body is to be base64: each piece by itself, padded, so that a message need not wait for the
 *   next one
 * @param headLines trailers that the head has stated, as field lines
 */
export function webResponseStep(text: boolean, headLines: string): BodyStepFactory {
  return (sink, resume) => new WebResponseStep(sink, resume, text, headLines)
}

class WebResponseStep implements BodyStep {
  readonly #sink: BodySink
  readonly #resume: () => void
  readonly #text: boolean
  readonly #headLines: string
  readonly #frames = new MessageFrames()

  constructor(sink: BodySink, resume: () => void, text: boolean, headLines: string) {
    this.#sink = sink
    this.#resume = resume
    this.#text = text
    this.#headLines = headLines
  }

  data(chunk: Uint8Array): boolean {
    if (chunk.length === 0) return true
    if (!this.#frames.follow(chunk)) {
      this.#sink.fail(new GatewayError('UpstreamProtocolError', 'a message claims to be the trailers of gRPC-Web'))
      return true
    }
    return this.#sink.write(this.#encoded(chunk))
  }

  end(trailers: Fields | null): void {
    // Within a message the frame would be read as its bytes.
    if (!this.#frames.between)
      return this.#sink.fail(new GatewayError('UpstreamTruncated', 'the response ended within a message of gRPC'))
    const lines = this.#headLines + (trailers === null ? '' : trailerLines(trailers))
    this.#sink.write(this.#encoded(trailersFrame(lines)))
    this.#sink.end(null)
  }

  #encoded(bytes: Uint8Array): Uint8Array {
    return this.#text ? encodeBase64(bytes) : bytes
  }

  drained(): void {
    this.#resume()
  }

  abort(): void {}
}
