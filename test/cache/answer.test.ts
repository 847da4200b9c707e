import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Answer, judgeAnswer, toNotModified, toParts, toUnsatisfiable } from '../../src/cache/answer.ts'
import { multipartOf } from '../../src/cache/multipart.ts'
import { combine, combineHead, covers, isWhole, type Part } from '../../src/cache/partial-content.ts'
import { parseContentRange } from '../../src/cache/ranges.ts'
import { Fields } from '../../src/message/fields.ts'
import { linesOf, NOW, NOW_DATE, numbersOf, placed, received, storedHead } from './stored.ts'

interface Given {
  readonly method?: string
  readonly status?: number
  readonly length?: number | undefined
  readonly part?: Part
}

const ETAG = ['ETag: "a"']

function answer(request: readonly string[], given: Given = {}, stored: readonly string[] = ETAG): Answer {
  const { method = 'GET', status = 200, part = null } = given
  const head = storedHead(status, ...stored)
  const length = 'length' in given ? given.length : 1_000
  return judgeAnswer(method, received(...request), { head, numbers: numbersOf(head), length, part }, NOW)
}

const parts = (...ranges: [number, number][]): Answer => ({
  type: 'Parts',
  ranges: ranges.map(([first, last]) => ({ first, last })),
})

describe('what a client gets of a stored response', () => {
  it('RFC 9110 §14.2: a part where it asks for one, the whole where it does not', () => {
    assert.deepEqual(answer([]), { type: 'Whole' })
    assert.deepEqual(answer(['Range: bytes=0-9']), parts([0, 9]))
    assert.deepEqual(answer(['Range: bytes=0-9, 500-']), parts([0, 9], [500, 999]))
    assert.deepEqual(answer(['Range: bytes=1000-']), { type: 'Unsatisfiable' })
    assert.deepEqual(answer(['Range: lines=1-2']), { type: 'Whole' })
    assert.deepEqual(answer(['Range: bytes=0-9', 'Range: bytes=0-9']), { type: 'Whole' }, 'two fields are none')
  })

  it('RFC 9110 §14.2: the whole where the method is not GET, or the status not 200', () => {
    for (const method of ['HEAD', 'QUERY'])
      assert.deepEqual(answer(['Range: bytes=0-9'], { method }), { type: 'Whole' })
    for (const status of [203, 301, 404]) assert.deepEqual(answer(['Range: bytes=0-9'], { status }), { type: 'Whole' })
    assert.deepEqual(answer(['Range: bytes=5000-'], { status: 404 }), { type: 'Whole' })
  })

  it('RFC 9110 §13.2.2: nothing where it has it, whatever range it asks for', () => {
    assert.deepEqual(answer(['Range: bytes=0-9', 'If-None-Match: "a"']), { type: 'NotModified' })
    assert.deepEqual(answer(['Range: bytes=0-9', 'If-None-Match: "b"']), parts([0, 9]))
  })

  it('RFC 9110 §13.1.5: the whole where the part that it has is of another representation', () => {
    assert.deepEqual(answer(['Range: bytes=0-9', 'If-Range: "a"']), parts([0, 9]))
    assert.deepEqual(answer(['Range: bytes=0-9', 'If-Range: "b"']), { type: 'Whole' })
    assert.deepEqual(answer(['Range: bytes=5000-', 'If-Range: "b"']), { type: 'Whole' })
    assert.deepEqual(answer(['If-Range: "a"']), { type: 'Whole' })
  })

  it('RFC 9111 §4.3.2: what the origin says where only it can judge a condition', () => {
    assert.deepEqual(answer(['If-Match: "a"', 'Range: bytes=0-9']), { type: 'Forward' })
  })

  it('is the whole while nobody knows how long it is', () => {
    assert.deepEqual(answer(['Range: bytes=0-9'], { length: undefined }), { type: 'Whole' })
    assert.deepEqual(answer(['If-None-Match: "a"'], { length: undefined }), { type: 'NotModified' })
  })

  it('RFC 9111 §3.3: a stored part is no answer to anything but a range that it covers', () => {
    const given: Given = { status: 206, part: { first: 100, last: 299, complete: 1_000 } }
    assert.deepEqual(answer(['Range: bytes=100-299'], given), parts([100, 299]))
    assert.deepEqual(answer(['Range: bytes=150-159'], given), parts([150, 159]))
    for (const range of [
      'bytes=99-299',
      'bytes=100-300',
      'bytes=-10',
      'bytes=0-',
      'bytes=150-159, 0-0',
      'lines=1-2',
      'bytes=9-1',
    ])
      assert.deepEqual(answer([`Range: ${range}`], given), { type: 'Missing' }, range)
    assert.deepEqual(answer([], given), { type: 'Missing' })
    assert.deepEqual(answer(['Range: bytes=150-159', 'If-Range: "b"'], given), { type: 'Missing' })
    assert.deepEqual(answer(['Range: bytes=150-159'], { ...given, method: 'HEAD' }), { type: 'Missing' })
    assert.deepEqual(answer(['Range: bytes=1000-'], given), { type: 'Unsatisfiable' })
    assert.deepEqual(answer(['If-None-Match: "a"'], given), { type: 'NotModified' })
  })
})

describe('the fields of an answer', () => {
  const STORED = ['Content-Type: text/plain', 'ETag: "a"', 'X-A: 1', `Date: ${NOW_DATE}`]
  const made = (
    change: (head: ReturnType<typeof storedHead>, fields: Fields) => void,
    status = 200,
    ...more: string[]
  ) => {
    const head = storedHead(status, ...more, ...STORED)
    const fields = head.fields(new Fields())
    change(head, fields)
    return linesOf(fields)
  }
  const [type, ...others] = ['content-type: text/plain', 'etag: "a"', 'x-a: 1', `date: ${NOW_DATE}`]

  it('RFC 9110 §15.4.5: of a 304 are those that guide a cache', () => {
    assert.deepEqual(made(toNotModified), others)
  })

  it('RFC 9110 §15.3.7.1: of one part say where it is', () => {
    const one = [{ first: 0, last: 9 }]
    assert.deepEqual(
      made((head, fields) => toParts(head, fields, one, 1_000, null, false)),
      [type, ...others, 'content-range: bytes 0-9/1000'],
    )
    assert.deepEqual(
      made((head, fields) => toParts(head, fields, one, 1_000, null, false), 206, 'Content-Range: bytes 0-99/1000'),
      [type, ...others, 'content-range: bytes 0-9/1000'],
    )
  })

  it('RFC 9110 §15.3.7: of a part after If-Range leave out what the client has', () => {
    const one = [{ first: 0, last: 9 }]
    assert.deepEqual(
      made((head, fields) => toParts(head, fields, one, 1_000, null, true)),
      [...others, 'content-range: bytes 0-9/1000'],
    )
  })

  it('RFC 9110 §15.3.7.2: of several parts say nothing of one range, and each part has the type', () => {
    const two = [
      { first: 0, last: 9 },
      { first: 500, last: 999 },
    ]
    const multipart = multipartOf(two, 1_000, 'text/plain', 'b')
    assert.deepEqual(
      made((head, fields) => toParts(head, fields, two, 1_000, multipart, false)),
      [...others, 'content-type: multipart/byteranges; boundary=b'],
    )
    assert.equal(
      multipart.parts.map(({ before }) => before.toString()).join(''),
      '--b\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-9/1000\r\n\r\n\r\n--b\r\ncontent-type: text/plain\r\n' +
        'content-range: bytes 500-999/1000\r\n\r\n',
    )
    assert.ok(!multipartOf(two, 1_000, undefined, 'b').parts[0]!.before.includes('content-type'))
  })

  it('RFC 9110 §15.5.17: of a 416 say how long it is', () => {
    const fields = new Fields()
    toUnsatisfiable(fields, 1_000)
    assert.deepEqual(linesOf(fields), ['content-range: bytes */1000'])
  })
})

describe('Content-Range of an origin', () => {
  it('RFC 9110 §14.4: is read where it is valid', () => {
    assert.deepEqual(parseContentRange('bytes 0-9/10'), { first: 0, last: 9, complete: 10 })
    assert.deepEqual(parseContentRange('Bytes 5-5/*'), { first: 5, last: 5, complete: undefined })
    for (const value of [
      'bytes 9-0/10',
      'bytes 0-10/10',
      'bytes */10',
      'bytes 0-9',
      'bytes=0-9/10',
      'lines 0-9/10',
      'bytes 0-9/10, bytes 0-9/10',
      'bytes -1-9/10',
      `bytes 0-9/${'9'.repeat(16)}`,
    ])
      assert.equal(parseContentRange(value), undefined, value)
  })
})

describe('two parts of one representation', () => {
  it('RFC 9111 §3.4: are combined to all bytes of both, those of the newer where both have them', () => {
    const whole = Buffer.from('0123456789')
    const newer = Buffer.from('abcdefghij')
    for (let a = 0; a < 10; a++)
      for (let b = a; b < 10; b++)
        for (let c = 0; c < 10; c++)
          for (let d = c; d < 10; d++) {
            const combined = combine({ first: a, last: b, complete: 10 }, { first: c, last: d, complete: 10 })
            if (c > b + 1 || a > d + 1) {
              assert.equal(combined, undefined)
              continue
            }
            const bytes = Buffer.alloc(10, '.')
            for (const { first, last } of combined!.stored) whole.copy(bytes, first, first, last + 1)
            newer.copy(bytes, c, c, d + 1)
            const expected = [...'..........'].map((dot, i) =>
              i >= c && i <= d ? 'abcdefghij'[i] : i >= a && i <= b ? String(i) : dot,
            )
            assert.equal(bytes.toString(), expected.join(''))
            assert.deepEqual([combined!.first, combined!.last], [Math.min(a, c), Math.max(b, d)])
            assert.equal(isWhole(combined!), !expected.includes('.'))
          }
  })

  it('are not combined where they disagree on the length of the whole', () => {
    assert.equal(combine({ first: 0, last: 4, complete: 10 }, { first: 5, last: 9, complete: 11 }), undefined)
  })

  it('cover what is asked for only as a whole', () => {
    assert.ok(covers({ first: 0, last: 9 }, [{ first: 0, last: 9 }]))
    assert.ok(
      !covers({ first: 0, last: 9 }, [
        { first: 0, last: 0 },
        { first: 9, last: 10 },
      ]),
    )
  })

  it('RFC 9111 §3.4: have the fields of the newer, and are a 200 once they are the whole', () => {
    const stored = storedHead(206, 'Content-Range: bytes 0-4/10', 'X-A: old', 'X-B: b', 'ETag: "a"')
    const newer = received(
      'Content-Range: bytes 5-8/10',
      'X-A: new',
      'ETag: "a"',
      'Content-Length: 4',
      `Date: ${NOW_DATE}`,
    )
    const combined = (last: number) => {
      const head = placed(combineHead(stored, newer, { first: 0, last, complete: 10 }, [], NOW_DATE))
      return [head.status, ...linesOf(head.fields(new Fields()))]
    }
    const fields = ['x-b: b', 'x-a: new', 'etag: "a"', `date: ${NOW_DATE}`]
    assert.deepEqual(combined(8), [206, ...fields, 'content-range: bytes 0-8/10'])
    assert.deepEqual(combined(9), [200, ...fields])
  })
})
