import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodedBound, decodeHuffman, encodeHuffman, huffmanLength } from '../../src/http/huffman.ts'

function encode(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const out = Buffer.alloc(bytes.length * 4 + 4)
  const end = encodeHuffman(bytes, 0, bytes.length, out, 2)
  assert.equal(end - 2, huffmanLength(bytes, 0, bytes.length))
  return out.subarray(2, end)
}

function decode(bytes: Buffer): string | null {
  const out = Buffer.alloc(decodedBound(bytes.length) + 1, 0xee)
  const end = decodeHuffman(bytes, 0, bytes.length, out, 1)
  assert.equal(out[0], 0xee)
  return end < 0 ? null : out.latin1Slice(1, end)
}

test('strings of RFC 7541 Appendix C are encoded as there', () => {
  const examples = {
    'www.example.com': 'f1e3c2e5f23a6ba0ab90f4ff',
    'no-cache': 'a8eb10649cbf',
    'custom-key': '25a849e95ba97d7f',
    'custom-value': '25a849e95bb8e8b4bf',
    'Mon, 21 Oct 2013 20:13:21 GMT': 'd07abe941054d444a8200595040b8166e082a62d1bff',
    'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1':
      '94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
  }
  for (const [text, hex] of Object.entries(examples)) {
    assert.equal(encode(text).toString('hex'), hex)
    assert.equal(decode(Buffer.from(hex, 'hex')), text)
  }
})

test('every string comes back, within the bound of its length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1')
      assert.equal(decode(encode(text)), text)
    }),
  )
  for (let byte = 0; byte < 256; byte++) {
    const text = String.fromCharCode(byte).repeat(9)
    assert.equal(decode(encode(text)), text)
  }
})

test('what is decoded is the one encoding of its string, or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const text = decode(Buffer.from(bytes))
      if (text !== null) assert.equal(encode(text).toString('hex'), Buffer.from(bytes).toString('hex'))
    }),
    { numRuns: 2000 },
  )
})

test('EOS, a padding of a whole byte, and a padding with zeros are refused', () => {
  assert.equal(decode(Buffer.from('ffffffff', 'hex')), null)
  assert.equal(decode(Buffer.from('fffffffc', 'hex')), null)
  assert.equal(decode(Buffer.from('1fff', 'hex')), null, '"a" and eleven ones')
  assert.equal(decode(Buffer.from('ff', 'hex')), null, 'eight ones alone')
  assert.equal(decode(Buffer.from('18', 'hex')), null, '"a" and zeros')
  assert.equal(decode(Buffer.from('1f', 'hex')), 'a')
  assert.equal(decode(Buffer.alloc(0)), '')
})
