import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { groupLabel, labelOf, MAX_TAGS } from '../../../src/cache/purge-labels.ts'
import { Fields } from '../../../src/message/fields.ts'
import { labelsOf } from '../../../src/policy/cache/tags.ts'

function labels(...lines: string[]): readonly number[] | null {
  const fields = new Fields()
  for (const line of lines) fields.add('surrogate-key', line)
  return labelsOf('surrogate-key', 'https://h', fields)
}

suite('tags of a response', () => {
  test('are words of all lines, each once', () => {
    const tags = (...words: string[]) => words.map((word) => labelOf('tag', word))
    assert.deepEqual(labels('a b  c', 'd, a,\te'), tags('a', 'b', 'c', 'd', 'e'))
    assert.deepEqual(labels(), [])
    assert.deepEqual(labels(' , '), [])
  })

  test('that are too many, or none, cannot be purged by: it is not stored', () => {
    const many = (count: number): string => Array.from({ length: count }, (_, i) => `t${i}`).join(' ')
    assert.equal(labels(many(MAX_TAGS))?.length, MAX_TAGS)
    assert.equal(labels(many(MAX_TAGS + 1)), null)
    assert.equal(labels('x'.repeat(257)), null)
    assert.equal(labels('\u00e9'), null)
  })

  test('and cache groups of its origin', () => {
    const fields = new Fields()
    fields.add('cache-groups', '"a", "b"')
    assert.deepEqual(labelsOf(undefined, 'https://h', fields), [
      groupLabel('https://h', 'a'),
      groupLabel('https://h', 'b'),
    ])
  })
})
