import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { HASHED, hashPrefix, hashText } from '../../src/shared-memory/keyed-hash.ts'

const MASK = 0xffff_ffffn

/** The definition of HalfSipHash-1-3 with 64 bits of output, over words of two units, slowly and by big integers. */
function slowHash(secret: readonly [number, number], prefix: string, text: string): readonly [number, number] {
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
  const absorb = (units: readonly number[]): void => {
    for (let i = 0; i <= units.length; i += 2) {
      const low = BigInt(units[i] ?? 0)
      const high = i + 1 < units.length ? BigInt(units[i + 1]!) : BigInt(units.length & 0xffff)
      const message = low | (high << 16n)
      v3 ^= message
      round()
      v0 ^= message
    }
  }
  const unitsOf = (string: string): number[] => Array.from({ length: string.length }, (_, i) => string.charCodeAt(i))
  absorb([prefix.length & 0xffff, prefix.length >>> 16, ...unitsOf(prefix)])
  absorb(unitsOf(text))
  v2 ^= 0xeen
  for (let i = 0; i < 3; i++) round()
  const low = v1 ^ v3
  v1 ^= 0xddn
  for (let i = 0; i < 3; i++) round()
  return [Number(low) | 0, Number(v1 ^ v3) | 0]
}

const texts = fc.string({ unit: 'binary', maxLength: 40 })

describe('the keyed hash', () => {
  it('is what its definition says', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), texts, texts, (k0, k1, prefix, text) => {
        hashText(hashPrefix([k0 | 0, k1 | 0], prefix), text)
        assert.deepEqual([HASHED.low, HASHED.high], slowHash([k0 | 0, k1 | 0], prefix, text))
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
