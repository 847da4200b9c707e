/**
 * Fuzzer of gRPC-Web: `node test/fuzz/grpc-web.ts [seconds]`. Base64 decoded in pieces of every size agrees with Node's,
 * group by group; a body of gRPC translated in pieces of every size is what a client reads back, or is refused. What it
 * finds goes into grpc-web.seeds.json, which grpc-web.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { Base64Decoder } from '../../src/grpc/base64.ts'
import { webResponseStep } from '../../src/grpc/web-response.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import { composeBody } from '../../src/message/body-pipe.ts'
import { Fields } from '../../src/message/fields.ts'
import { decodeText, readWebResponse } from '../grpc/web-client.ts'

const PIECES = ['QUJD', 'QUI=', 'QQ==', '====', 'Q===', '=QUJ', 'QU=D', 'A', '=', '+', '/', '-', '_', ' ', '\n', '\0']
PIECES.push(
  '\0\0\0\0\0',
  '\0\0\0\0\x03abc',
  '\x01\0\0\0\x01z',
  '\x80\0\0\0\x02a:',
  '\0\0\0\0\x09',
  '\0\xff\xff\xff\xff',
)

export const webBody: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.nat({ max: 255 }).map((byte) => String.fromCharCode(byte)) },
    ),
    { maxLength: 10 },
  )
  .map((pieces) => pieces.join(''))

/** Every text in one piece, in single bytes, and cut once at each place. */
function* cuttings(bytes: Buffer): Generator<Buffer[]> {
  yield [bytes]
  yield Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
  for (let at = 1; at < bytes.length; at++) yield [bytes.subarray(0, at), bytes.subarray(at)]
}

function decoded(parts: readonly Buffer[]): string | null {
  const decoder = new Base64Decoder()
  let text = ''
  for (const part of parts) {
    const bytes = decoder.decode(part)
    if (bytes === null) return null
    text += bytes.toString('hex')
  }
  return decoder.complete ? text : null
}

/** Groups of four characters, each decoded by Node. */
export function decodedByNode(text: string): string | null {
  if (text.length % 4 !== 0) return null
  const groups = text.match(/[\s\S]{4}/g) ?? []
  if (groups.some((group) => !/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$/.test(group))) return null
  return groups.map((group) => Buffer.from(group, 'base64').toString('hex')).join('')
}

const TRAILERS = Fields.from({ 'grpc-status': '0' })

function translated(parts: readonly Buffer[], text: boolean): string {
  const out: Buffer[] = []
  let failed = ''
  const pipe = composeBody(
    [webResponseStep(text, '')],
    {
      write: (chunk) => out.push(Buffer.from(chunk)) > 0,
      end() {},
      fail: (error: GatewayError) => void (failed = error.reason),
    },
    () => {},
  )
  for (const part of parts) pipe.write(part)
  pipe.end(TRAILERS)
  if (failed !== '') return failed
  const { messages, trailers } = readWebResponse(text ? decodeText(Buffer.concat(out)) : Buffer.concat(out))
  return JSON.stringify([messages.map((message) => message.toString('hex')), trailers])
}

/** Frames one after the other, written apart from the gateway's own reading of them. */
function translatedSlowly(body: Buffer): string {
  const messages: string[] = []
  for (let at = 0; at < body.length; ) {
    if (body[at]! >= 0x80) return 'UpstreamProtocolError'
    if (at + 5 > body.length) return 'UpstreamTruncated'
    const end = at + 5 + body.readUInt32BE(at + 1)
    if (end > body.length) return 'UpstreamTruncated'
    messages.push(body.toString('hex', at + 5, end))
    at = end
  }
  return JSON.stringify([messages, { 'grpc-status': '0' }])
}

/** @throws when a reading depends on how the bytes are cut, or is not what the bytes say */
export function checkWebBody(body: string): void {
  const bytes = Buffer.from(body, 'latin1')
  const plain = decodedByNode(body)
  const response = translatedSlowly(bytes)
  for (const parts of cuttings(bytes)) {
    assert.equal(decoded(parts), plain)
    for (const text of [false, true]) assert.equal(translated(parts, text), response)
  }
}

export const seeds = JSON.parse(
  readFileSync(new URL('grpc-web.seeds.json', import.meta.url), 'utf8'),
) as readonly string[]

if (import.meta.main) {
  const until = Date.now() + Number(process.argv[2] ?? 10) * 1_000
  let runs = 0
  for (; Date.now() < until; runs += 1_000) fc.assert(fc.property(webBody, checkWebBody), { numRuns: 1_000 })
  console.log(`${runs} bodies, no difference`)
}
