import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { parseFields } from '../../src/http/head.ts'
import { ResponseWriter } from '../../src/http1/response-writer.ts'
import { Fields } from '../../src/message/fields.ts'
import type { ResponseHead } from '../../src/message/head.ts'
import type { CompleteResponse } from '../../src/message/local-response.ts'
import { everything, pair } from '../socket/sockets.ts'

const DATE = 'date: Sun, 06 Nov 1994 08:49:37 GMT\r\n'
const WALL = 784_111_777_000

/** As an upstream sent them. */
function sent(text: string): Fields {
  const fields = new Fields()
  const bytes = Buffer.from(`${text}\r\n`, 'latin1')
  const refuse = (_: string, detail: string): never => assert.fail(detail)
  parseFields({ fields, refuse }, bytes, 0, bytes.length, 0, { head: 10_000, headers: 100, uri: 0 })
  return fields
}

interface Written {
  readonly bytes: string
  readonly keepAlive: boolean
}

/** What a client gets to see of what `write` does. */
async function written(t: TestContext, write: (writer: ResponseWriter) => void): Promise<Written> {
  const { near, far } = await pair(t)
  const writer = new ResponseWriter(near, () => WALL)
  const bytes = everything(far)
  write(writer)
  near.end()
  far.end()
  return { bytes: await bytes, keepAlive: writer.keepAlive }
}

const body = Buffer.from('abcde')

interface Case {
  readonly method?: 'GET' | 'HEAD'
  readonly minor?: 0 | 1
  readonly status?: number
  readonly fields?: string
  readonly length: number | undefined
  /** What stands behind the status line, the date left out, and the body. */
  readonly gives: string
  readonly keepAlive: boolean
}

/** RFC 9112 §6.3, §9.3; the request asked for persistence, so `keepAlive` says what the response makes of it. */
const MATRIX: readonly Case[] = [
  { length: 5, fields: 'content-length: 5\r\n', gives: 'content-length: 5\r\n\r\nabcde', keepAlive: true },
  { length: 5, gives: 'content-length: 5\r\n\r\nabcde', keepAlive: true },
  { length: undefined, gives: 'transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n', keepAlive: true },
  {
    length: undefined,
    fields: 'content-length: 9\r\n',
    gives: 'transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n',
    keepAlive: true,
  },
  { length: 0, gives: 'content-length: 0\r\n\r\n', keepAlive: true },
  {
    minor: 0,
    length: 5,
    fields: 'content-length: 5\r\n',
    gives: 'content-length: 5\r\nconnection: keep-alive\r\n\r\nabcde',
    keepAlive: true,
  },
  { minor: 0, length: undefined, gives: 'connection: close\r\n\r\nabcde', keepAlive: false },
  {
    minor: 0,
    length: undefined,
    fields: 'content-length: 9\r\n',
    gives: 'connection: close\r\n\r\nabcde',
    keepAlive: false,
  },
  { method: 'HEAD', length: 0, fields: 'content-length: 5\r\n', gives: 'content-length: 5\r\n\r\n', keepAlive: true },
  { method: 'HEAD', length: 5, gives: 'content-length: 5\r\n\r\n', keepAlive: true },
  { method: 'HEAD', length: 0, gives: '\r\n', keepAlive: true },
  { method: 'HEAD', length: undefined, gives: '\r\n', keepAlive: true },
  { method: 'HEAD', minor: 0, length: undefined, gives: 'connection: keep-alive\r\n\r\n', keepAlive: true },
  { status: 204, length: 0, gives: '\r\n', keepAlive: true },
  { status: 204, length: 0, fields: 'content-length: 0\r\n', gives: '\r\n', keepAlive: true },
  { status: 204, length: 5, gives: '\r\n', keepAlive: true },
  { status: 204, minor: 0, length: 0, gives: 'connection: keep-alive\r\n\r\n', keepAlive: true },
  { status: 304, length: 0, fields: 'content-length: 5\r\n', gives: 'content-length: 5\r\n\r\n', keepAlive: true },
  { status: 304, length: 0, gives: '\r\n', keepAlive: true },
  { status: 304, length: undefined, gives: '\r\n', keepAlive: true },
  {
    method: 'HEAD',
    status: 304,
    length: 0,
    fields: 'content-length: 5\r\n',
    gives: 'content-length: 5\r\n\r\n',
    keepAlive: true,
  },
  { status: 205, length: 0, gives: 'content-length: 0\r\n\r\n', keepAlive: true },
]

describe('the framing of a response to a client', () => {
  for (const { method = 'GET', minor = 1, status = 200, fields = '', length, gives, keepAlive } of MATRIX)
    it(`HTTP/1.${minor} ${method} ${status}, length ${length}, ${JSON.stringify(fields)}`, async (t) => {
      const result = await written(t, (writer) => {
        writer.begin(method, minor, true)
        writer.head({ status, fields: sent(fields), bodyLength: length })
        if (length !== 0) writer.body(body, 0, body.length)
        writer.end(null)
      })
      assert.equal(result.bytes.replace(/^.*\r\n/, '').replace(DATE, ''), gives)
      assert.match(result.bytes, new RegExp(`^HTTP/1\\.1 ${status} `))
      assert.equal(result.keepAlive, keepAlive)
    })

  it('sends Connection: close when the connection is not kept', async (t) => {
    const { bytes } = await written(t, (writer) => {
      writer.begin('GET', 1, false)
      writer.complete({ status: 404, fields: Fields.from({ x: 'y' }), body })
    })
    assert.equal(bytes, `HTTP/1.1 404 Not Found\r\nx: y\r\n${DATE}content-length: 5\r\nconnection: close\r\n\r\nabcde`)
  })

  it('keeps the Date of the upstream, and takes no other field for it', async (t) => {
    const { bytes } = await written(t, (writer) => {
      writer.begin('GET', 1, true)
      writer.head({ status: 200, fields: sent('Date: then\r\n'), bodyLength: 0 })
      writer.end(null)
      const fields = new Fields()
      fields.add('x-kind', 'date')
      writer.begin('GET', 1, true)
      writer.complete({ status: 200, fields, body: null })
    })
    assert.equal(bytes.match(/^date: /gim)?.length, 2)
    assert.match(bytes, /Date: then/)
  })

  it('dates anew what had its Date removed', async (t) => {
    const fields = sent('Date: then\r\nContent-Length: 9\r\n')
    fields.remove('date')
    fields.remove('content-length')
    const { bytes } = await written(t, (writer) => {
      writer.begin('GET', 1, true)
      writer.head({ status: 200, fields, bodyLength: 5 })
      writer.body(body, 0, 5)
      writer.end(null)
    })
    assert.equal(bytes, `HTTP/1.1 200 OK\r\n${DATE}content-length: 5\r\n\r\nabcde`)
  })

  it('sends trailers after chunks only', async (t) => {
    const trailers = Fields.from({ 'x-sum': '1' })
    for (const [minor, length, ends] of [
      [1, undefined, '\r\n0\r\nx-sum: 1\r\n\r\n'],
      [1, 5, '\r\n\r\nabcde'],
      [0, undefined, '\r\n\r\nabcde'],
    ] as const) {
      const { bytes } = await written(t, (writer) => {
        writer.begin('GET', minor, true)
        writer.head({ status: 200, fields: new Fields(), bodyLength: length })
        writer.body(body, 0, 5)
        writer.end(trailers)
      })
      assert.ok(bytes.endsWith(ends), bytes)
    }
  })

  it('passes interim responses to HTTP/1.1 alone', async (t) => {
    for (const [minor, count] of [
      [1, 3],
      [0, 1],
    ] as const) {
      const { bytes } = await written(t, (writer) => {
        writer.begin('GET', minor, true)
        writer.informational(100, null)
        writer.informational(103, Fields.from({ link: '</x>' }))
        writer.complete({ status: 200, fields: new Fields(), body: null })
      })
      assert.equal(bytes.match(/^HTTP\/1\.1 /gm)?.length, count)
    }
  })

  it('gives every byte of bodies of every size, whatever becomes of the buffer they came in', async (t) => {
    for (const size of [1, 4_095, 4_096, 4_097, 32_768, 70_000, 300_000])
      for (const length of [size * 3, undefined]) {
        const read = Buffer.alloc(size)
        const { bytes } = await written(t, (writer) => {
          writer.begin('GET', 1, true)
          writer.head({ status: 200, fields: new Fields(), bodyLength: length })
          for (const fill of [0x61, 0xe9, 0x63]) {
            read.fill(fill)
            writer.body(read, 0, size)
          }
          read.fill(0x58)
          writer.end(null)
        })
        const expected = 'a'.repeat(size) + '\xe9'.repeat(size) + 'c'.repeat(size)
        const sentBody = bytes.slice(bytes.indexOf('\r\n\r\n') + 4)
        assert.equal(length === undefined ? dechunked(sentBody) : sentBody, expected)
      }
  })

  it('sends no byte more than the length it promised, and then does not keep the connection', async (t) => {
    for (const pieces of [['abcdefgh'], ['abc', 'defgh'], ['abcde', 'fgh'], ['abcde', 'f', 'gh']]) {
      const result = await written(t, (writer) => {
        writer.begin('GET', 1, true)
        writer.head({ status: 200, fields: new Fields(), bodyLength: 5 })
        for (const piece of pieces) writer.body(Buffer.from(piece), 0, piece.length)
        writer.end(null)
      })
      assert.ok(result.bytes.endsWith('\r\n\r\nabcde'), result.bytes)
      assert.equal(result.keepAlive, false)
    }
  })

  it('does not keep a connection on which bytes are owed', async (t) => {
    const { keepAlive } = await written(t, (writer) => {
      writer.begin('GET', 1, true)
      writer.head({ status: 200, fields: new Fields(), bodyLength: 5 })
      writer.body(body, 0, 4)
      writer.end(null)
    })
    assert.equal(keepAlive, false)
  })

  it('starts each response afresh', async (t) => {
    const answer: CompleteResponse = { status: 200, fields: new Fields(), body }
    const head: ResponseHead = { status: 200, fields: new Fields(), bodyLength: undefined }
    const { bytes } = await written(t, (writer) => {
      writer.begin('HEAD', 1, true)
      writer.complete(answer)
      writer.begin('GET', 1, true)
      writer.head(head)
      writer.end(null)
      writer.begin('GET', 1, true)
      writer.complete(answer)
    })
    const bodies = bytes.split(/HTTP\/1\.1 200 OK\r\n/).map((each) => each.split('\r\n\r\n').slice(1).join('|'))
    assert.deepEqual(bodies, ['', '', '0|', 'abcde'])
  })

  it('reports back-pressure of the client', async (t) => {
    const { near, far } = await pair(t)
    far.pause()
    const writer = new ResponseWriter(near, () => WALL)
    writer.begin('GET', 1, true)
    writer.head({ status: 200, fields: new Fields(), bodyLength: undefined })
    assert.equal(writer.room, true)
    const chunk = Buffer.alloc(64 * 1024)
    for (let i = 0; i < 1_000 && writer.room; i++) writer.body(chunk, 0, chunk.length)
    assert.equal(writer.room, false)
    const drained = new Promise((resolve) => near.once('drain', resolve))
    far.resume()
    await drained
    assert.equal(writer.room, true)
  })
})

function dechunked(text: string): string {
  let body = ''
  for (let at = 0; ; ) {
    const end = text.indexOf('\r\n', at)
    const size = Number.parseInt(text.slice(at, end), 16)
    if (size === 0) return body
    body += text.slice(end + 2, end + 2 + size)
    at = end + 4 + size
  }
}

describe('what has left of a response', () => {
  const length = 8 * 1024 * 1024
  const big = Buffer.alloc(length, 0x61)

  it('is what the system had taken when the connection was cut, to the byte', async (t) => {
    const { near, far } = await pair(t)
    const writer = new ResponseWriter(near, () => WALL)
    writer.begin('GET', 1, true)
    writer.head({ status: 200, fields: new Fields(), bodyLength: length })
    for (let at = 0; at < length; at += 65_536) writer.body(big, at, at + 65_536)
    assert.equal(writer.bodySent, length)
    near.destroy()
    far.end()
    const received = await everything(far)
    const body = received.length - received.indexOf('\r\n\r\n') - 4
    assert.ok(body < length)
    assert.equal(writer.bodySent, body)
    assert.equal(writer.retract(), false)
  })

  it('is nothing where what came before it still waits', async (t) => {
    const { near, far } = await pair(t)
    const writer = new ResponseWriter(near, () => WALL)
    near.write(big)
    writer.begin('GET', 1, true)
    writer.head({ status: 200, fields: new Fields(), bodyLength: 5 })
    writer.body(body, 0, 5)
    writer.end(null)
    assert.equal(writer.retract(), false)
    near.destroy()
    assert.deepEqual([writer.bodySent, writer.retract()], [0, true])
    far.end()
    assert.doesNotMatch(await everything(far), /HTTP/)
  })

  it('is nothing while it is gathered: it can be taken back, and another be sent in its place', async (t) => {
    const { bytes } = await written(t, (writer) => {
      writer.begin('GET', 1, true)
      writer.head({ status: 200, fields: new Fields(), bodyLength: undefined })
      writer.body(body, 0, 5)
      assert.equal(writer.bodySent, 0)
      assert.equal(writer.retract(), true)
      assert.equal(writer.retract(), false)
      writer.head({ status: 502, fields: new Fields(), bodyLength: 5 })
      writer.body(body, 0, 5)
      writer.end(null)
      assert.deepEqual([writer.bodySent, writer.retract()], [5, false])
    })
    assert.equal(bytes, `HTTP/1.1 502 Bad Gateway\r\n${DATE}content-length: 5\r\n\r\nabcde`)
  })

  it('is not taken back once a byte of it was written, and then holds no more than that', async (t) => {
    await written(t, (writer) => {
      writer.begin('GET', 1, true)
      writer.head({ status: 200, fields: new Fields(), bodyLength: undefined })
      writer.body(body, 0, 2)
      writer.flush()
      writer.body(body, 2, 5)
      assert.deepEqual([writer.bodySent, writer.retract()], [2, false])
    })
  })
})
