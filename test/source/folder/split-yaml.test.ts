import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseAllDocuments, stringify } from 'yaml'
import { split } from '../../../src/source/folder/split-yaml.ts'

const values = (text: string): unknown[] => {
  const documents = parseAllDocuments(text)
  if ('empty' in documents) return []
  return documents.map((document) => {
    assert.deepEqual(document.errors, [])
    return document.toJS() as unknown
  })
}

/** Text with everything that could be taken for a separator or an item. */
const line = fc.constantFrom(
  'a',
  '---',
  '--- b',
  '...',
  '- x',
  '  - y',
  'items:',
  '# c',
  '',
  'kind: List',
  "it's",
  '"q"',
  '%',
  ': ',
)
const block = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n'))
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    block,
    fc.integer(),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'items', 'kind'), tie('node'), { noNullPrototype: true }),
  ),
})).node

describe('splitting a YAML stream', () => {
  it('yields the documents of the whole stream', () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 5 }), (documents) => {
        const text = documents.map((document) => `---\n${stringify({ v: document })}`).join('')
        // A directive keeps the stream whole, which is right and not what is asked here.
        fc.pre(!/^%/m.test(text))
        const whole = values(text)
        const pieces = split(text).flatMap((chunk) => values(chunk.text))
        assert.deepEqual(
          pieces.filter((value) => value !== null),
          whole.filter((value) => value !== null),
        )
      }),
    )
  })

  it('counts the lines before each chunk', () => {
    const chunks = split('# one\na: 1\n---\nb: 2\n--- # three\nc: 3\r\n---\r\nd: 4\n')
    assert.deepEqual(
      chunks.map(({ line }) => line),
      [0, 2, 4, 6],
    )
    assert.ok(chunks.at(-1)!.text.startsWith('---\r\n'))
  })

  it('keeps a stream with directives whole', () => {
    assert.equal(split('%YAML 1.2\n---\na: 1\n---\nb: 2\n').length, 1)
  })

  it('splits a large List into its items at any indentation, and preserves lines and columns', () => {
    fc.assert(
      fc.property(
        fc.array(tree, { minLength: 3, maxLength: 12 }),
        fc.boolean(),
        fc.boolean(),
        (nodes, indentSeq, last) => {
          const items = nodes.map((node, i) => ({ name: i, node, filler: 'x'.repeat(6_000) }))
          const list = last ? { apiVersion: 'v1', items, kind: 'List' } : { apiVersion: 'v1', kind: 'List', items }
          const text = stringify(list, { indentSeq })
          fc.pre(!/(^|[\s[{,:])[&*][\w-]/m.test(text) && !/^(%|---)/m.test(text))
          const [frame, ...pieces] = split(text)
          assert.equal(pieces.length, items.length)
          assert.deepEqual(values(frame!.text), [{ apiVersion: 'v1', kind: 'List', items: null }])
          for (const [i, piece] of pieces.entries()) {
            assert.deepEqual(values(piece.text), [items[i]])
            assert.match(text.split('\n')[piece.line]!, new RegExp(`^ *- name: ${i}$`))
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  it('does not split a List that is malformed or shares anchors between items', () => {
    const filler = `    filler: ${'x'.repeat(20_000)}\n`
    assert.equal(split(`kind: List\nitems:\n  - a: 1\n${filler}  b: 2\n`).length, 1)
    assert.equal(split(`kind: List\nitems:\n  - &one\n${filler}  - *one\n`).length, 1)
  })
})
