import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeHead, isStoredHead } from '../../src/cache/encode-head.ts'
import { presenceIn } from '../../src/cache/field-presence.ts'
import { encodeReceived, readHead } from '../../src/cache/received-head.ts'
import { StatusHead } from '../../src/http/head.ts'
import type { Fields } from '../../src/message/fields.ts'

const LIMITS = { head: 1 << 20, headers: 1_000, uri: 1_000 }
const NOW = 'Sun, 06 Nov 1994 08:49:40 GMT'
const DATE = 'Date: Sun, 06 Nov 1994 08:49:37 GMT'

function received(...lines: readonly string[]): Fields {
  const bytes = Buffer.from(`HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`, 'latin1')
  const head = new StatusHead()
  assert.equal(head.parse(bytes, 0, bytes.length, LIMITS), bytes.length)
  return head.fields
}

function encodedOf(fields: Fields): Buffer | null {
  readHead(fields)
  return encodeReceived(200, fields, NOW)
}

const name = fc.constantFrom(
  ...['Date', 'date', 'ETag', 'Last-Modified', 'LAST-MODIFIED', 'Content-Type', 'Content-Length', 'Cache-Control'],
  ...['Vary', 'Age', 'Connection', 'Content-Range', 'X-A', 'x-b', 'Set-Cookie', 'Server', 'Keep-Alive', 'Digest'],
)
const value = fc.oneof(
  fc.constantFrom('Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', '"a"', '', 'x-a', 'a, b'),
  fc.stringMatching(/^[!-~\xa0-\xff]{1,80}$/),
)
const space = fc.constantFrom('', ' ', '  ', '\t')
const line = fc.tuple(name, space, value, space).map(([key, before, text, after]) => `${key}:${before}${text}${after}`)

describe('a head as it is received', () => {
  it('is encoded as by its fields, or left to those who do that', () => {
    let encoded = 0
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), fc.nat({ max: 12 }), (lines, dated, removed) => {
        const fields = received(...lines, ...(dated ? [DATE] : []))
        if (removed < fields.count) fields.removeAt(removed)
        const head = encodedOf(fields)
        if (head === null) return
        encoded++
        assert.deepEqual(Buffer.from(head), encodeHead(200, fields, [], NOW))
        assert.equal(readHead(fields), presenceIn(fields))
        assert.equal(encodeReceived(200, fields, NOW), head, 'it is read once')
        assert.ok(isStoredHead(head, 0, head.length))
      }),
      { numRuns: 3_000 },
    )
    assert.ok(encoded > 300, `${encoded}`)
  })

  it('is encoded at once where it is as most are', () => {
    const fields = received('Server: a', DATE, 'Content-Type: text/html', 'Content-Length: 3', 'Etag: "1"', 'X-A: b')
    assert.notEqual(encodedOf(fields), null)
    fields.add('x-b', 'c')
    assert.equal(encodedOf(fields), null, 'a field that was added')
    assert.equal(encodedOf(received('Server: a')), null, 'without a date')
    assert.equal(encodedOf(received(DATE, 'X-A: '.padEnd(70_000, 'x'))), null, 'too long')
    assert.equal(encodedOf(received(DATE, ...Array(513).fill('X-A: b'))), null, 'too many')
  })
})
