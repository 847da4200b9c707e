import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { HASHED, hashBytes, hashPrefix, hashText } from '../../src/shared-memory/keyed-hash.ts'

const MASK = 0xffff_ffffn

/** The definition of HalfSipHash-1-3 with 64 bits of output, slowly and by big integers. */
function slowHash(
  secret: readonly [number, number],
  prefix: string,
  messages: readonly bigint[],
): readonly [number, number] {
  const word = (value: number): bigint => BigInt(value >>> 0)
  const left = (value: bigint, bits: bigint): bigint => ((value << bits) | (value >> (32n - bits))) & MASK
  const [k0, k1] = [word(secret[0]), word(secret[1])]
  let [v0, v1, v2, v3] = [k0, k1 ^ 0xeen, k0 ^ 0x6c796765n, k1 ^ 0x74656462n]
  const round = (): void => {
    v0 = (v0 + v1) & MASK
    v1 = left(v1, 5n) ^ v0
    v0 = left(v0, 16n)
    v2 = (v2 + v3) & MASK
    v3 = left(v3, 8n) ^ v2
    v0 = (v0 + v3) & MASK
    v3 = left(v3, 7n) ^ v0
    v2 = (v2 + v1) & MASK
    v1 = left(v1, 13n) ^ v2
    v2 = left(v2, 16n)
  }
  const start = wordsOfUnits([prefix.length & 0xffff, prefix.length >>> 16, ...unitsOf(prefix)])
  for (const message of [...start, ...messages]) {
    v3 ^= message
    round()
    v0 ^= message
  }
  v2 ^= 0xeen
  for (let i = 0; i < 3; i++) round()
  const low = v1 ^ v3
  v1 ^= 0xddn
  for (let i = 0; i < 3; i++) round()
  return [Number(low) | 0, Number(v1 ^ v3) | 0]
}

function unitsOf(text: string): number[] {
  return Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
}

/** Two units a word, the last word with the length. */
function wordsOfUnits(units: readonly number[]): bigint[] {
  const words: bigint[] = []
  for (let i = 0; i <= units.length; i += 2)
    words.push(BigInt(units[i] ?? 0) | (BigInt(i + 1 < units.length ? units[i + 1]! : units.length & 0xffff) << 16n))
  return words
}

/** As SipHash has it: four bytes a word, the last word with the lowest byte of the length. */
function wordsOfBytes(bytes: Uint8Array): bigint[] {
  const whole = bytes.length - (bytes.length % 4)
  const padded = new Uint8Array(whole + 4)
  padded.set(bytes)
  padded[whole + 3] = bytes.length
  const view = new DataView(padded.buffer)
  return Array.from({ length: padded.length / 4 }, (_, i) => BigInt(view.getUint32(i * 4, true)))
}

const texts = fc.string({ unit: 'binary', maxLength: 40 })

describe('the keyed hash', () => {
  it('is what its definition says', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), texts, texts, (k0, k1, prefix, text) => {
        hashText(hashPrefix([k0 | 0, k1 | 0], prefix), text)
        assert.deepEqual([HASHED.low, HASHED.high], slowHash([k0 | 0, k1 | 0], prefix, wordsOfUnits(unitsOf(text))))
      }),
      { numRuns: 300 },
    )
  })

  it('is the same over bytes, of which only the first count', () => {
    const bytes = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(fc.integer(), fc.integer(), texts, bytes, fc.nat(300), (k0, k1, prefix, all, cut) => {
        const length = Math.min(cut, all.length)
        hashBytes(hashPrefix([k0 | 0, k1 | 0], prefix), all, length)
        const words = wordsOfBytes(all.subarray(0, length))
        assert.deepEqual([HASHED.low, HASHED.high], slowHash([k0 | 0, k1 | 0], prefix, words))
      }),
      { numRuns: 300 },
    )
  })

  it('tells a text from one that has moved between prefix and text, and by every unit', () => {
    const seen = new Set<string>()
    const cases = [
      ...['', '\0', '\0\0', 'a', 'a\0', '\0a', 'ab', 'ba', 'aa', 'aab'].map((text) => ['p', text] as const),
      ...[['pa', ''] as const, ['', 'pa'] as const, ['pa', 'a'] as const],
    ]
    for (const [prefix, text] of cases) {
      hashText(hashPrefix([3, 5], prefix), text)
      seen.add(`${HASHED.low} ${HASHED.high}`)
    }
    assert.equal(seen.size, cases.length)
  })
})
