import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  HeaderSection,
  REQUEST_SECTION,
  RESPONSE_SECTION,
  type SectionKind,
  TRAILER_SECTION,
} from '../../src/http/header-section.ts'
import { HpackDecoder } from '../../src/http/hpack-decoder.ts'
import { DECODED, MALFORMED, TOO_LARGE, TOO_MANY_FIELDS, UNDECODABLE } from '../../src/http/section-builder.ts'
import { decodeList, expectedList, LIMITS, type List } from './hpack-lists.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

/** A literal field with a new name: 0x40 with indexing, 0x00 without, 0x10 never. */
function literal(first: number, name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([first]), raw(name), raw(value)])
}

function raw(text: string): Buffer {
  assert.ok(text.length < 0x7f + 0x80)
  const length = text.length < 0x7f ? [text.length] : [0x7f, text.length - 0x7f]
  return Buffer.concat([Buffer.from(length), Buffer.from(text, 'latin1')])
}

const GET = hex('828684')

interface Story {
  readonly cases: readonly {
    readonly wire: string
    readonly header_table_size?: number
    readonly headers: readonly Readonly<Record<string, string>>[]
  }[]
}

for (const file of globSync('test/data/hpack/*/*.json').sort()) {
  test(`${file.replaceAll('\\', '/').slice('test/data/hpack/'.length)} is decoded`, () => {
    const story: Story = JSON.parse(readFileSync(file, 'utf8'))
    const decoder = new HpackDecoder()
    for (const { wire, header_table_size, headers } of story.cases) {
      if (header_table_size !== undefined && header_table_size !== 4096) decoder.allowTableSize(header_table_size)
      const list: List = headers.map((field) => Object.entries(field)[0]!)
      const kind = list.some(([name]) => name === ':status') ? RESPONSE_SECTION : REQUEST_SECTION
      const decoded = decodeList(decoder, hex(wire), kind)
      assert.deepEqual(decoded.list, expectedList(list, kind === REQUEST_SECTION))
    }
  })
}

test('requests of RFC 7541 §C.3 and §C.4, tables included', () => {
  const plain = [
    '828684410f7777772e6578616d706c652e636f6d',
    '828684be58086e6f2d6361636865',
    '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
  ]
  const huffman = [
    '828684418cf1e3c2e5f23a6ba0ab90f4ff',
    '828684be5886a8eb10649cbf',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
  ]
  for (const blocks of [plain, huffman]) {
    const decoder = new HpackDecoder()
    const [first, second, third] = blocks.map((block) => decodeList(decoder, hex(block), REQUEST_SECTION).list)
    const common = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'www.example.com'],
      [':path', '/'],
    ]
    assert.deepEqual(first, common)
    assert.deepEqual(second, [...common, ['cache-control', 'no-cache']])
    assert.deepEqual(third, [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':authority', 'www.example.com'],
      [':path', '/index.html'],
      ['custom-key', 'custom-value'],
    ])
    assert.equal(decoder.tableSize, 164)
  }
})

test('responses of RFC 7541 §C.5, with a table of 256 bytes that evicts', () => {
  const decoder = new HpackDecoder(256)
  const blocks = [
    '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d',
    '4803333037c1c0bf',
    '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31',
  ]
  const lists = blocks.map((block) => decodeList(decoder, hex(block), RESPONSE_SECTION).list)
  assert.deepEqual(lists[1], [
    [':status', '307'],
    ['cache-control', 'private'],
    ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
    ['location', 'https://www.example.com'],
  ])
  assert.deepEqual(lists[2]![5], ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'])
  assert.equal(decoder.tableSize, 215)
})

test('what cannot be decoded is an error of the connection', () => {
  const refused = {
    'index 0': '80',
    'an index behind the tables': 'be',
    'an index behind the tables as a name': '7f00 01 61',
    'an index far behind the tables': 'ffffffff07',
    'an integer of six bytes': 'ff808080808000',
    'an integer that would wrap around 32 bits': 'ff8080808010',
    'an integer that is cut off': 'ff80',
    'a string that is cut off': '0005616263',
    'a length without its string': '00 01 61 7f',
    'a literal without a value': '000161',
    'a string of 2^28 bytes': '007f80ffff7f',
    'a Huffman string with EOS': '0084ffffffff0161',
    'a Huffman string with too long a padding': '00821fff0161',
    'an update of the table size behind a field': '8220',
    'a table size above the one that is allowed': '3fe21f',
  }
  for (const [what, block] of Object.entries(refused)) {
    const { result, fault } = decodeList(new HpackDecoder(), hex(block), REQUEST_SECTION)
    assert.equal(result, UNDECODABLE, what)
    assert.notEqual(fault, '', what)
  }
})

test('what breaks the rules for fields is malformed, and the table follows the peer all the same', () => {
  const request: readonly [string, Buffer][] = [
    ['an upper-case name', literal(0x40, 'X-a', 'b')],
    ['an empty name', literal(0x40, '', 'b')],
    ['a space in a name', literal(0x40, 'x a', 'b')],
    ['a colon in a name', literal(0x40, 'x:a', 'b')],
    ['a CR in a name', literal(0x40, 'x\ra', 'b')],
    ['CRLF in a value', literal(0x40, 'x', 'a\r\nb: c')],
    ['LF in a value', literal(0x40, 'x', 'a\nb')],
    ['NUL in a value', literal(0x40, 'x', 'a\0b')],
    ['a blank before a value', literal(0x40, 'x', ' b')],
    ['a tab behind a value', literal(0x40, 'x', 'b\t')],
    ['a pseudo-header field that is not defined', literal(0x40, ':what', 'b')],
    ['a status in a request', literal(0x40, ':status', '200')],
    ['a path twice', literal(0x40, ':path', '/b')],
    ['a method that is no token', literal(0x40, ':method', 'G T')],
    ['a space in a path', literal(0x40, ':path', '/ HTTP/1.1')],
    ['an empty path', literal(0x40, ':path', '')],
    ['a blank in an authority', literal(0x40, ':authority', 'a b')],
  ]
  for (const [what, field] of request) {
    const decoder = new HpackDecoder()
    const start = what.includes('method')
      ? hex('8684')
      : what.includes('path') && !what.includes('twice')
        ? hex('8286')
        : GET
    assert.equal(decodeList(decoder, Buffer.concat([start, field]), REQUEST_SECTION).result, MALFORMED, what)
    // From the table it is as malformed, and it has taken a place there.
    assert.ok(decoder.tableSize > 0, what)
    assert.equal(decodeList(decoder, Buffer.concat([start, hex('be')]), REQUEST_SECTION).result, MALFORMED, what)
    const next = Buffer.concat([GET, literal(0x40, 'y', 'z')])
    assert.equal(decodeList(decoder, next, REQUEST_SECTION).result, DECODED, what)
    assert.deepEqual(
      decodeList(decoder, Buffer.concat([GET, hex('be')]), REQUEST_SECTION).list.at(-1),
      ['y', 'z'],
      what,
    )
  }
})

test('pseudo-header fields belong to their kind of section, and before all others', () => {
  const cases: readonly [string, Buffer, SectionKind, number][] = [
    ['behind a field', Buffer.concat([hex('8286'), literal(0, 'a', 'b'), hex('84')]), REQUEST_SECTION, MALFORMED],
    ['in trailers', hex('88'), TRAILER_SECTION, MALFORMED],
    [':path in a response', hex('8884'), RESPONSE_SECTION, MALFORMED],
    [':status twice', hex('8889'), RESPONSE_SECTION, MALFORMED],
    [':status of four digits', Buffer.concat([hex('08'), raw('2000')]), RESPONSE_SECTION, MALFORMED],
    [':status that is no number', Buffer.concat([hex('08'), raw('2x0')]), RESPONSE_SECTION, MALFORMED],
    ['none in trailers', literal(0, 'grpc-status', '0'), TRAILER_SECTION, DECODED],
    [':status', hex('88'), RESPONSE_SECTION, DECODED],
    [':protocol', Buffer.concat([GET, literal(0, ':protocol', 'websocket')]), REQUEST_SECTION, DECODED],
  ]
  for (const [what, block, kind, result] of cases)
    assert.equal(decodeList(new HpackDecoder(), block, kind).result, result, what)
})

test('the parts of Cookie become one field, wherever they stand', () => {
  const decoder = new HpackDecoder()
  const block = (...parts: Buffer[]) =>
    decodeList(decoder, Buffer.concat([GET, ...parts]), REQUEST_SECTION).list.slice(3)
  const [a, b, c, x] = [
    literal(0, 'cookie', 'a=1'),
    literal(0x40, 'cookie', 'b=2'),
    literal(0x10, 'cookie', 'c=3'),
    literal(0, 'x', 'y'),
  ]
  assert.deepEqual(block(a, b, c, x), [
    ['cookie', 'a=1; b=2; c=3'],
    ['x', 'y'],
  ])
  assert.deepEqual(block(x, a, hex('be')), [
    ['x', 'y'],
    ['cookie', 'a=1; b=2'],
  ])
  assert.deepEqual(block(a, x, b, c), [
    ['x', 'y'],
    ['cookie', 'a=1; b=2; c=3'],
  ])
  assert.deepEqual(decodeList(decoder, Buffer.concat([hex('88'), a, b]), RESPONSE_SECTION).list.slice(1), [
    ['cookie', 'a=1'],
    ['cookie', 'b=2'],
  ])
})

test('fields that may not be indexed stay marked', () => {
  const section = new HeaderSection()
  const block = Buffer.concat([GET, literal(0, 'a', '1'), literal(0x10, 'x-secret', '2'), literal(0x40, 'c', '3')])
  const decoder = new HpackDecoder()
  for (let round = 0; round < 4; round++) {
    assert.equal(decoder.decode(block, 0, block.length, REQUEST_SECTION, LIMITS, section), DECODED)
    assert.deepEqual(
      [0, 1, 2].map((i) => section.fields.isUnindexed(i)),
      [false, true, false],
    )
  }
})

test('a section above the limits is refused, and the table follows the peer', () => {
  const limits = { head: 300, headers: 5, uri: 100 }
  const decoder = new HpackDecoder()
  const entry = Buffer.concat([GET, literal(0x40, 'x-long', 'y'.repeat(120))])
  assert.equal(decodeList(decoder, entry, REQUEST_SECTION, limits).result, DECODED)
  const bomb = Buffer.concat([GET, Buffer.alloc(10, 0xbe), literal(0x40, 'behind', 'it')])
  assert.equal(decodeList(decoder, bomb, REQUEST_SECTION, limits).result, TOO_LARGE)
  const many = Buffer.concat([GET, ...Array.from({ length: 6 }, () => literal(0, 'a', ''))])
  assert.equal(decodeList(decoder, many, REQUEST_SECTION, limits).result, TOO_LARGE)
  assert.equal(decodeList(decoder, many, REQUEST_SECTION, { ...limits, head: 1000 }).result, TOO_MANY_FIELDS)
  assert.deepEqual(decodeList(decoder, Buffer.concat([GET, hex('be')]), REQUEST_SECTION, limits).list[3], [
    'behind',
    'it',
  ])
})

test('a section many times over its limit is given up where that shows', () => {
  const decoder = new HpackDecoder()
  const entry = Buffer.concat([GET, Buffer.from([0x40, 1, 0x78, 0x7f, 0x81, 0x1f]), Buffer.alloc(4096, 0x79)])
  const large = { head: 8192, headers: 100, uri: 100 }
  decodeList(decoder, entry.subarray(0, 9 + 4000), REQUEST_SECTION, large)
  const name = Buffer.concat([Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x79)])
  assert.equal(decodeList(decoder, Buffer.concat([GET, name]), REQUEST_SECTION, large).result, DECODED)
  const bomb = Buffer.concat([GET, Buffer.alloc(16_384, 0xbe)])
  assert.equal(
    decodeList(decoder, Buffer.concat([GET, Buffer.alloc(15, 0xbe)]), REQUEST_SECTION, large).result,
    TOO_LARGE,
  )
  // A name of 4,000 bytes, of which each literal of three bytes would make a copy.
  const literals = Buffer.concat([GET, Buffer.from('0f2f00'.repeat(5_000), 'hex')])
  for (const block of [bomb, literals]) {
    const section = new HeaderSection()
    assert.equal(decoder.decode(block, 0, block.length, REQUEST_SECTION, large, section), UNDECODABLE)
    assert.ok(section.excessive)
    assert.equal(section.fault, 'a section many times over its limit')
  }
})

test('a literal as a name of an entry that its own insertion evicts', () => {
  const decoder = new HpackDecoder()
  const filler = literal(0x40, 'name', 'v'.repeat(200))
  decodeList(decoder, Buffer.concat([GET, filler]), REQUEST_SECTION)
  // Sizes the table so that only one of the two fits (RFC 7541 §4.4).
  const block = Buffer.concat([hex('3fe101'), GET, hex('7e'), raw('w'.repeat(200))])
  assert.deepEqual(decodeList(decoder, block, REQUEST_SECTION).list.at(-1), ['name', 'w'.repeat(200)])
  assert.deepEqual(decodeList(decoder, Buffer.concat([GET, hex('be')]), REQUEST_SECTION).list.at(-1), [
    'name',
    'w'.repeat(200),
  ])
  assert.equal(decodeList(decoder, Buffer.concat([GET, hex('bf')]), REQUEST_SECTION).result, UNDECODABLE)
})

test('a table that must shrink is announced before any field', () => {
  const decoder = new HpackDecoder()
  decodeList(decoder, Buffer.concat([GET, literal(0x40, 'a', 'b')]), REQUEST_SECTION)
  decoder.allowTableSize(0)
  assert.equal(decodeList(decoder, Buffer.concat([hex('20'), GET]), REQUEST_SECTION).result, DECODED)
  assert.equal(decoder.tableSize, 0)
  const other = new HpackDecoder()
  other.allowTableSize(100)
  assert.equal(decodeList(other, GET, REQUEST_SECTION).result, UNDECODABLE)
})

test('a block that comes again means what it meant, until a table changes', () => {
  const decoder = new HpackDecoder()
  decodeList(decoder, Buffer.concat([GET, literal(0x40, 'a', '1')]), REQUEST_SECTION)
  const block = Buffer.concat([GET, hex('be')])
  for (let i = 0; i < 5; i++) assert.deepEqual(decodeList(decoder, block, REQUEST_SECTION).list.at(-1), ['a', '1'])
  decodeList(decoder, Buffer.concat([GET, literal(0x40, 'a', '2')]), REQUEST_SECTION)
  for (let i = 0; i < 5; i++) assert.deepEqual(decodeList(decoder, block, REQUEST_SECTION).list.at(-1), ['a', '2'])
  assert.equal(decodeList(decoder, Buffer.concat([hex('20'), GET]), REQUEST_SECTION).result, DECODED)
  assert.equal(decodeList(decoder, block, REQUEST_SECTION).result, UNDECODABLE)
})

test('a section that is given again is the receiver’s own to change', () => {
  const decoder = new HpackDecoder()
  const block = Buffer.concat([GET, literal(0, 'a', '1'), literal(0, 'b', '2')])
  for (let i = 0; i < 5; i++) {
    const section = new HeaderSection()
    decoder.decode(block, 0, block.length, REQUEST_SECTION, LIMITS, section)
    assert.equal(section.fields.get('a'), '1')
    section.fields.remove('a')
    section.fields.set('b', '3')
  }
})
