/**
 * Fuzzer of HPACK: `node test/fuzz/hpack.ts [seconds]`. The decoder and a slow oracle must agree about connections of
 * several blocks. What it finds goes into hpack.seeds.json, which hpack.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { REQUEST_SECTION } from '../../src/http/header-section.ts'
import { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import { DECODED, MALFORMED, UNDECODABLE } from '../../src/http/section-builder.ts'
import { decodeList, expectedList } from '../http/hpack-lists.ts'
import { isRequest, SlowDecoder } from '../http/hpack-oracle.ts'

const PIECES = [
  '82',
  '84',
  '86',
  '87',
  '41',
  '0161',
  '8a',
  '90',
  'be',
  'bf',
  'c0',
  'ff00',
  'ff808008',
  '400161',
  '4003782d61',
  '400141',
  '0001610162',
  '10017a0179',
  '4006636f6f6b69650161',
  '600162',
  '0f1101',
  '7e0163',
  '7f0000',
  '03783d79',
  '8163',
  '831c6490',
  '84ffffffff',
  '20',
  '3f10',
  '3fe11f',
  '3fe21f',
  '7f',
  '0d0a',
  '00',
  '80',
  `407f81020161${'62'.repeat(384)}`,
  `5a7f${'00'}${'63'.repeat(127)}`,
]

const block: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.nat({ max: 255 }).map((byte) => byte.toString(16).padStart(2, '0')) },
    ),
    { maxLength: 10 },
  )
  .map((pieces) => pieces.join(''))

/** Blocks of one connection, in hexadecimal. */
export const connection: fc.Arbitrary<string[]> = fc.array(block, { maxLength: 6 })

/** Throws when decoder and oracle differ. */
export function checkHpack(blocks: readonly string[]): void {
  const decoder = new HpackDecoder()
  const slow = new SlowDecoder()
  for (const text of blocks) {
    const bytes = Buffer.from(text, 'hex')
    const list = slow.decode(bytes)
    // Three times, since a block that comes again takes another way.
    const { result, list: decoded } = decodeList(decoder, bytes, REQUEST_SECTION)
    if (list === null) {
      assert.equal(result, UNDECODABLE)
      return
    }
    assert.equal(result, isRequest(list) ? DECODED : MALFORMED)
    if (result === DECODED) assert.deepEqual(decoded, expectedList(list, true))
    assert.equal(decoder.tableSize, slow.size)
    for (let round = 0; round < 2; round++) {
      const repeated = slow.decode(bytes)
      const again = decodeList(decoder, bytes, REQUEST_SECTION)
      if (repeated === null) {
        assert.equal(again.result, UNDECODABLE)
        return
      }
      assert.equal(again.result, isRequest(repeated) ? DECODED : MALFORMED)
      if (again.result === DECODED) assert.deepEqual(again.list, expectedList(repeated, true))
      assert.equal(decoder.tableSize, slow.size)
    }
  }
}

export const seeds: readonly (readonly string[])[] = JSON.parse(
  readFileSync(new URL('hpack.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 30)
  fc.assert(fc.property(connection, checkHpack), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [string[]] => [[...seed]]),
  })
}
