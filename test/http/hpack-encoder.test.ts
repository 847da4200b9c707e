import assert from 'node:assert/strict'
import { type ClientHttp2Session, connect, sensitiveHeaders } from 'node:http2'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { FrameReader } from '../../src/http/frame-reader.ts'
import { HeaderSection, REQUEST_SECTION, RESPONSE_SECTION } from '../../src/http/header-section.ts'
import { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import { encodedBlockBound, encodedBound, HpackEncoder } from '../../src/http/hpack-encoder.ts'
import { DECODED } from '../../src/http/section-builder.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import { FrameLog } from './frame-log.ts'
import { decodeList, type List, listOf } from './hpack-lists.ts'
import { Flag, FrameType, frame, settings } from './raw-frames.ts'

const NAMES = [
  'accept-encoding',
  'content-type',
  'content-length',
  'server',
  'set-cookie',
  'vary',
  'x-frame-options',
  'x-forwarded-proto',
  'x-custom',
  'etag',
  'date',
]
const field = fc.tuple(
  fc.oneof(fc.constantFrom(...NAMES), fc.stringMatching(/^x-[a-z0-9_~-]{1,20}$/)),
  fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom('gzip, deflate', 'text/html', 'a', '', 'v'.repeat(200), 'w'.repeat(700)) },
    {
      weight: 2,
      arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 30 }).map((text) => text.replace(/[^!-~]/g, '_')),
    },
    {
      weight: 1,
      arbitrary: fc
        .uint8Array({ maxLength: 10 })
        .map((bytes) => Buffer.from(bytes.map((b) => b | 0xa0)).toString('latin1')),
    },
  ),
)
/** Sections of one connection. */
const sections = fc.array(fc.array(field, { maxLength: 12 }), { minLength: 1, maxLength: 12 })

/** The list as parsed fields in one run of bytes, or as added ones. */
function fieldsOf(list: List, parsed: boolean): Fields {
  const fields = new Fields()
  if (!parsed) {
    for (const [name, value] of list) fields.add(name, value)
    return fields
  }
  const bytes = Buffer.from(
    `GET${list.map(([name, value]) => `${name.toUpperCase()}: ${value}\r\n`).join('')}`,
    'latin1',
  )
  fields.clear(bytes)
  let at = 3
  for (const [name, value] of list) {
    fields.push(at, at + name.length, at + name.length + 2, at + name.length + 2 + value.length)
    at += name.length + value.length + 4
  }
  fields.end = at
  return fields
}

function encode(encoder: HpackEncoder, status: number, fields: Fields, block: FieldBlock | null = null): Buffer {
  const bound = 16 + 8 + encodedBound(fields) + (block === null ? 0 : encodedBlockBound(block))
  const out = Buffer.alloc(bound + 20, 0xee)
  let at = encoder.status(out, encoder.begin(out, 10), status)
  at = encoder.fields(out, at, fields)
  if (block !== null) at = encoder.block(out, at, block)
  assert.ok(at - 10 <= bound, 'the bound holds')
  assert.ok(
    out.subarray(at + 8).every((byte) => byte === 0xee),
    'nothing is written behind',
  )
  return Buffer.from(out.subarray(10, at))
}

test('our decoder reads what our encoder wrote, at every size of the table', () => {
  fc.assert(
    fc.property(sections, fc.array(fc.nat({ max: 6000 })), fc.boolean(), (lists, sizes, parsed) => {
      const encoder = new HpackEncoder()
      const decoder = new HpackDecoder()
      for (const [i, list] of lists.entries()) {
        const size = sizes[i]
        if (size !== undefined) {
          // Two changes before a block: the smallest must be announced, too (RFC 7541 §4.2).
          encoder.allowTableSize(Math.floor(size / 2))
          encoder.allowTableSize(size)
          decoder.allowTableSize(Math.floor(size / 2))
          decoder.allowTableSize(size)
        }
        const {
          result,
          list: decoded,
          fault,
        } = decodeList(decoder, encode(encoder, 200 + i, fieldsOf(list, parsed)), RESPONSE_SECTION)
        assert.equal(fault, '')
        assert.equal(result, DECODED)
        assert.deepEqual(decoded, [[':status', String(200 + i)], ...list])
      }
    }),
  )
})

test('a value that repeats is put into the table the second time, and is two bytes at most after that', () => {
  const encoder = new HpackEncoder()
  const fields = fieldsOf(
    [
      ['content-type', 'application/json; charset=utf-8'],
      ['x-custom', 'never'],
    ],
    true,
  )
  const lengths = [0, 1, 2, 3].map(() => encode(encoder, 200, fields).length)
  assert.equal(lengths[1], lengths[0]! - 1, 'an index of six bits instead of four')
  assert.equal(lengths[2], lengths[0]! - 33)
  assert.equal(lengths[3], lengths[2])
})

test('credentials, and what came as never indexed, are never indexed', () => {
  const encoder = new HpackEncoder()
  const decoder = new HpackDecoder()
  const fields = fieldsOf(
    [
      ['authorization', 'Basic abc'],
      ['cookie', 'a=b'],
      ['set-cookie', 'a=b'],
      ['accept', 'x'],
    ],
    true,
  )
  fields.keepUnindexed()
  fields.push(3, 16, 3, 4)
  fields.removeAt(4)
  const section = new HeaderSection()
  for (let i = 0; i < 4; i++) {
    const block = encode(encoder, 200, fields)
    assert.equal(
      decoder.decode(block, 0, block.length, RESPONSE_SECTION, { head: 1000, headers: 9, uri: 1 }, section),
      0,
    )
    assert.deepEqual(
      [0, 1, 2, 3].map((at) => section.fields.isUnindexed(at)),
      [true, true, true, false],
    )
  }
  const marked = new Fields()
  marked.clear(Buffer.from('accept: secret\r\n'))
  marked.keepUnindexed()
  marked.push(0, 6, 8, 14)
  marked.end = 16
  for (let i = 0; i < 4; i++) assert.equal(encode(encoder, 200, marked)[1]! & 0xf0, 0x10)
})

test('fields of an HTTP/1.1 connection and Host are not sent', () => {
  const list: List = [
    ['connection', 'close'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'close'],
    ['transfer-encoding', 'chunked'],
    ['upgrade', 'h2c'],
    ['te', 'gzip'],
    ['http2-settings', 'AAMAAABkAAQAAP__'],
    ['host', 'a.example'],
    ['accept', '*/*'],
  ]
  for (const parsed of [true, false]) {
    const block = encode(new HpackEncoder(), 200, fieldsOf(list, parsed))
    assert.deepEqual(decodeList(new HpackDecoder(), block, RESPONSE_SECTION).list.slice(1), [['accept', '*/*']])
  }
})

test('a block of fields is encoded once, and its repeated values are taken from the table', () => {
  const block = new FieldBlock([
    'x-forwarded-for',
    '10.0.0.1',
    'x-forwarded-proto',
    'https',
    'x-other',
    '1',
    'via',
    '1.1 headgate',
  ])
  const lengths: number[] = []
  const decoder = new HpackDecoder()
  const encoder = new HpackEncoder()
  for (let i = 0; i < 4; i++) {
    const bytes = encode(encoder, 204, new Fields(), block)
    lengths.push(bytes.length)
    assert.deepEqual(decodeList(decoder, bytes, RESPONSE_SECTION).list, [
      [':status', '204'],
      ['x-forwarded-for', '10.0.0.1'],
      ['x-forwarded-proto', 'https'],
      ['x-other', '1'],
      ['via', '1.1 headgate'],
    ])
  }
  assert.ok(lengths[2]! < lengths[0]! - 30)
})

test('an authority is a byte or two while it is in the table', () => {
  const encoder = new HpackEncoder()
  const decoder = new HpackDecoder()
  const out = Buffer.alloc(200)
  const send = (authority: string) => {
    const end = encoder.authority(out, encoder.begin(out, 0), authority)
    assert.deepEqual(decodeList(decoder, Buffer.from(out.subarray(0, end)), REQUEST_SECTION).list, [
      [':authority', authority],
    ])
    return end
  }
  const lengths = Array.from({ length: 5 }, () => send('api.example.com'))
  assert.deepEqual(lengths, [17, 17, 1, 1, 1])
  assert.deepEqual(
    Array.from({ length: 4 }, () => send('b.example')),
    [11, 11, 1, 1],
  )
  assert.equal(send('api.example.com'), 1)
  // Others push it out of the table.
  for (let i = 0; i < 400; i++) send(`host-${i >> 1}.example`)
  assert.equal(send('api.example.com'), 17)
})

// ---- node:http2 ----

/** A server of frames around a node:http2 client. */
class Peer extends FrameLog {
  readonly #decoder = new HpackDecoder()
  readonly #encoder = new HpackEncoder()
  readonly received: List[] = []
  readonly session: ClientHttp2Session
  readonly #send: (bytes: Buffer) => void
  respond: (stream: number) => readonly [Fields, FieldBlock | null] = () => [new Fields(), null]

  constructor(headerTableSize: number) {
    super()
    const [client, server] = duplexPair()
    const reader = new FrameReader(this, { role: 'server', maxFrameSize: 16_384, maxFieldBlock: 100_000 })
    server.on('data', (bytes: Buffer) => reader.push(bytes, 0, bytes.length))
    this.#send = (bytes) => void server.write(bytes)
    this.#send(settings())
    this.session = connect('http://a.example', { createConnection: () => client, settings: { headerTableSize } })
  }

  override onSetting(id: number, value: number): void {
    if (id === 1) this.#encoder.allowTableSize(value)
  }

  override onSettingsEnd(): void {
    this.#send(frame({ type: FrameType.SETTINGS, flags: Flag.ACK }))
  }

  override onFieldBlock(stream: number, _end: boolean, bytes: Buffer, start: number, end: number): void {
    const section = new HeaderSection()
    const limits = { head: 100_000, headers: 100, uri: 1 }
    assert.equal(this.#decoder.decode(bytes, start, end, REQUEST_SECTION, limits, section), DECODED)
    this.received.push(listOf(section))
    const [fields, block] = this.respond(stream)
    const payload = encode(this.#encoder, 200, fields, block)
    this.#send(frame({ type: FrameType.HEADERS, flags: Flag.END_HEADERS | Flag.END_STREAM, stream, payload }))
  }
}

for (const headerTableSize of [4096, 0, 300, 65_536])
  test(`node:http2 with a table of ${headerTableSize} bytes reads our blocks, and we read its`, async () => {
    const peer = new Peer(headerTableSize)
    const lists = fc.sample(sections, { numRuns: 40, seed: 7 }).flat()
    const block = new FieldBlock(['x-forwarded-proto', 'https', 'x-forwarded-for', '10.0.0.1'])
    for (const [i, all] of lists.entries()) {
      // A name once: node joins them by rules of its own.
      const list = all.filter(([name], at) => all.findIndex(([other]) => other === name) === at)
      const sent = list.filter(([name]) => name !== 'content-length' && name !== 'set-cookie')
      const answered = list.filter(([name]) => name !== 'content-length')
      peer.respond = () => [fieldsOf(answered, i % 2 === 0), i % 3 === 0 ? block : null]
      const request = peer.session.request({
        ':authority': 'a.example',
        ':path': `/${i}`,
        ...Object.fromEntries(sent),
        ...(i % 5 === 0 ? { [sensitiveHeaders]: sent.slice(0, 1).map(([name]) => name) } : {}),
      })
      const raw = await new Promise<string[]>((resolve, reject) => {
        request.on('error', reject)
        request.on('response', (_headers, _flags, rawHeaders) => resolve(rawHeaders))
      })
      request.resume()
      const pairs: (readonly [string, string])[] = []
      for (let at = 0; at < raw.length; at += 2) pairs.push([raw[at]!, raw[at + 1]!])
      assert.deepEqual(pairs, [[':status', '200'], ...answered, ...(i % 3 === 0 ? pairsOf(block) : [])])
      assert.deepEqual(peer.received[i], [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':authority', 'a.example'],
        [':path', `/${i}`],
        ...sent,
      ])
    }
    peer.session.destroy()
  })

function pairsOf({ pairs }: FieldBlock): List {
  return pairs.flatMap((name, i) => (i % 2 === 0 ? [[name, pairs[i + 1]!] as const] : []))
}
