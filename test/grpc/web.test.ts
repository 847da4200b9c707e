/** The body steps of gRPC-Web: any chunking gives the same bytes, and back-pressure passes through. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeBase64 } from '../../src/grpc/base64.ts'
import { MessageFrames } from '../../src/grpc/message-frames.ts'
import { decodeWebText } from '../../src/grpc/web-request.ts'
import { webResponseStep } from '../../src/grpc/web-response.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import type { BodyStepFactory } from '../../src/message/body.ts'
import { composeBody } from '../../src/message/body-pipe.ts'
import { Fields } from '../../src/message/fields.ts'
import { decodeText, framed, readWebResponse } from './web-client.ts'

interface Outcome {
  readonly bytes: Buffer
  readonly trailers: Fields | null | undefined
  readonly failed: string
}

function through(step: BodyStepFactory, chunks: readonly Uint8Array[], trailers: Fields | null = null): Outcome {
  const out: Uint8Array[] = []
  let ended: Fields | null | undefined
  let failed = ''
  const sink = {
    write: (chunk: Uint8Array) => out.push(Buffer.from(chunk)) > 0,
    end: (given: Fields | null) => void (ended = given),
    fail: (error: GatewayError) => void (failed = `${error.reason}: ${error.detail}`),
  }
  const pipe = composeBody([step], sink, () => {})
  for (const chunk of chunks) pipe.write(chunk)
  pipe.end(trailers)
  return { bytes: Buffer.concat(out), trailers: ended, failed }
}

const message = fc.uint8Array({ maxLength: 40 })
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 40 })

/** In chunks of these sizes, again and again. */
function inSizes(bytes: Buffer, list: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = list[i % list.length]!
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

const OK = Fields.from({ 'grpc-status': '0', 'x-bin': 'AAEC', 'grpc-message': '' })

describe('the response of gRPC-Web', () => {
  it('is the messages as they came and the trailers behind them, in bytes and in text, in any chunks', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), sizes, fc.boolean(), (messages, list, text) => {
        const body = Buffer.concat(messages.map((one) => framed(one)))
        const { bytes, trailers, failed } = through(webResponseStep(text, ''), inSizes(body, list), OK)
        assert.equal(failed, '')
        assert.equal(trailers, null)
        const read = readWebResponse(text ? decodeText(bytes) : bytes)
        assert.deepEqual(read.messages, messages.map(Buffer.from))
        assert.deepEqual(read.trailers, { 'grpc-status': '0', 'x-bin': 'AAEC', 'grpc-message': '' })
      }),
    )
  })

  it('of trailers-only is the trailers alone', () => {
    const { bytes } = through(webResponseStep(false, 'grpc-status: 5\r\n'), [])
    assert.deepEqual(readWebResponse(bytes), { messages: [], trailers: { 'grpc-status': '5' } })
  })

  it('that ends within a message has no trailers: they would be read as its bytes', () => {
    for (let length = 1; length < 9; length++) {
      const { bytes, failed } = through(webResponseStep(false, ''), [framed('abcd').subarray(0, length)], OK)
      assert.equal(bytes.length, length)
      assert.match(failed, /^UpstreamTruncated/)
    }
  })

  it('has no trailers but ours: a message that claims to be some is refused', () => {
    const forged = framed('grpc-status: 0\r\n', 0x80)
    for (const size of [1, 3, 100])
      assert.match(
        through(webResponseStep(false, ''), inSizes(Buffer.concat([framed('a'), forged]), [size]), OK).failed,
        /^UpstreamProtocolError/,
      )
  })
})

describe('the request of gRPC-Web in text', () => {
  it('is the same bytes in any chunks', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), sizes, (messages, list) => {
        const text = Buffer.concat(messages.map((one) => encodeBase64(framed(one))))
        const { bytes, failed } = through(decodeWebText, inSizes(text, list))
        assert.equal(failed, '')
        assert.deepEqual(bytes, Buffer.concat(messages.map((one) => framed(one))))
      }),
    )
  })

  it('is refused where it is no base64', () => {
    for (const text of ['AAA', 'AAAA=', 'A-AA', 'AA==A', 'AAAA\n'])
      assert.match(through(decodeWebText, [Buffer.from(text)]).failed, /^BadGrpcRequest/, text)
  })
})

describe('frames of messages', () => {
  it('end where their lengths say, in any chunks', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), sizes, fc.nat(), (messages, list, cut) => {
        const body = Buffer.concat(messages.map((one) => framed(one)))
        const part = body.subarray(0, cut % (body.length + 1))
        const frames = new MessageFrames()
        for (const chunk of inSizes(part, list)) assert.ok(frames.follow(chunk))
        const boundaries = [0]
        for (const one of messages) boundaries.push(boundaries.at(-1)! + 5 + one.length)
        assert.equal(frames.between, boundaries.includes(part.length))
      }),
    )
  })

  it('may be as long as 32 bits say', () => {
    const frames = new MessageFrames()
    frames.follow(Buffer.from([0, 255, 255, 255, 255]))
    const piece = Buffer.alloc(1 << 26)
    for (let i = 0; i < 63; i++) frames.follow(piece)
    frames.follow(piece.subarray(0, piece.length - 2))
    assert.equal(frames.between, false)
    frames.follow(piece.subarray(0, 1))
    assert.equal(frames.between, true)
  })
})
