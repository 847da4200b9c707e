import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { onlyAt, valueIs } from '../../src/cache/one-field.ts'
import { judgeStoring } from '../../src/cache/storing.ts'
import { DEFAULT_TARGETS } from '../../src/cache/targeted-fields.ts'
import { StatusHead } from '../../src/http/head.ts'
import { Fields } from '../../src/message/fields.ts'

const LIMITS = { head: 1 << 20, headers: 1_000, uri: 1_000 }
const NOW = Date.UTC(2026, 10, 30, 12)
const TIMES = { sent: NOW - 100, received: NOW }
const REQUEST = {
  method: 'GET',
  fields: new Fields(),
  credentials: false,
  identityInKey: false,
  content: 'None',
} as const
const RULES = { mode: 'Standard', targets: DEFAULT_TARGETS } as const

type Line = readonly [name: string, value: string]

function received(lines: readonly Line[]): Fields {
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const bytes = Buffer.from(`HTTP/1.1 200 OK\r\n${text}\r\n`, 'latin1')
  const head = new StatusHead()
  assert.equal(head.parse(bytes, 0, bytes.length, LIMITS), bytes.length)
  return head.fields
}

function added(lines: readonly Line[]): Fields {
  const fields = new Fields()
  for (const [name, value] of lines) fields.add(name, value)
  return fields
}

const judged = (fields: Fields) => judgeStoring(REQUEST, 200, fields, TIMES, RULES)

const date = fc.constantFrom(
  ...['Mon, 30 Nov 2026 12:00:00 GMT', 'Mon, 30 Nov 2026 11:59:59 GMT', 'Sat, 28 Nov 2026 12:00:00 GMT', 'never'],
  ...['Monday, 30-Nov-26 12:00:00 GMT', 'Mon Nov 30 11:00:00 2026', '0', 'Mon, 30 Nov 2026 12:00:00 GMT and so on'],
)
const control = fc.constantFrom(
  ...['max-age=60', 'max-age=61', 'public', 'no-cache', 'no-store', 'max-age=60, private', 'max-age="60"', 'max-age=,'],
)
const octet = fc.integer({ min: 0x21, max: 0xff }).filter((byte) => byte !== 0x7f)
const tag = fc.oneof(
  fc.constantFrom('"a"', 'W/"a"', 'w/"a"', '"', '""', 'W/""', 'W/', 'W', '"a', 'a"', '"a"b"', '"a b"', '"a", "b"'),
  fc.array(octet, { maxLength: 4 }).map((bytes) => `"${String.fromCharCode(...bytes)}"`),
)
const line: fc.Arbitrary<Line> = fc.oneof(
  fc.tuple(fc.constant('cache-control'), control),
  fc.tuple(fc.constantFrom('date', 'last-modified', 'expires'), date),
  fc.tuple(fc.constant('etag'), tag),
)

describe('a field that a message has once', () => {
  it('is judged in its bytes as by its text, whatever came before', () => {
    const verdicts = new Map<string, number>()
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
        const verdict = judged(received(lines))
        assert.deepEqual(verdict, judged(added(lines)))
        const kind = verdict.store ? `stored ${verdict.numbers.flags}` : verdict.reason
        verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1)
      }),
      { numRuns: 4_000 },
    )
    assert.ok(verdicts.size > 8, `${[...verdicts]}`)
  })

  it('is the one that is sent: not a removed one, and none beside another', () => {
    const lines: Line[] = [
      ['etag', '"a"'],
      ['x-a', 'etag'],
      ['etag', '"b"'],
    ]
    const fields = received(lines)
    assert.equal(onlyAt(fields, 'etag'), -1)
    fields.removeAt(0)
    assert.equal(onlyAt(fields, 'etag'), 2)
    assert.deepEqual(
      ['"b"', '"a"', '"b" ', ''].map((text) => valueIs(fields, 2, text)),
      [true, false, false, false],
    )
    fields.add('etag', '"c"')
    assert.equal(onlyAt(fields, 'etag'), -1)
    assert.equal(onlyAt(fields, 'vary'), -1)
  })
})
