/** The streamed base64 against Node's, in all chunkings. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Base64Decoder, encodeBase64 } from '../../src/grpc/base64.ts'

/** Cuts bytes at these places. */
function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  const parts: Uint8Array[] = []
  let from = 0
  for (const end of [...ends, bytes.length]) {
    parts.push(bytes.subarray(from, end))
    from = end
  }
  return parts
}

function decodeAll(parts: readonly Uint8Array[]): string | null {
  const decoder = new Base64Decoder()
  const decoded: Buffer[] = []
  for (const part of parts) {
    const bytes = decoder.decode(part)
    if (bytes === null) return null
    decoded.push(bytes)
  }
  return decoder.complete ? Buffer.concat(decoded).toString('hex') : null
}

/** What any text means: groups of four, each perhaps padded, decoded one by one by Node. */
function oracle(text: string): string | null {
  if (text.length % 4 !== 0) return null
  const groups = text.match(/[\s\S]{4}/g) ?? []
  if (groups.some((group) => !/^(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$/.test(group))) return null
  return Buffer.concat(groups.map((group) => Buffer.from(group, 'base64'))).toString('hex')
}

const places = fc.array(fc.nat(), { maxLength: 8 })

describe('base64 in a stream', () => {
  it('is the same bytes however it is cut, and however often it is padded', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 }), places, (pieces, cuts) => {
        const text = Buffer.concat(pieces.map(encodeBase64))
        assert.equal(decodeAll(cutAt(text, cuts)), Buffer.concat(pieces).toString('hex'))
      }),
    )
  })

  it('agrees with Node about every text, valid or not', () => {
    const character = fc.constantFrom('A', 'Q', 'z', '0', '+', '/', '=', '-', '_', ' ', '\n', '\0', 'ÿ')
    const groups = fc.constantFrom('QUJD', 'QUI=', 'QQ==', '====', 'Q===', '=QUJ', 'QU=D')
    const text = fc.oneof(
      fc.string({ unit: character, maxLength: 16 }),
      fc.array(groups).map((list) => list.join('')),
    )
    fc.assert(
      fc.property(text, places, (value, cuts) => {
        assert.equal(decodeAll(cutAt(Buffer.from(value, 'latin1'), cuts)), oracle(value))
      }),
      { numRuns: 2_000 },
    )
  })

  it('is encoded as Node does, whatever memory the bytes are in', () => {
    const pool = Buffer.from('0123456789')
    assert.equal(encodeBase64(pool.subarray(3, 7)).toString(), pool.subarray(3, 7).toString('base64'))
    assert.equal(encodeBase64(new Uint8Array(pool.buffer, pool.byteOffset + 1, 2)).toString(), 'MTI=')
    assert.equal(encodeBase64(new Uint8Array(0)).length, 0)
  })
})
