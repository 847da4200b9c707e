import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import { LineSplitter } from '../../../src/source/kubernetes/line-splitter.ts'
import { ListReader } from '../../../src/source/kubernetes/list-reader.ts'

const LIMIT = 1_048_576

/** Random chunks, each in a buffer of its own that is overwritten afterwards, as a socket may do. */
function feed(bytes: Buffer, cuts: readonly number[], push: (chunk: Buffer) => void): void {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const to of [...places, bytes.length]) {
    const chunk = Buffer.from(bytes.subarray(from, to))
    push(chunk)
    chunk.fill(0x7b)
    from = to
  }
}

function readList(bytes: Buffer, cuts: readonly number[], limit = LIMIT) {
  const items: unknown[] = []
  const reader = new ListReader(limit, (json) => items.push(JSON.parse(json.toString('utf8'))))
  feed(bytes, cuts, (chunk) => reader.push(chunk))
  return { items, metadata: reader.end() }
}

const cuts = fc.array(fc.nat(), { maxLength: 20 })
const trickyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom('"items":[', ']}', '\\"', '\\', '{', '},{', 'ü\u2028', '\u{1f6aa}'),
)
const item = fc.dictionary(trickyText, fc.oneof(trickyText, fc.jsonValue({ maxDepth: 3 })), {
  maxKeys: 4,
  noNullPrototype: true,
})

describe('the incremental list reader', () => {
  it('matches JSON.parse for any chunking, order of members and white space', () => {
    const list = fc.record({
      items: fc.array(item, { maxLength: 5 }),
      next: trickyText,
      order: fc.shuffledSubarray(['kind', 'metadata', 'items', 'other'], { minLength: 4 }),
      indent: fc.constantFrom(undefined, 1, '\t'),
    })
    fc.assert(
      fc.property(list, cuts, ({ items, next, order, indent }, cuts) => {
        // Other values may contain members named `items`, nested deeper.
        const all: Record<string, unknown> = {
          kind: 'RouteList',
          metadata: { resourceVersion: '7', continue: next, items: ['no'] },
          items,
          other: { items: [1, { items: [] }] },
        }
        const text = JSON.stringify(Object.fromEntries(order.map((name) => [name, all[name]])), null, indent)
        const read = readList(Buffer.from(`${text}\n`), cuts)
        assert.deepEqual(read.items, JSON.parse(JSON.stringify(items)))
        assert.equal(read.metadata.resourceVersion, '7')
      }),
      { numRuns: 300 },
    )
  })

  it('rejects a truncated list', () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 3 }), fc.nat(), cuts, (items, cut, cuts) => {
        const bytes = Buffer.from(JSON.stringify({ metadata: { resourceVersion: '7' }, items }))
        assert.throws(() => readList(bytes.subarray(0, cut % bytes.length), cuts), ApiError)
      }),
    )
  })

  it('accepts or rejects arbitrary bytes without crashing', () => {
    const pieces = fc.array(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        '"',
        '\\',
        ',',
        ':',
        '"items":[',
        '"metadata"',
        ' ',
        '\n',
        '1',
        'null',
        '\xff',
      ),
      { maxLength: 40 },
    )
    fc.assert(
      fc.property(pieces, cuts, (pieces, cuts) => {
        try {
          const reader = new ListReader(LIMIT, () => {})
          feed(Buffer.from(pieces.join(''), 'latin1'), cuts, (chunk) => reader.push(chunk))
          reader.end()
        } catch (error) {
          assert.ok(error instanceof ApiError, String(error))
        }
      }),
      { numRuns: 500 },
    )
  })

  it('accepts null as an empty list', () => {
    assert.deepEqual(readList(Buffer.from('{"items":null,"metadata":{"resourceVersion":"7"}}'), []).items, [])
  })

  for (const [what, text] of [
    ['one item', `{"items":[{"a":"${'x'.repeat(2_000)}"}],"metadata":{"resourceVersion":"7"}}`],
    ['what is not an item', `{"items":[],"metadata":{"resourceVersion":"7","continue":"${'x'.repeat(70_000)}"}}`],
  ] as const)
    it(`rejects ${what} that is too long, in one chunk or in many`, () => {
      const bytes = Buffer.from(text)
      for (const cuts of [[], Array.from({ length: 50 }, (_, i) => i * 40)])
        assert.throws(() => readList(bytes, cuts, 1_000), /an item is over|too much beside/)
    })
})

describe('the line splitter', () => {
  it('splits at newlines only, for any chunking', () => {
    const line = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 30 })
      .map((text) => text.replaceAll('\n', '\u2028'))
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), line, cuts, (lines, rest, cuts) => {
        const heard: string[] = []
        const splitter = new LineSplitter(LIMIT, (json) => heard.push(json.toString('utf8')))
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join('') + rest)
        feed(bytes, cuts, (chunk) => splitter.push(chunk))
        assert.deepEqual(
          heard,
          lines.map((text) => Buffer.from(text).toString('utf8')),
        )
        assert.equal(splitter.pending, Buffer.byteLength(rest))
      }),
    )
  })

  it('rejects a line that is too long before it is complete', () => {
    const splitter = new LineSplitter(10, () => {})
    splitter.push(Buffer.from('0123456789\n01234'))
    assert.throws(() => splitter.push(Buffer.from('567890')), ApiError)
  })
})
