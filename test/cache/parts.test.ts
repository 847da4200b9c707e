import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type AskedRange, askedRange, isAnswered, rangeText } from '../../src/cache/asked-range.ts'
import { decodeParts, encodeParts, partWith } from '../../src/cache/parts-record.ts'
import { parseRanges } from '../../src/cache/ranges.ts'
import { Fields } from '../../src/message/fields.ts'

const fieldsOf = (...values: string[]): Fields => {
  const fields = new Fields()
  for (const value of values) fields.add('range', value)
  return fields
}

const asked: fc.Arbitrary<AskedRange> = fc.oneof(
  fc.integer({ min: 1, max: 50 }).map((last) => ({ first: -1, last })),
  fc.nat(50).map((first) => ({ first, last: -1 })),
  fc.tuple(fc.nat(50), fc.nat(50)).map(([first, more]) => ({ first, last: first + more })),
)

describe('one range that is asked for', () => {
  it('is read back from its text', () => {
    fc.assert(
      fc.property(asked, (range) => {
        assert.deepEqual(askedRange(fieldsOf(`bytes=${rangeText(range)}`)), range)
      }),
    )
  })

  it('is none where there are several, or nothing can satisfy it', () => {
    const none = [
      'bytes=0-1,2-3',
      'bytes=5-4',
      'bytes=-0',
      'bytes=',
      'bytes=-',
      'items=0-1',
      'bytes=0-9999999999999999',
    ]
    for (const value of none) assert.equal(askedRange(fieldsOf(value)), undefined, value)
    assert.equal(askedRange(fieldsOf('bytes=0-1', 'bytes=0-1')), undefined)
    assert.equal(askedRange(fieldsOf()), undefined)
    assert.deepEqual(askedRange(fieldsOf('BYTES=007-9')), { first: 7, last: 9 })
  })

  it('is answered by the part that it means, and by nothing that begins elsewhere or has more', () => {
    fc.assert(
      fc.property(asked, fc.integer({ min: 1, max: 60 }), fc.nat(60), fc.nat(60), (range, complete, first, last) => {
        if (first > last || last >= complete) return
        const whole = parseRanges(`bytes=${rangeText(range)}`, complete)
        const meant = whole.type === 'Ranges' ? whole.ranges[0] : undefined
        const is = isAnswered(range, { first, last, complete })
        if (meant?.first === first && meant.last === last) assert.ok(is)
        if (meant === undefined || meant.first !== first || last > meant.last) assert.ok(!is)
      }),
    )
  })
})

describe('a record of parts', () => {
  it('is read back from its bytes, wherever they stand', () => {
    const part = fc.tuple(asked, fc.nat(), fc.nat()).map(([one, first, last]) => ({ first, last, asked: one }))
    const record = fc.record(
      {
        complete: fc.maxSafeNat(),
        tag: fc.stringMatching(/^"[!#-~]{0,40}"$/),
        sent: fc.maxSafeNat(),
        parts: fc.array(part, { maxLength: 32 }),
      },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(record, fc.nat(20), (one, start) => {
        const bytes = encodeParts(one)
        const within = Buffer.concat([Buffer.alloc(start, 1), bytes, Buffer.alloc(40, 2)])
        assert.deepEqual(decodeParts(within, start, bytes.length), one)
      }),
    )
  })

  it('names the newest part that has all of the ranges', () => {
    const row = (first: number, last: number) => ({ first, last, asked: { first, last } })
    const record = { complete: 100, tag: '"a"', sent: 0, parts: [row(0, 50), row(20, 30), row(60, 70)] }
    assert.equal(partWith(record, [{ first: 22, last: 25 }]), record.parts[1])
    assert.equal(
      partWith(record, [
        { first: 22, last: 25 },
        { first: 0, last: 0 },
      ]),
      record.parts[0],
    )
    assert.equal(partWith(record, [{ first: 45, last: 65 }]), undefined)
  })
})
