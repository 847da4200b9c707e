import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSameRepresentation, judgeHead, judgeNotModified, makesStrong } from '../../src/cache/validation.ts'
import { NOW, numbersOf, received, storedHead } from './stored.ts'

const CHANGED = 'Last-Modified: Sat, 28 Nov 2026 12:00:00 GMT'
const LATER = 'Last-Modified: Sat, 28 Nov 2026 12:00:01 GMT'

function notModified(stored: readonly string[], newer: readonly string[]): string {
  const head = storedHead(200, ...stored)
  return judgeNotModified(head, numbersOf(head), received(...newer), NOW)
}

describe('a 304 to a validation', () => {
  it('RFC 9111 §4.3.4: updates what has the same strong validator', () => {
    assert.equal(notModified(['ETag: "a"'], ['ETag: "a"']), 'Update')
    assert.equal(notModified(['ETag: "a"', CHANGED], ['ETag: "a"', LATER]), 'Update')
    assert.equal(notModified(['ETag: "a"'], ['ETag: "b"']), 'Mismatch')
    assert.equal(notModified([CHANGED], ['ETag: "a"', CHANGED]), 'Mismatch')
  })

  it('RFC 9111 §4.3.4: updates what its weak validators correspond to', () => {
    assert.equal(notModified(['ETag: W/"a"'], ['ETag: W/"a"']), 'Update')
    assert.equal(notModified(['ETag: "a"'], ['ETag: W/"a"']), 'Update')
    assert.equal(notModified(['ETag: W/"a"'], ['ETag: W/"b"']), 'Mismatch')
    assert.equal(notModified([CHANGED], [CHANGED]), 'Update')
    assert.equal(notModified([CHANGED], [LATER]), 'Mismatch')
    assert.equal(notModified(['ETag: "a"'], [CHANGED]), 'Mismatch')
  })

  it('updates what has the tag weak of which it says the strong one, and leaves that weak', () => {
    assert.equal(notModified(['ETag: W/"a"'], ['ETag: "a"']), 'Update')
    assert.equal(notModified(['ETag: W/"a"'], ['ETag: "b"']), 'Mismatch')
    const strong = (stored: string, newer: string) => makesStrong(storedHead(200, stored), received(newer))
    assert.equal(strong('ETag: W/"a"', 'ETag: "a"'), true)
    for (const [stored, newer] of [
      ['ETag: "a"', 'ETag: "a"'],
      ['ETag: W/"a"', 'ETag: W/"a"'],
      [CHANGED, 'ETag: "a"'],
      ['ETag: W/"a"', CHANGED],
    ])
      assert.equal(strong(stored!, newer!), false)
  })

  it('RFC 9111 §4.3.3: updates what was asked for where it names no validator', () => {
    for (const stored of [['ETag: "a"'], [CHANGED], ['ETag: "a"', CHANGED], []])
      for (const newer of [[], ['X-A: 1'], ['Last-Modified: broken']])
        assert.equal(notModified(stored, newer), 'Update')
  })

  it('RFC 9111 §4.3.4: of several tags each is about what is stored, or nothing is updated', () => {
    for (const [stored, newer, verdict] of [
      [['ETag: "a"'], ['ETag: "b"', 'ETag: "c"'], 'Mismatch'],
      [['ETag: "a"'], ['ETag: "a"', 'ETag: "c"'], 'Mismatch'],
      [['ETag: "a"', CHANGED], ['ETag: "b"', 'ETag: "c"', CHANGED], 'Mismatch'],
      [['ETag: "a"'], ['ETag: "a"', 'ETag: W/"a"'], 'Update'],
    ] as const)
      assert.equal(notModified(stored, newer), verdict, `${stored} | ${newer}`)
  })

  it('RFC 9110 §8.8.3: a tag outside of the syntax is about what has the same one, byte by byte', () => {
    for (const [stored, newer, verdict] of [
      [['ETag: a', CHANGED], ['ETag: a', CHANGED], 'Update'],
      [['ETag: a', CHANGED], ['ETag: b', CHANGED], 'Mismatch'],
      [['ETag: "a"'], ['ETag: a'], 'Mismatch'],
      [['ETag: "a"'], ['ETag: '], 'Mismatch'],
      [[CHANGED], ['ETag: a', CHANGED], 'Mismatch'],
      [['ETag: a', CHANGED], ['ETag: "a"', CHANGED], 'Mismatch'],
    ] as const)
      assert.equal(notModified(stored, newer), verdict, `${stored} | ${newer}`)
  })
})

describe('a 200 to HEAD', () => {
  const judge = (stored: readonly string[], newer: readonly string[], newerLength?: number): string => {
    const head = storedHead(200, ...stored)
    const announced = newerLength === undefined ? [] : [`Content-Length: ${newerLength}`]
    return judgeHead(head, numbersOf(head), 100, received(...newer, ...announced), NOW)
  }

  it('RFC 9111 §4.3.5: updates the stored response to GET where validators and length are the same', () => {
    assert.equal(judge(['ETag: "a"', CHANGED], ['ETag: "a"', CHANGED], 100), 'Update')
    assert.equal(judge(['ETag: "a"', CHANGED], ['ETag: "a"']), 'Update')
    assert.equal(judge(['ETag: W/"a"'], ['ETag: W/"a"'], 100), 'Update')
    assert.equal(judge(['ETag: "a"'], ['X-A: 1'], 100), 'Update')
  })

  it('RFC 9111 §4.3.5: makes it stale where one of them differs', () => {
    assert.equal(judge(['ETag: "a"', CHANGED], ['ETag: "a"', CHANGED], 99), 'Mismatch')
    assert.equal(judge(['ETag: "a"', CHANGED], ['ETag: "b"', CHANGED], 100), 'Mismatch')
    assert.equal(judge(['ETag: "a"'], ['ETag: W/"a"'], 100), 'Mismatch')
    assert.equal(judge(['ETag: "a"', CHANGED], ['ETag: "a"', LATER], 100), 'Mismatch')
    assert.equal(judge([CHANGED], ['ETag: "a"', CHANGED]), 'Mismatch')
    assert.equal(judge(['ETag: "a"'], ['ETag: "a"', 'Last-Modified: broken']), 'Mismatch')
  })
})

describe('two parts', () => {
  const same = (stored: readonly string[], newer: readonly string[]): boolean => {
    const [one, other] = [storedHead(206, ...stored), storedHead(206, ...newer)]
    return isSameRepresentation(one, numbersOf(one), received(...newer), numbersOf(other))
  }

  it('RFC 9111 §3.4: are of one representation only where they share a strong validator', () => {
    assert.ok(same(['ETag: "a"'], ['ETag: "a"']))
    assert.ok(same([CHANGED], [CHANGED]))
    assert.ok(!same(['ETag: W/"a"'], ['ETag: W/"a"']))
    assert.ok(!same(['ETag: "a"'], ['ETag: "b"']))
    assert.ok(!same(['ETag: "a"', CHANGED], [CHANGED]))
    assert.ok(!same([CHANGED], [LATER]))
    assert.ok(!same([], []))
    const second = CHANGED.replace('Last-Modified', 'Date')
    assert.ok(!same([CHANGED, second], [CHANGED, second]), 'it may have changed twice in that second')
  })
})
