/**
 * Fuzzer of the chunked coding: `node test/fuzz/chunked.ts [seconds]`. The decoder, fed in pieces of every size, and
 * the slow oracle must agree. What it finds goes into chunked.seeds.json, which chunked.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { ChunkedDecoder } from '../../src/http/chunked.ts'
import { readChunkedSlowly } from '../http/chunked-oracle.ts'

const LIMITS = { head: 10_000, headers: 100, uri: 100 }

const PIECES = [
  '\r\n',
  '\r\n',
  '\r',
  '\n',
  '0\r\n',
  '0\r\n\r\n',
  '1\r\na\r\n',
  '3\r\nabc\r\n',
  '3;x=y\r\nabc\r\n',
  'A\r\n0123456789\r\n',
  '000000000003\r\n',
  '0000000000003\r\n',
  'ffffffffffff\r\n',
  ';',
  '; q="\xe9"',
  '3 ;x\r\nabc\r\n',
  '3;\r\nabc\r\n',
  '3;x=\r\nabc\r\n',
  '="',
  '\\',
  '=',
  'x',
  '"',
  ' ',
  '\t',
  'abc',
  'x: y\r\n',
  'x:\r\n',
  'x : y\r\n',
  ' folded\r\n',
  'g',
  '+1',
  '0x1',
  '-1',
  '\0',
]

export const chunkedText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.nat({ max: 255 }).map((byte) => String.fromCharCode(byte)) },
    ),
    { maxLength: 12 },
  )
  .map((pieces) => pieces.join(''))

export interface Decoded {
  readonly data: string
  readonly trailers: readonly (readonly [string, string])[]
  readonly consumed: number
  readonly state: 'done' | 'failed' | 'open'
}

/** @param cuts offsets at which the text is divided, ascending */
export function decode(text: string, cuts: readonly number[], limits = LIMITS): Decoded {
  const decoder = new ChunkedDecoder(limits)
  let data = ''
  let consumed = 0
  const sink = {
    chunkData: (bytes: Buffer, start: number, end: number) => void (data += bytes.latin1Slice(start, end)),
  }
  let from = 0
  for (const to of [...cuts, text.length]) {
    // Between other bytes, and overwritten afterwards, as a read buffer is.
    const bytes = Buffer.from(`0\r\n${text.slice(from, to)}\r\n0\r\n\r\n`, 'latin1')
    const at = decoder.push(bytes, 3, 3 + to - from, sink)
    consumed += at - 3
    if (decoder.done || decoder.failed) break
    assert.equal(at, 3 + to - from, 'an open decoder takes all it is given')
    bytes.fill(0x58)
    from = to
  }
  const trailers: [string, string][] = []
  decoder.trailers?.forEach((name, value) => void trailers.push([name, value]))
  assert.notEqual(decoder.trailers?.count, 0, 'trailers are there or not, and never there and empty')
  return { data, trailers, consumed, state: decoder.done ? 'done' : decoder.failed ? 'failed' : 'open' }
}

/** Throws when decoder and oracle differ, or one way of cutting the text from another. */
export function checkChunked(text: string): void {
  const whole = decode(text, [])
  const slow = readChunkedSlowly(text)
  if (typeof slow === 'object') {
    assert.deepEqual(whole, { data: slow.data, trailers: slow.trailers, consumed: slow.end, state: 'done' })
  } else if (slow === 'possible') assert.equal(whole.state, 'open')
  // Of a line of the trailers that cannot be one the decoder may hear the end first.
  else assert.notEqual(whole.state, 'done')
  for (let at = 0; at <= text.length; at++) same(decode(text, [at]), whole, `cut at ${at}`)
  same(
    decode(
      text,
      Array.from({ length: text.length }, (_, at) => at),
    ),
    whole,
    'byte by byte',
  )
}

function same(cut: Decoded, whole: Decoded, how: string): void {
  assert.deepEqual([cut.data, cut.trailers], [whole.data, whole.trailers], how)
  if (whole.state === 'done') assert.deepEqual([cut.state, cut.consumed], ['done', whole.consumed], how)
  else if (whole.state === 'open') assert.equal(cut.state, 'open', how)
  // Trailers that come in pieces are looked at when a line is complete.
  else assert.notEqual(cut.state, 'done', how)
}

export const seeds: readonly string[] = JSON.parse(readFileSync(new URL('chunked.seeds.json', import.meta.url), 'utf8'))

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(chunkedText, checkChunked), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [string] => [seed]),
  })
}
