import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { addValidators, allowsRange, judgePreconditions } from '../../src/cache/preconditions.ts'
import { linesOf, NOW, numbersOf, received, storedHead } from './stored.ts'

const CHANGED = 'Sat, 28 Nov 2026 12:00:00 GMT'
const BEFORE = 'Sat, 28 Nov 2026 11:59:59 GMT'
const AFTER = 'Sat, 28 Nov 2026 12:00:01 GMT'
const DATE = 'Date: Sun, 29 Nov 2026 11:00:00 GMT'

function judge(stored: readonly string[], request: readonly string[], method = 'GET', status = 200): string {
  const head = storedHead(status, ...stored)
  return judgePreconditions(method, received(...request), head, numbersOf(head), NOW)
}

function ranged(stored: readonly string[], request: readonly string[]): boolean {
  const head = storedHead(200, ...stored)
  return allowsRange(received(...request), head, numbersOf(head), NOW)
}

describe('preconditions on a stored response', () => {
  it('RFC 9111 §4.3.2: a request without any gets the response', () => {
    assert.equal(judge(['ETag: "a"'], ['Accept: b']), 'Proceed')
  })

  it('RFC 9110 §13.1.2: If-None-Match compares weakly, in both directions', () => {
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: "a"']), 'NotModified')
    assert.equal(judge(['ETag: W/"a"'], ['If-None-Match: "a"']), 'NotModified')
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: W/"a"']), 'NotModified')
    assert.equal(judge(['ETag: W/"a"'], ['If-None-Match: W/"a"']), 'NotModified')
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: "A"']), 'Proceed')
  })

  it('RFC 9110 §13.1.2: If-None-Match is a list in which a tag may hold a comma', () => {
    for (const list of ['"x", "a"', '"x","a"', ',,"a"', 'W/"x" , W/"a" ', '"x,y", "a"', '"", "a"'])
      assert.equal(judge(['ETag: "a"'], [`If-None-Match: ${list}`]), 'NotModified', list)
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: "x"', 'If-None-Match: "a"']), 'NotModified')
    assert.equal(judge(['ETag: "a,b"'], ['If-None-Match: "a,b"']), 'NotModified')
    for (const list of ['"x, "a"', '"x,"a",y"', '""', '"x"', '"ab", "b"'])
      assert.equal(judge(['ETag: "a"'], [`If-None-Match: ${list}`]), 'Proceed', list)
  })

  it('RFC 9110 §13.1.2: an asterisk stands for whatever is stored, and is no member of a list', () => {
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: *']), 'NotModified')
    assert.equal(judge([], ['If-None-Match: *']), 'NotModified')
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: "x", *']), 'Proceed')
    assert.equal(judge(['ETag: "*"'], ['If-None-Match: "*"']), 'NotModified')
  })

  it('RFC 9110 §8.8.3: what is no entity tag matches nothing', () => {
    for (const tag of ['a', "'a'", '"a', 'a"', 'w/"a"', '"a b"', '"a"b', ''])
      assert.equal(judge([`ETag: ${tag}`], [`If-None-Match: ${tag}`]), 'Proceed', tag)
    assert.equal(judge(['ETag: "\xe9"'], ['If-None-Match: "\xe9"']), 'NotModified')
  })

  it('RFC 9111 §4.3.2: If-None-Match comes before If-Modified-Since, which is ignored beside it', () => {
    const stored = ['ETag: "a"', `Last-Modified: ${CHANGED}`]
    assert.equal(judge(stored, ['If-None-Match: "x"', `If-Modified-Since: ${AFTER}`]), 'Proceed')
    assert.equal(judge(stored, ['If-None-Match: "a"', `If-Modified-Since: ${BEFORE}`]), 'NotModified')
    assert.equal(judge(stored, ['If-None-Match: broken', `If-Modified-Since: ${AFTER}`]), 'Proceed')
    assert.equal(judge([`Last-Modified: ${CHANGED}`], ['If-None-Match: "x"', `If-Modified-Since: ${AFTER}`]), 'Proceed')
  })

  it('RFC 9110 §13.1.3: If-Modified-Since holds a response back that is not newer', () => {
    const stored = [`Last-Modified: ${CHANGED}`, DATE]
    assert.equal(judge(stored, [`If-Modified-Since: ${CHANGED}`]), 'NotModified')
    assert.equal(judge(stored, [`If-Modified-Since: ${AFTER}`]), 'NotModified')
    assert.equal(judge(stored, [`If-Modified-Since: ${BEFORE}`]), 'Proceed')
    assert.equal(judge(stored, ['If-Modified-Since: Saturday, 28-Nov-26 12:00:00 GMT']), 'NotModified')
    assert.equal(judge(stored, ['If-Modified-Since: Sat Nov 28 12:00:00 2026']), 'NotModified')
  })

  it('RFC 9110 §13.1.3: If-Modified-Since is ignored where it is no date, or several, or not of GET or HEAD', () => {
    const stored = [`Last-Modified: ${CHANGED}`]
    for (const value of ['', '0', 'now', '2026-11-29', `${AFTER}, ${AFTER}`, AFTER.replace('GMT', 'CET'), '*'])
      assert.equal(judge(stored, [`If-Modified-Since: ${value}`]), 'Proceed', value)
    assert.equal(judge(stored, [`If-Modified-Since: ${AFTER}`, `If-Modified-Since: ${AFTER}`]), 'Proceed')
    assert.equal(judge(stored, [`If-Modified-Since: ${AFTER}`], 'HEAD'), 'NotModified')
    assert.equal(judge(stored, [`If-Modified-Since: ${AFTER}`], 'QUERY'), 'Proceed')
    assert.equal(judge(['ETag: "a"'], ['If-None-Match: "a"'], 'QUERY'), 'NotModified')
  })

  it('RFC 9111 §4.3.2: If-Modified-Since is compared with the Date, or with the arrival, where no change is stated', () => {
    assert.equal(judge([DATE], ['If-Modified-Since: Sun, 29 Nov 2026 11:00:00 GMT']), 'NotModified')
    assert.equal(judge([DATE], ['If-Modified-Since: Sun, 29 Nov 2026 10:59:59 GMT']), 'Proceed')
    assert.equal(judge([], ['If-Modified-Since: Sun, 29 Nov 2026 12:00:00 GMT']), 'NotModified')
    assert.equal(judge([], ['If-Modified-Since: Sun, 29 Nov 2026 11:59:59 GMT']), 'Proceed')
    assert.equal(
      judge(['Last-Modified: broken', DATE], ['If-Modified-Since: Sun, 29 Nov 2026 11:00:00 GMT']),
      'NotModified',
    )
  })

  it('RFC 9111 §4.3.2: conditions for the origin alone are not judged, and the request goes there', () => {
    for (const condition of ['If-Match: "a"', 'If-Match: *', `If-Unmodified-Since: ${BEFORE}`])
      for (const others of [[], ['If-None-Match: "a"'], [`If-Modified-Since: ${AFTER}`]])
        assert.equal(judge(['ETag: "a"'], [condition, ...others]), 'Forward', condition)
  })

  it('RFC 9110 §13.2.1: conditions are ignored where the response is neither 2xx nor 412', () => {
    for (const status of [301, 304, 404, 410, 500])
      assert.equal(judge(['ETag: "a"', `Last-Modified: ${CHANGED}`], ['If-None-Match: "a"'], 'GET', status), 'Proceed')
    for (const status of [200, 203, 204, 206])
      assert.equal(judge(['ETag: "a"'], ['If-None-Match: *'], 'GET', status), 'NotModified')
  })
})

describe('If-Range', () => {
  it('RFC 9110 §13.1.5: allows a part only of what the client has a part of, compared strongly', () => {
    assert.ok(ranged(['ETag: "a"'], []))
    assert.ok(ranged(['ETag: "a"'], ['If-Range: "a"']))
    for (const [etag, value] of [
      ['"a"', '"b"'],
      ['W/"a"', 'W/"a"'],
      ['W/"a"', '"a"'],
      ['"a"', 'W/"a"'],
      ['"a"', '"a", "b"'],
      ['a', 'a'],
    ])
      assert.ok(!ranged([`ETag: ${etag}`], [`If-Range: ${value}`]), `${etag} ${value}`)
    assert.ok(!ranged([], ['If-Range: "a"']))
    assert.ok(!ranged(['ETag: "a"'], ['If-Range: "a"', 'If-Range: "a"']))
  })

  it('RFC 9110 §13.1.5: a date has to be exactly that of the last change, and a strong validator', () => {
    const stored = [`Last-Modified: ${CHANGED}`, DATE]
    assert.ok(ranged(stored, [`If-Range: ${CHANGED}`]))
    for (const value of [BEFORE, AFTER, 'broken', '']) assert.ok(!ranged(stored, [`If-Range: ${value}`]), value)
    assert.ok(
      !ranged([`Last-Modified: ${CHANGED}`, `Date: ${CHANGED}`], [`If-Range: ${CHANGED}`]),
      'changed in that second',
    )
    assert.ok(!ranged([DATE], [`If-Range: ${CHANGED}`]))
    assert.ok(!ranged([DATE], ['If-Range: broken']), 'two dates that cannot be read are not one')
  })
})

describe('a request that validates', () => {
  const validating = (stored: readonly string[], request: readonly string[]): [boolean, string[]] => {
    const head = storedHead(200, ...stored)
    const fields = received(...request)
    return [addValidators(fields, head, numbersOf(head)), linesOf(fields)]
  }

  it('RFC 9111 §4.3.1: has the stored validators in place of conditions and range of the client', () => {
    const client = [
      'Accept: x',
      'If-None-Match: "c"',
      `If-Modified-Since: ${AFTER}`,
      'Range: bytes=0-1',
      'If-Range: "c"',
    ]
    assert.deepEqual(validating(['ETag: W/"a"', `Last-Modified: ${CHANGED}`], client), [
      true,
      ['accept: x', 'if-none-match: W/"a"', `if-modified-since: ${CHANGED}`],
    ])
    assert.deepEqual(validating([`Last-Modified: ${CHANGED}`], client), [
      true,
      ['accept: x', `if-modified-since: ${CHANGED}`],
    ])
  })

  it('RFC 9110 §8.8.3: has no validator that is none, and asks for the whole', () => {
    assert.deepEqual(validating(['ETag: a', 'Last-Modified: b'], ['If-None-Match: "c"']), [false, []])
  })
})
