import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ChunkedDecoder, lastChunk } from '../../src/http/chunked.ts'
import { Fields } from '../../src/message/fields.ts'
import { decode } from '../fuzz/chunked.ts'

const LIMITS = { head: 200, headers: 3, uri: 0 }
const sink = { chunkData: () => {} }

function fault(text: string, limits = LIMITS): string {
  const decoder = new ChunkedDecoder(limits)
  const bytes = Buffer.from(text, 'latin1')
  decoder.push(bytes, 0, bytes.length, sink)
  assert.equal(decoder.done, false)
  return decoder.failed ? decoder.fault : ''
}

/** RFC 9112 §7.1. */
const REFUSALS: readonly (readonly [what: string, text: string, fault: RegExp])[] = [
  ['no size', '\r\n', /no chunk size/],
  ['a sign', '+1\r\n', /no chunk size/],
  ['a prefix', '0x1\r\n', /not hexadecimal/],
  ['a space before the size', ' 1\r\n', /no chunk size/],
  ['a space behind the size', '1 \r\n', /malformed/],
  ['a size of thirteen digits', '0000000000001\r\n', /too large/],
  ['an underscore', '1_0\r\n', /not hexadecimal/],
  ['a bare LF behind the size', '1\na\r\n', /not hexadecimal/],
  ['a bare CR behind the size', '1\ra\r\n', /bare CR/],
  ['a bare LF in an extension', '1;a\na\r\n', /malformed/],
  ['a bare CR in an extension', '1;a\rb\r\n', /bare CR/],
  ['a NUL in an extension', '1;\0\r\n', /malformed/],
  ['an extension without a name', '1;\r\n', /malformed/],
  ['an extension without a name behind another', '1;a;\r\n', /malformed/],
  ['an extension without a name before another', '1;;a\r\n', /malformed/],
  ['an extension of white space', '1; \t\r\n', /malformed/],
  ['an extension with a value and no name', '1;=b\r\n', /malformed/],
  ['an extension with a quoted name', '1;"a"=b\r\n', /malformed/],
  ['an extension with = and no value', '1;a=\r\n', /malformed/],
  ['an extension with = and white space', '1;a= \r\n', /malformed/],
  ['an extension with = and another behind it', '1;a=;b\r\n', /malformed/],
  ['two names without a semicolon', '1;a b\r\n', /malformed/],
  ['two values', '1;a=b c\r\n', /malformed/],
  ['something behind a quoted value', '1;a="b"c\r\n', /malformed/],
  ['a quote within a token', '1;a=b"c"\r\n', /malformed/],
  ['a quoted value that does not end', '1;a="b\r\n', /malformed/],
  ['a line end behind a backslash', '1;a="b\\\r\n', /malformed/],
  ['white space behind an extension', '1;a \r\n', /malformed/],
  ['white space behind a value', '1;a=b\t\r\n', /malformed/],
  ['white space behind a quoted value', '1;a="b" \r\n', /malformed/],
  ['white space and something else behind the size', '1 a\r\n', /malformed/],
  ['data longer than its size', '1\r\nab', /longer than its size/],
  ['data that ends in a bare LF', '1\r\na\n', /longer than its size/],
  ['data that ends in a bare CR', '1\r\na\rX', /bare CR/],
  ['a folded trailer', '0\r\na: b\r\n c\r\n\r\n', /in the trailers: a folded line/],
  ['white space before a trailer colon', '0\r\na : b\r\n\r\n', /in the trailers: white space/],
  ['a bare LF behind a trailer', '0\r\na: b\n\r\n', /in the trailers: a control byte/],
  ['too many trailers', `0\r\n${'a: b\r\n'.repeat(4)}\r\n`, /in the trailers: over 3 fields/],
  ['trailers that are too long', `0\r\na: ${'b'.repeat(200)}\r\n\r\n`, /in the trailers: over 200 bytes/],
]

describe('the chunked coding', () => {
  for (const [what, text, expected] of REFUSALS) it(`refuses ${what}`, () => assert.match(fault(text), expected))

  it('reads extensions by their grammar, with white space where RFC 9112 §7.1.1 allows it', () => {
    for (const extension of [
      ' ;a',
      '\t; a',
      ' \t ; \t a',
      ';a=b',
      ';a = b',
      ' ; a\t=\t"b" ; c',
      ';a="";b',
      ';a=";\\"=\\\\ \t\xe9";b=c',
      ';a;a;a=a',
    ]) {
      assert.equal(decode(`1${extension}\r\na\r\n0${extension}\r\n\r\n`, []).state, 'done', extension)
      // The next line begins where this one ends, whatever stands in quotes.
      assert.equal(decode(`1${extension}\r\na\r\n0${extension}\r\n\r\n`, []).data, 'a', extension)
    }
  })

  it('gives the data, the trailers and where it ends', () => {
    assert.deepEqual(decode('3;x="y"\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /', []), {
      data: 'abc0123456789',
      trailers: [['x-sum', '1']],
      consumed: 45,
      state: 'done',
    })
  })

  it('carries sizes up to 2^48 exactly', () => {
    const decoder = new ChunkedDecoder(LIMITS)
    const head = Buffer.from('FFFFFFFFFFFF\r\n')
    decoder.push(head, 0, head.length, sink)
    assert.deepEqual([decoder.failed, decoder.done], [false, false])
    const data = Buffer.alloc(65_536)
    assert.equal(decoder.push(data, 0, data.length, sink), data.length)
    assert.equal(decoder.failed, false)
  })

  it('bounds the extensions of a whole body and not only of one chunk', () => {
    assert.equal(fault(`1;${'e'.repeat(4095)}\r\na\r\n`), '')
    assert.match(fault(`1;${'e'.repeat(4096)}\r\n`), /extensions/)
    assert.match(fault(`1${' '.repeat(4097)}`), /extensions/)
    assert.match(fault(`1;${'e'.repeat(99)}\r\na\r\n`.repeat(50)), /extensions/)
  })

  it('bounds trailers that never end, however they come', () => {
    const decoder = new ChunkedDecoder(LIMITS)
    const bytes = Buffer.from(`0\r\na: ${'b'.repeat(500)}`)
    let pushed = 0
    for (; pushed < bytes.length && !decoder.failed; pushed++) decoder.push(bytes, pushed, pushed + 1, sink)
    assert.equal(decoder.failed, true)
    assert.ok(pushed < 220, `gave up after ${pushed} bytes`)
  })

  it('takes nothing more once it is done or has failed', () => {
    for (const text of ['0\r\n\r\n', 'x']) {
      const decoder = new ChunkedDecoder(LIMITS)
      const bytes = Buffer.from(text)
      decoder.push(bytes, 0, bytes.length, sink)
      const more = Buffer.from('1\r\na\r\n')
      assert.equal(decoder.push(more, 0, more.length, { chunkData: () => assert.fail('data after the end') }), 0)
    }
  })

  it('drops trailers that would be framing, routing or credentials, in every spelling', () => {
    const limits = { head: 10_000, headers: 100, uri: 0 }
    const names = [
      'Transfer-Encoding',
      'content-length',
      'HOST',
      'Authorization',
      'x_forwarded_for',
      'Forwarded',
      'X-Forwarded-User',
      'X-Original_URL',
      'x-real-ip',
      'Cookie',
      'connection',
    ]
    const text = `0\r\n${names.map((each) => `${each}: 1\r\n`).join('')}x-sum: 2\r\n\r\n`
    assert.deepEqual(decode(text, [], limits).trailers, [['x-sum', '2']])
  })

  it('writes the end of a body with its trailers', () => {
    assert.equal(lastChunk(null), '0\r\n\r\n')
    assert.equal(lastChunk(Fields.from({ 'x-sum': '2', y: '' })), '0\r\nx-sum: 2\r\ny: \r\n\r\n')
  })
})
