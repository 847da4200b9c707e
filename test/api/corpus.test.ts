import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCorpus, written } from '../corpus/corpus.ts'
import { validator } from './schemas.ts'

const corpus = readCorpus()

for (const { file, title, verdict, problems, kind, document } of corpus)
  test(`${file}: ${title} is ${verdict}`, () => {
    const result = validator.check(kind, document)
    const found = result.ok ? [] : result.problems.map(written).sort()
    const expected = verdict === 'refused' ? found.filter((problem) => !problem.endsWith('=NotImplemented')) : found
    assert.deepEqual(expected, problems)
    assert.equal(result.ok, verdict === 'ok')
  })

test('every message says what is wrong in a sentence that does not end in a full stop', () => {
  for (const { kind, document } of corpus) {
    const result = validator.check(kind, document)
    for (const { message } of result.ok ? [] : result.problems) assert.match(message, /^.{10,400}[^.\s]$/u)
  }
})

test('the corpus is large enough and its titles are unique', () => {
  assert.ok(corpus.length >= 150)
  assert.equal(new Set(corpus.map((entry) => entry.title)).size, corpus.length)
})
