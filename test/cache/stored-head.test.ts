import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  encodeHead,
  isStoredHead,
  MAX_LINES_BYTES,
  MAX_STORED_FIELDS,
  updateHead,
} from '../../src/cache/encode-head.ts'
import type { StoredHead } from '../../src/cache/stored-head.ts'
import { Fields, LINES } from '../../src/message/fields.ts'
import { linesOf, NOW_DATE, placed, received, storedHead } from './stored.ts'

const DATE = `date: ${NOW_DATE}`
const shown = (head: StoredHead): string[] => linesOf(head.fields(new Fields()))

describe('the head of a stored response', () => {
  it('comes back as it was, names in lower case', () => {
    const head = storedHead(404, 'Date: Sun, 06 Nov 1994 08:49:37 GMT', 'X-A: b\xff', 'Empty:', 'x-a: c')
    assert.equal(head.status, 404)
    assert.deepEqual(shown(head), ['date: Sun, 06 Nov 1994 08:49:37 GMT', 'x-a: b\xff', 'empty: ', 'x-a: c'])
  })

  it('is one run of field lines, as a connection of HTTP/1.1 sends it', () => {
    const fields = storedHead(200, 'Date: Sun, 06 Nov 1994 08:49:37 GMT', 'ETag: "a"').fields(new Fields())
    assert.equal(fields.layout, LINES)
    assert.ok(fields.untouched)
    const run = fields.bytes.latin1Slice(fields.nameStart(0), fields.end)
    assert.equal(run, 'date: Sun, 06 Nov 1994 08:49:37 GMT\r\netag: "a"\r\n')
  })

  it('has fields that filters have added, and none that they have removed', () => {
    const fields = received('x-a: 1', 'x-b: 2', DATE)
    fields.set('x-a', 'new')
    fields.remove('x-b')
    assert.deepEqual(shown(placed(encodeHead(200, fields, [], NOW_DATE))), [DATE, 'x-a: new'])
  })

  it('tells its validators, date and range without reading names', () => {
    const head = storedHead(206, 'x: 1', 'ETag: "a"', 'Last-Modified: b', 'content-range: bytes 0-1/2', DATE)
    assert.equal(head.etag, '"a"')
    assert.equal(head.lastModified, 'b')
    assert.equal(head.contentRange, 'bytes 0-1/2')
    assert.equal(head.date, NOW_DATE)
    const none = storedHead(200, 'x: 1')
    assert.equal(none.etag, undefined)
    assert.equal(none.lastModified, undefined)
    assert.equal(none.contentRange, undefined)
    assert.equal(storedHead(200, 'etag: "a"', 'etag: "b"').etag, undefined, 'two tags say nothing')
  })

  it('RFC 9111 §3.1: has no field of a connection, nor one that Connection names', () => {
    const head = storedHead(
      200,
      'Connection: close, X-Hop,,x-other',
      'connection: x-third',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: x',
      'TE: trailers',
      'Trailer: x',
      'Transfer-Encoding: chunked',
      'Upgrade: h2c',
      'X-Hop: 1',
      'x-OTHER: 2',
      'x-third: 3',
      'X-End: 4',
      DATE,
    )
    assert.deepEqual(shown(head), ['x-end: 4', DATE])
  })

  it('RFC 9111 §3.1: has no field of a proxy, and none that private or no-cache names', () => {
    const fields = received(
      'Proxy-Authenticate: a',
      'proxy-authentication-info: b',
      'proxy-authorization: c',
      'X-P: d',
      DATE,
    )
    assert.deepEqual(shown(placed(encodeHead(200, fields, ['x-p'], NOW_DATE))), [DATE])
  })

  it('has neither cookies nor what is said anew with each response', () => {
    assert.deepEqual(shown(storedHead(200, 'Set-Cookie: a=b', 'Age: 7', 'Content-Length: 3', DATE)), [DATE])
    assert.deepEqual(shown(storedHead(200, 'Content-Range: bytes 0-1/2', DATE)), [DATE], 'a whole has no range')
  })

  it('RFC 9110 §6.6.1: has a Date, of when it arrived where the origin sends none that can be read', () => {
    assert.deepEqual(shown(storedHead(200, 'x: 1')), ['x: 1', DATE])
    assert.deepEqual(shown(storedHead(200, 'Date: yesterday', 'x: 1')), ['x: 1', DATE])
    assert.deepEqual(shown(storedHead(200, DATE, DATE)), [DATE])
  })

  it('RFC 9110 §15.4.5: tells what a 304 leaves out', () => {
    const left = (...lines: string[]): string[] => {
      const head = storedHead(200, ...lines, DATE)
      return linesOf(head.withoutRepresentation(head.fields(new Fields())))
    }
    const kept = ['cache-control: a', 'content-location: b', 'etag: "c"', 'expires: d', 'vary: e', 'x-f: g']
    const metadata = ['content-type: a', 'content-encoding: b', 'content-language: c', 'last-modified: d']
    assert.deepEqual(left(...metadata, ...kept), [...kept, DATE])
    assert.deepEqual(left('last-modified: d'), ['last-modified: d', DATE], 'without an ETag it is the validator')
  })

  it('is not stored where it is larger than a head may be', () => {
    const encode = (fields: Fields): Buffer | null => encodeHead(200, fields, [], NOW_DATE)
    const many = (count: number): Fields => received(...Array.from({ length: count }, (_, i) => `x-${i}: 1`))
    assert.ok(encode(many(MAX_STORED_FIELDS - 1)) !== null)
    assert.equal(encode(many(MAX_STORED_FIELDS)), null)
    assert.ok(encode(received(`x: ${'a'.repeat(MAX_LINES_BYTES - 100)}`)) !== null)
    assert.equal(encode(received(`x: ${'a'.repeat(MAX_LINES_BYTES)}`)), null)
    assert.equal(encode(received(`${'x'.repeat(256)}: 1`)), null)
  })
})

describe('the update of a stored head', () => {
  const updated = (stored: readonly string[], newer: readonly string[], excluded: readonly string[] = []): string[] =>
    shown(placed(updateHead(storedHead(200, ...stored), received(...newer), excluded, NOW_DATE)))

  it('RFC 9111 §3.2: replaces all stored fields of a name, and adds new ones', () => {
    const stored = ['x-a: 1', 'x-a: 2', 'x-b: 3', 'cache-control: max-age=1']
    const newer = ['Cache-Control: max-age=9', 'X-A: 4', 'X-C: 5', 'X-C: 6', DATE]
    assert.deepEqual(updated(stored, newer), ['x-b: 3', 'cache-control: max-age=9', 'x-a: 4', 'x-c: 5', 'x-c: 6', DATE])
  })

  it('RFC 9111 §3.2: changes neither the length nor what says how the stored bytes are to be read', () => {
    const stored = ['content-encoding: gzip', 'content-type: text/plain', DATE]
    const newer = [
      'Content-Encoding: br',
      'Content-Length: 9',
      'Content-Range: bytes 0-1/2',
      'Content-Type: text/html',
      DATE,
    ]
    assert.deepEqual(updated(stored, newer), ['content-encoding: gzip', 'content-type: text/html', DATE])
  })

  it('RFC 9111 §3.2: takes nothing over that is not stored', () => {
    const stored = ['x-a: 1', 'x-b: 2', DATE]
    const newer = [
      'Connection: X-A',
      'X-A: hop',
      'Set-Cookie: c=d',
      'Age: 3',
      'Proxy-Authenticate: e',
      'X-B: private',
      DATE,
    ]
    assert.deepEqual(updated(stored, newer, ['x-b']), ['x-a: 1', DATE])
  })

  it('has the Date of the newer response, or of now', () => {
    const old = 'date: Sun, 06 Nov 1994 08:49:37 GMT'
    assert.deepEqual(updated([old], ['Date: Mon, 07 Nov 1994 08:49:37 GMT']), ['date: Mon, 07 Nov 1994 08:49:37 GMT'])
    assert.deepEqual(updated([old], ['x: 1']), ['x: 1', DATE])
  })
})

describe('bytes that come from outside the process', () => {
  const head = encodeHead(200, received('ETag: "a"', 'x-a: b c', DATE), [], NOW_DATE)!
  const changed = (change: (bytes: Buffer) => void): boolean => {
    const bytes = Buffer.from(head)
    change(bytes)
    return isStoredHead(bytes, 0, bytes.length)
  }

  it('are a head as long as nothing of it is changed', () => {
    assert.ok(changed(() => {}))
    const inside = Buffer.concat([Buffer.from('xx'), head, Buffer.from('yyy')])
    assert.ok(isStoredHead(inside, 2, 2 + head.length))
    assert.ok(!isStoredHead(inside, 2, inside.length) && !isStoredHead(inside, 0, 2 + head.length))
  })

  it('are none where they are cut, anywhere', () => {
    for (let end = 0; end < head.length; end++) assert.ok(!isStoredHead(head, 0, end), String(end))
  })

  it('are none of another version, with a status that is not final, or with control bytes', () => {
    assert.ok(!changed((bytes) => bytes.writeUInt8(2, 0)))
    for (const status of [0, 100, 101, 199, 600, 65_535]) assert.ok(!changed((bytes) => bytes.writeUInt16LE(status, 2)))
    const value = head.indexOf('b c')
    for (const byte of [0, 0x0a, 0x0d, 0x1f, 0x7f]) assert.ok(!changed((bytes) => bytes.writeUInt8(byte, value + 1)))
    for (const byte of [0x20, 0x09]) assert.ok(!changed((bytes) => bytes.writeUInt8(byte, value)), 'a blank at its end')
    const name = head.indexOf('x-a')
    for (const byte of [0x58, 0x3a, 0x20, 0x80]) assert.ok(!changed((bytes) => bytes.writeUInt8(byte, name)))
  })

  it('are none where they point to another field, or hold one that is never stored', () => {
    for (const offset of [6, 8, 10, 12])
      for (const index of [1, 7, 0xfffe])
        assert.ok(!changed((bytes) => bytes.writeUInt16LE(index, offset)), `${index} at ${offset}`)
    const cookie = encodeHead(200, received('xxx-yyyyyy: a=b', DATE), [], NOW_DATE)!
    cookie.write('set-cookie', cookie.indexOf('xxx-'), 'latin1')
    assert.ok(!isStoredHead(cookie, 0, cookie.length))
  })
})
