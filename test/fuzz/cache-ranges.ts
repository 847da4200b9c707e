/**
 * Fuzzer of range requests: `node test/fuzz/cache-ranges.ts [seconds]`. What it finds goes into
 * cache-ranges.seeds.json, which cache-ranges.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { multipartOf } from '../../src/cache/multipart.ts'
import { parseRanges } from '../../src/cache/ranges.ts'
import { expectRanges } from '../cache/ranges-oracle.ts'

/** Between two ranges that are not joined there are more bytes than this: a part's own lines take as many. */
const GAP = 160
/** A range that is valid has more elements than this only if they are empty: it is not looked at. */
const MAX_ELEMENTS = 128

const number = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 1_200 }).map(String) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('0', '00', '007', '9007199254740993', '99999999999999999999999', '1e3', '+1'),
  },
)
const spec = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(number, number).map(([a, b]) => `${a}-${b}`) },
  { weight: 3, arbitrary: number.map((a) => `${a}-`) },
  { weight: 3, arbitrary: number.map((a) => `-${a}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', ' ', '-', '--1', '1', '1-2-3', '0x1-2', ' 1-2 ', '1 -2', '\t3-4', '-0', '٣-٤'),
  },
)
const unit = fc.oneof(
  { weight: 10, arbitrary: fc.constant('bytes=') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('Bytes=', 'bytes =', 'bytes', 'items=', '', 'bytes==', ' bytes=', 'bytesbytes='),
  },
)

export const rangeRequest: fc.Arbitrary<[string, number]> = fc.tuple(
  fc
    .tuple(
      unit,
      fc.oneof(fc.array(spec, { maxLength: 4 }), fc.array(spec, { maxLength: 40 })),
      fc.constantFrom(',', ', '),
    )
    .map(([before, specs, comma]) => before + specs.join(comma)),
  fc.oneof(fc.constantFrom(0, 1, 2, 1_000), fc.nat({ max: 1_000 })),
)

/** Throws when a range is treated otherwise than by the slow rules. */
export function checkRanges([value, length]: readonly [string, number]): void {
  const answer = parseRanges(value, length)
  const expected = expectRanges(value, length)
  if (value.split(',').length >= MAX_ELEMENTS) {
    assert.equal(answer.type, 'Whole')
    return
  }
  assert.equal(answer.type, expected.type)
  if (answer.type !== 'Ranges') return
  const { ranges } = answer
  const sent: boolean[] = Array.from({ length }, () => false)
  for (const { first, last } of ranges) {
    assert.ok(first >= 0 && first <= last && last < length)
    assert.ok(expected.asked[first] && expected.asked[last], 'no range begins or ends with what nobody asked for')
    for (let i = first; i <= last; i++) {
      assert.equal(sent[i], false, 'no byte is sent twice')
      sent[i] = true
    }
  }
  for (let i = 0, run = 0; i < length; i++) {
    if (expected.asked[i]) assert.equal(sent[i], true)
    run = sent[i] && !expected.asked[i] ? run + 1 : 0
    assert.ok(run <= GAP, 'no more than a small gap is sent unasked')
  }
  // In the order of the first of what each was made of.
  const order = ranges.map(({ first, last }) => expected.firsts.findIndex((at) => at >= first && at <= last))
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  )
  checkMultipart(ranges, length)
}

function checkMultipart(ranges: readonly { first: number; last: number }[], length: number): void {
  const body = Buffer.from(Array.from({ length }, (_, i) => i & 0x7f))
  const { contentType, length: total, parts, after } = multipartOf(ranges, length, 'text/plain', 'B0undary')
  const pieces = parts.flatMap(({ before, first, last }) => [before, body.subarray(first, last + 1)])
  const whole = Buffer.concat([...pieces, after])
  assert.equal(whole.length, total)
  assert.equal(contentType, 'multipart/byteranges; boundary=B0undary')
  assert.deepEqual(
    readMultipart(whole, 'B0undary'),
    ranges.map(({ first, last }) => ({
      range: `bytes ${first}-${last}/${length}`,
      type: 'text/plain',
      bytes: body.subarray(first, last + 1),
    })),
  )
}

/** RFC 2046 §5.1.1, by the lengths that the parts state. */
export function readMultipart(whole: Buffer, boundary: string): { range: string; type: string; bytes: Buffer }[] {
  const parts: { range: string; type: string; bytes: Buffer }[] = []
  let at = 0
  let delimiter = `--${boundary}`
  while (true) {
    assert.equal(whole.latin1Slice(at, at + delimiter.length), delimiter)
    at += delimiter.length
    if (whole.latin1Slice(at, at + 2) === '--') break
    const end = whole.indexOf('\r\n\r\n', at)
    const head = whole.latin1Slice(at, end)
    const type = /\r\ncontent-type: (.*)/.exec(head)![1]!
    const range = /\r\ncontent-range: (bytes (\d+)-(\d+)\/\d+)/.exec(head)!
    const size = Number(range[3]) - Number(range[2]) + 1
    parts.push({ range: range[1]!, type, bytes: whole.subarray(end + 4, end + 4 + size) })
    at = end + 4 + size
    delimiter = `\r\n--${boundary}`
  }
  assert.equal(whole.latin1Slice(at, whole.length), '--\r\n')
  return parts
}

export const seeds: readonly (readonly [string, number])[] = JSON.parse(
  readFileSync(new URL('cache-ranges.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(rangeRequest, checkRanges), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map(([value, length]): [[string, number]] => [[value, length]]),
  })
}
