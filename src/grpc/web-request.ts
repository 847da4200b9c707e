/** The body of a gRPC-Web request in text: what it says in base64 is a body of gRPC. */
import { GatewayError } from '../lib/error.ts'
import type { BodySink, BodyStep, BodyStepFactory } from '../message/body.ts'
import { Base64Decoder } from './base64.ts'

export const decodeWebText: BodyStepFactory = (sink, resume) => new WebTextStep(sink, resume)

class WebTextStep implements BodyStep {
  readonly #sink: BodySink
  readonly #resume: () => void
  readonly #decoder = new Base64Decoder()

  constructor(sink: BodySink, resume: () => void) {
    this.#sink = sink
    this.#resume = resume
  }

  data(chunk: Uint8Array): boolean {
    const bytes = this.#decoder.decode(chunk)
    if (bytes === null) {
      this.#sink.fail(new GatewayError('BadGrpcRequest', 'the body is not base64'))
      return true
    }
    return bytes.length === 0 || this.#sink.write(bytes)
  }

  end(): void {
    if (this.#decoder.complete) this.#sink.end(null)
    else this.#sink.fail(new GatewayError('BadGrpcRequest', 'the body ends within a group of base64'))
  }

  drained(): void {
    this.#resume()
  }

  abort(): void {}
}
