/** The streamed base64 against Node's; texts that are not valid: test/fuzz/grpc-web.ts. */
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

  it('is encoded as Node does, whatever memory the bytes are in', () => {
    const pool = Buffer.from('0123456789')
    assert.equal(encodeBase64(pool.subarray(3, 7)).toString(), pool.subarray(3, 7).toString('base64'))
    assert.equal(encodeBase64(new Uint8Array(pool.buffer, pool.byteOffset + 1, 2)).toString(), 'MTI=')
    assert.equal(encodeBase64(new Uint8Array(0)).length, 0)
  })
})
