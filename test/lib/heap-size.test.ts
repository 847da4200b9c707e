import assert from 'node:assert/strict'
import { test } from 'node:test'
import { heapSize } from '../../src/lib/heap-size.ts'

test('the size of plain data grows with all of it, however deep it is nested', () => {
  assert.equal(heapSize('abc'), 27)
  assert.equal(heapSize(null), 8)
  assert.equal(heapSize({ a: 1, b: [true, 'xy'] }), 48 + 24 + 16 + 48 + 24 + 16 + 26)
  let deep: unknown = {}
  for (let i = 0; i < 200_000; i++) deep = [deep]
  assert.equal(heapSize(deep), 200_000 * 64 + 48)
})
