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

test('a text takes twice as much where a character is not in Latin-1', () => {
  assert.equal(heapSize('é'.repeat(10)), 34)
  assert.equal(heapSize(`中${'a'.repeat(9)}`), 44)
})

test('names that objects have of their own are counted, and those that all have are not', () => {
  const map = (count: number, length: number) =>
    heapSize(Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}`.padStart(length, 'x'), 0])))
  assert.equal(map(20, 30), 48 + 20 * 24)
  assert.equal(map(100, 30), 48 + 100 * 24 + 76 * 54)
  assert.equal(map(10, 200), 48 + 10 * 24 + 10 * 224)
  assert.equal(heapSize(new Array(100).fill(0)), 48 + 100 * 24)
})
