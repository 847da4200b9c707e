import assert from 'node:assert/strict'
import { STATUS_CODES } from 'node:http'
import { describe, it } from 'node:test'
import { DateField, statusLine } from '../../src/http/write-head.ts'

describe('the head writer', () => {
  it('gives every status its phrase', () => {
    for (const [code, phrase = ''] of Object.entries(STATUS_CODES)) {
      // RFC 9110 §15.5.19 keeps 418 unused; 509 was never registered and 510 is obsolete.
      if (['418', '509', '510'].includes(code)) continue
      const line = statusLine(Number(code))
      assert.match(line, new RegExp(`^HTTP/1\\.1 ${code} .+\\r\\n$`), phrase)
    }
    assert.equal(statusLine(200), 'HTTP/1.1 200 OK\r\n')
    assert.equal(statusLine(413), 'HTTP/1.1 413 Content Too Large\r\n')
  })

  it('leaves the phrase of an unknown status empty and keeps its space (RFC 9112 §4)', () => {
    assert.equal(statusLine(299), 'HTTP/1.1 299 \r\n')
    assert.equal(statusLine(299), 'HTTP/1.1 299 \r\n')
  })

  it('dates by the second, as IMF-fixdate (RFC 9110 §5.6.7)', () => {
    const date = new DateField()
    assert.equal(date.line(784_111_777_000), 'date: Sun, 06 Nov 1994 08:49:37 GMT\r\n')
    assert.equal(date.line(784_111_777_999), 'date: Sun, 06 Nov 1994 08:49:37 GMT\r\n')
    assert.equal(date.line(784_111_778_000), 'date: Sun, 06 Nov 1994 08:49:38 GMT\r\n')
    // The wall clock may be set back.
    assert.equal(date.line(784_111_777_000), 'date: Sun, 06 Nov 1994 08:49:37 GMT\r\n')
  })
})
