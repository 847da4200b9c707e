/** Requests of HTTP/2 that would mean something else in HTTP/1.1: what a raw HTTP/1.1 upstream sees of them. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { data, Flag, FrameType, frame, headers, literalBlock } from '../http/raw-frames.ts'
import { type FieldList, RawH2, request } from '../lib/raw-h2.ts'
import { listening, until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { toUp } from './test-plane.ts'

const ACK = frame({ type: FrameType.SETTINGS, flags: Flag.ACK })

interface Rig {
  readonly gateway: InProcess
  readonly client: RawH2
  /** All that the upstream has read. */
  seen(): string
}

/** The upstream answers each head, whatever it says. */
async function rig(t: TestContext): Promise<Rig> {
  let seen = ''
  const { port } = await listening(t, (socket) =>
    socket.on('data', (bytes: Buffer) => {
      seen += bytes.toString('latin1')
      if (bytes.includes('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    }),
  )
  const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ retry: { attempts: 0 } }) })
  const client = await RawH2.connect(t, gateway.port)
  client.send(ACK)
  return { gateway, client, seen: () => seen }
}

const pseudo = (fields: Readonly<Record<string, string | undefined>>): FieldList => {
  const all = { ':method': 'GET', ':scheme': 'http', ':authority': 'raw.test', ':path': '/', ...fields }
  return Object.entries(all).filter((field): field is [string, string] => field[1] !== undefined)
}

const withField = (name: string, value: string): FieldList => request('/', [[name, value]])
const EVIL = 'x\r\nhost: evil.test\r\n\r\nGET /evil HTTP/1.1'

/** Malformed (RFC 9113 §8.1.1): a stream error PROTOCOL_ERROR. */
const MALFORMED: readonly (readonly [string, FieldList])[] = [
  ...[
    'a\rb',
    'a\nb',
    'a\0b',
    'a b',
    'a:b',
    'a\tb',
    'a ',
    ' a',
    '',
    'a\x7f',
    'a\x80',
    'Upper',
    'transfer-encodinG',
    'a"b',
    'a: b\r\nevil',
  ].map((name) => [`the name ${JSON.stringify(name)}`, withField(name, 'x')] as const),
  ...['a\rb', 'a\nb', 'a\r\nb', 'a\0b', ' a', 'a ', '\ta', 'a\t', '\x7f', 'a\x01', EVIL].map(
    (value) => [`the value ${JSON.stringify(value)}`, withField('x-field', value)] as const,
  ),
  ...[
    ['transfer-encoding', 'chunked'],
    ['transfer-encoding', 'identity'],
    ['connection', 'close'],
    ['connection', 'x-drop'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'keep-alive'],
    ['upgrade', 'websocket'],
    ['te', 'gzip'],
    ['te', 'trailers, deflate'],
    ['content-length', '5'],
    ['content-length', '-1'],
    ['content-length', '+0'],
    ['content-length', '0x0'],
    ['content-length', '0, 0'],
    ['content-length', ''],
    ['content-length', '99999999999999999999'],
    [':status', '200'],
    [':unknown', 'x'],
    [':path', '/behind'],
  ].map(([name, value]) => [`the field ${name}: ${value}`, withField(name!, value!)] as const),
  [
    'two content-length fields',
    request('/', [
      ['content-length', '0'],
      ['content-length', '0'],
    ]),
  ],
  ['no :method', pseudo({ ':method': undefined })],
  ['no :path', pseudo({ ':path': undefined })],
  ['no :scheme', pseudo({ ':scheme': undefined })],
  ['two :path', [...pseudo({}), [':path', '/2']]],
  ['two :authority', [[':authority', 'evil.test'], ...pseudo({})]],
  ['a pseudo-header field behind a field', [['a', 'b'], ...pseudo({})]],
  ['an empty :method', pseudo({ ':method': '' })],
  ['a :method with a request line', pseudo({ ':method': 'GET /evil HTTP/1.1\r\nx:' })],
  ['a :method with a space', pseudo({ ':method': 'GET /' })],
  ...[
    '',
    'evil',
    'http://evil.test/',
    '/a b',
    '/a\tb',
    '/a\r\nx: y',
    '/a\0',
    '/a#fragment',
    '/ HTTP/1.1\r\nhost: evil.test',
    '*',
    '?a',
    '/\x7f',
    '/\x80',
  ].map((path) => [`the :path ${JSON.stringify(path)}`, pseudo({ ':path': path })] as const),
  ...['ftp', 'HTTP', '', 'http\r\n', 'http '].map(
    (scheme) => [`the :scheme ${JSON.stringify(scheme)}`, pseudo({ ':scheme': scheme })] as const,
  ),
  ...['raw.test\r\nx: y', 'raw.test evil', 'raw.test\0'].map(
    (authority) => [`the :authority ${JSON.stringify(authority)}`, pseudo({ ':authority': authority })] as const,
  ),
  ['a CONNECT with a :path', pseudo({ ':method': 'CONNECT' })],
  [':protocol without CONNECT', [...pseudo({}), [':protocol', 'websocket']]],
]

/** Well-formed to HTTP/2, and answered by the gateway itself. */
const REFUSED: readonly (readonly [string, FieldList, number])[] = [
  ['a Host that differs', withField('host', 'evil.test'), 400],
  ['a Host with another port', withField('host', 'raw.test:81'), 400],
  [
    'two Host fields',
    request('/', [
      ['host', 'raw.test'],
      ['host', 'raw.test'],
    ]),
    400,
  ],
  ['neither :authority nor Host', pseudo({ ':authority': undefined }), 400],
  ['an empty :authority', pseudo({ ':authority': '' }), 400],
  ['an :authority with user information', pseudo({ ':authority': 'user@raw.test' }), 400],
  ['an :authority with a path', pseudo({ ':authority': 'raw.test/evil' }), 400],
  ['an :authority with a query', pseudo({ ':authority': 'raw.test?x' }), 400],
  ['an :authority with a bad port', pseudo({ ':authority': 'raw.test:99999' }), 400],
  [
    'CONNECT',
    [
      [':method', 'CONNECT'],
      [':authority', 'evil.test:22'],
    ],
    405,
  ],
  ['an encoded slash', pseudo({ ':path': '/a%2fb' }), 400],
  ['an encoded NUL', pseudo({ ':path': '/a%00b' }), 400],
  ['an expectation nobody knows', withField('expect', 'a-miracle'), 417],
  ['a name of 70,000 bytes', withField('n'.repeat(70_000), 'x'), 431],
  ['a value of 70,000 bytes', withField('n', 'x'.repeat(70_000)), 431],
  ['a :path of 20,000 bytes', pseudo({ ':path': `/${'p'.repeat(20_000)}` }), 414],
  [
    '101 fields',
    request(
      '/',
      Array.from({ length: 101 }, (_, i) => [`a${i}`, '']),
    ),
    431,
  ],
]

/** Cuts a block into frames. */
function block(stream: number, fields: FieldList, end: boolean): Buffer {
  const bytes = literalBlock(fields)
  const parts: Buffer[] = []
  for (let from = 0; from === 0 || from < bytes.length; from += 16_384) {
    const last = from + 16_384 >= bytes.length ? Flag.END_HEADERS : 0
    const type = from === 0 ? FrameType.HEADERS : FrameType.CONTINUATION
    const flags = last | (from === 0 && end ? Flag.END_STREAM : 0)
    parts.push(frame({ type, flags, stream, payload: bytes.subarray(from, from + 16_384) }))
  }
  return Buffer.concat(parts)
}

describe('a request of HTTP/2 that is malformed', () => {
  it('never reaches the upstream, and is answered before its stream is reset', async (t) => {
    const { gateway, client, seen } = await rig(t)
    for (const [i, [what, fields]] of MALFORMED.entries()) {
      const stream = 2 * i + 1
      client.send(block(stream, fields, true))
      await until(() => client.lines.includes(`reset ${stream} PROTOCOL_ERROR`), `the refusal of ${what}`)
      assert.ok(client.lines.includes(`head ${stream} 400`), what)
    }
    assert.equal(seen(), '')
    client.socket.end()
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
    const log = gateway.log()
    assert.equal(log.length, MALFORMED.length)
    assert.ok(log.every(({ status, reason }) => status === 400 && reason === 'BadRequest'))
  })

  it('stays malformed in the dynamic table', async (t) => {
    const { client, seen } = await rig(t)
    for (const [name, value] of [
      ['x-bad', 'a\r\nb'],
      ['Upper', 'x'],
      [':path', '/a b'],
    ] as const) {
      const stream = 2 * client.lines.length + 1
      const inserted = Buffer.from(literalBlock([[name, value]]))
      inserted[0] = 0x40
      for (const [at, field] of [inserted, Buffer.from([0xbe])].entries()) {
        const fields = pseudo(name === ':path' ? { ':path': undefined } : {})
        const payload = Buffer.concat([literalBlock(fields), field])
        client.send(frame({ type: FrameType.HEADERS, flags: 5, stream: stream + 2 * at, payload }))
        await client.sees(`reset ${stream + 2 * at} PROTOCOL_ERROR`)
      }
    }
    assert.equal(seen(), '')
  })

  it('is refused by the gateway where HTTP/2 allows it', async (t) => {
    const { gateway, client, seen } = await rig(t)
    for (const [i, [what, fields, status]] of REFUSED.entries()) {
      const stream = 2 * i + 1
      client.send(block(stream, fields, true))
      await until(() => client.log.heads.has(stream), what)
      assert.ok(
        client.lines.some((line) => line.startsWith(`head ${stream} ${status}`)),
        `${what}: ${client.lines.findLast((line) => line.startsWith('head'))}`,
      )
    }
    assert.equal(seen(), '')
    client.socket.end()
    await gateway.nothingLeft()
  })
})

describe('the body of a request of HTTP/2', () => {
  const POST = (fields: FieldList): FieldList => request('/', fields, 'POST')
  const SMUGGLED = '0\r\n\r\nGET /evil HTTP/1.1\r\nhost: evil.test\r\n\r\n'

  for (const [what, length, sent] of [
    ['longer', '4', 'GET /'],
    ['shorter', '6', 'GET /'],
    ['empty', '1', ''],
  ] as const)
    it(`resets its stream where it is ${what} than its content-length`, async (t) => {
      const { client, seen, gateway } = await rig(t)
      client.send(headers(1, POST([['content-length', length]]), { end: false }), data(1, sent, true))
      await client.sees('reset 1 PROTOCOL_ERROR')
      assert.ok(!seen().includes('GET /'), seen())
      client.get(3, '/next')
      await client.sees('head 3 200 end')
      client.socket.end()
      await gateway.nothingLeft()
    })

  it('cannot end early in chunks, or begin another request', async (t) => {
    const { client, seen } = await rig(t)
    client.send(headers(1, POST([]), { end: false }), data(1, SMUGGLED, true))
    await client.sees('head 1 200 end')
    await until(() => seen().endsWith('0\r\n\r\n'))
    assert.match(seen(), new RegExp(`\\r\\n${SMUGGLED.length.toString(16)}\\r\\n0\\r\\n\\r\\nGET /evil`))
    assert.match(seen(), /^POST \/ HTTP\/1\.1\r\nhost: raw\.test\r\n/i)
    assert.equal(seen().match(/transfer-encoding: chunked\r\n/gi)?.length, 1)
  })

  it('keeps fields that frame or route out of its trailers', async (t) => {
    const { client, seen } = await rig(t)
    const trailers: FieldList = [
      ['host', 'evil.test'],
      ['content-length', '9'],
      ['transfer-encoding', 'chunked'],
      ['authorization', 'x'],
      ['x-sum', '1'],
    ]
    client.send(headers(1, POST([['te', 'trailers']]), { end: false }), data(1, 'abc'), headers(1, trailers))
    await client.sees('head 1 200 end')
    await until(() => seen().endsWith('\r\n\r\n') && seen().includes('x-sum'))
    const [, tail] = seen().split('\r\n0\r\n')
    assert.equal(tail, 'x-sum: 1\r\n\r\n')
  })
})

describe('a request of HTTP/2 that is in order', () => {
  it('is one request of HTTP/1.1, with what it said and no more', async (t) => {
    const { client, seen } = await rig(t)
    client.send(
      headers(1, [
        ...pseudo({ ':scheme': 'https', ':path': '/a/b?c=d&e=%20' }),
        ['cookie', 'a=1'],
        ['x-latin', 'caf\xe9\ttab'],
        ['cookie', 'b=2'],
        ['te', 'trailers'],
        ['host', 'RAW.test'],
        ['x-empty', ''],
      ]),
    )
    await client.sees('head 1 200 end')
    const lines = seen().split('\r\n')
    assert.equal(lines[0], 'GET /a/b?c=d&e=%20 HTTP/1.1')
    assert.equal(lines.filter((line) => /^host:/i.test(line)).length, 1)
    for (const line of ['cookie: a=1; b=2', 'x-latin: caf\xe9\ttab', 'x-empty: ', 'x-forwarded-proto: http'])
      assert.ok(
        lines.some((each) => each.toLowerCase() === line),
        `${line} in ${seen()}`,
      )
    assert.doesNotMatch(seen(), /transfer-encoding|content-length|:scheme/i)
    assert.equal(seen().match(/ HTTP\/1\.1\r\n/g)?.length, 1)
  })
})
