import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { eventually, type Gateway, suiteScope } from './harness.ts'
import { HOST, type Holdings, holdings, nothingLeft, type Scripted, scripted, wireGateway } from './wire.ts'

/** The request that must never reach the upstream as one of its own. */
const HIDDEN = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`
const CHUNKED_HIDDEN = `0\r\n\r\n${HIDDEN}`

/** Two servers that disagree about any of these could be made to read the hidden request as one. */
const REFUSED: readonly (readonly [what: string, head: string, body: string, status?: number])[] = [
  ['CL.TE', `content-length: ${CHUNKED_HIDDEN.length}\r\ntransfer-encoding: chunked`, CHUNKED_HIDDEN],
  [
    'TE.CL',
    `transfer-encoding: chunked\r\ncontent-length: 4`,
    `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
  ],
  ['CL.CL', `content-length: ${HIDDEN.length}\r\ncontent-length: 0`, HIDDEN],
  ['CL.CL, the same twice', `content-length: ${HIDDEN.length}\r\ncontent-length: ${HIDDEN.length}`, HIDDEN],
  ['CL as a list', `content-length: 0, ${HIDDEN.length}`, HIDDEN],
  ['CL with a plus', `content-length: +${HIDDEN.length}`, HIDDEN],
  ['CL with a minus', 'content-length: -1', HIDDEN],
  ['CL with a space in it', 'content-length: 0 0', HIDDEN],
  ['CL with a tab behind a space in it', 'content-length: 1 \t1', HIDDEN],
  ['CL in hexadecimal', 'content-length: 0x0', HIDDEN],
  ['CL with a comma behind', 'content-length: 0,', HIDDEN],
  ['CL with a NUL', 'content-length: 0\0', HIDDEN],
  ['CL with a vertical tab', 'content-length: \v0', HIDDEN],
  ['CL with a no-break space', 'content-length: \xa00', HIDDEN],
  ['CL with a space before the colon', 'content-length : 0', HIDDEN],
  ['CL folded', 'content-length:\r\n 0', HIDDEN],
  ['CL behind a bare LF', 'x: y\ncontent-length: 0', HIDDEN],
  ['CL behind a bare CR', 'x: y\rcontent-length: 0', HIDDEN],
  ['TE with a space before the colon', 'transfer-encoding : chunked', CHUNKED_HIDDEN],
  ['TE with a tab before the colon', 'transfer-encoding\t: chunked', CHUNKED_HIDDEN],
  ['TE folded', 'transfer-encoding:\r\n chunked', CHUNKED_HIDDEN],
  ['TE twice', 'transfer-encoding: chunked\r\ntransfer-encoding: chunked', CHUNKED_HIDDEN],
  ['TE twice, the second another', 'transfer-encoding: chunked\r\ntransfer-encoding: identity', CHUNKED_HIDDEN],
  ['TE twice, the first another', 'transfer-encoding: x\r\ntransfer-encoding: chunked', CHUNKED_HIDDEN],
  ['TE as a list', 'transfer-encoding: identity, chunked', CHUNKED_HIDDEN, 501],
  ['TE with chunked not last', 'transfer-encoding: chunked, identity', CHUNKED_HIDDEN],
  ['TE with an empty element', 'transfer-encoding: ,chunked', CHUNKED_HIDDEN, 501],
  ['TE with a letter more', 'transfer-encoding: xchunked', CHUNKED_HIDDEN],
  ['TE in quotes', 'transfer-encoding: "chunked"', CHUNKED_HIDDEN],
  ['TE with a parameter', 'transfer-encoding: chunked;q=1', CHUNKED_HIDDEN],
  ['TE with a vertical tab', 'transfer-encoding: \vchunked', CHUNKED_HIDDEN],
  ['TE with a NUL', 'transfer-encoding: chunked\0', CHUNKED_HIDDEN],
  ['TE with a no-break space', 'transfer-encoding: chunked\xa0', CHUNKED_HIDDEN],
  ['TE behind a bare LF', 'x: y\ntransfer-encoding: chunked', CHUNKED_HIDDEN],
  ['TE behind a bare CR', 'x: y\rtransfer-encoding: chunked', CHUNKED_HIDDEN],
  ['TE alone on a line that begins with a space', 'x: y\r\n transfer-encoding: chunked', CHUNKED_HIDDEN],
  ['a name with a NUL', 'transfer-encoding\0: chunked', CHUNKED_HIDDEN],
  ['a name with a byte above ASCII', 'transfer\xadencoding: chunked', CHUNKED_HIDDEN],
  ['Connection that takes the length away', `connection: content-length\r\ncontent-length: ${HIDDEN.length}`, HIDDEN],
  [
    'Connection that takes the coding away',
    'connection: transfer-encoding\r\ntransfer-encoding: chunked',
    CHUNKED_HIDDEN,
  ],
  ['a chunk size with a bare LF', 'transfer-encoding: chunked', `0\n\n${HIDDEN}`],
  ['a chunk extension with a bare LF', 'transfer-encoding: chunked', `1;a\nb\r\nx\r\n${CHUNKED_HIDDEN}`],
  ['a chunk extension with a bare CR', 'transfer-encoding: chunked', `1;a\rb\r\nx\r\n${CHUNKED_HIDDEN}`],
  ['a chunk that is longer than its size', 'transfer-encoding: chunked', `1\r\nxy${CHUNKED_HIDDEN}`],
  ['a chunk without its CRLF', 'transfer-encoding: chunked', `1\r\nx${CHUNKED_HIDDEN}`],
  ['a chunk size with a space', 'transfer-encoding: chunked', `1 \r\nx\r\n${CHUNKED_HIDDEN}`],
  ['a chunk size beyond 64 bits', 'transfer-encoding: chunked', `10000000000000000\r\n${CHUNKED_HIDDEN}`],
  ['a chunk size with a sign', 'transfer-encoding: chunked', `+1\r\nx\r\n${CHUNKED_HIDDEN}`],
  ['a trailer with a space before the colon', 'transfer-encoding: chunked', `0\r\nx : y\r\n\r\n${HIDDEN}`],
]

describe('request smuggling', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let upstream: Scripted
  let base: Holdings
  before(async () => {
    const ok = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\ncanary'
    upstream = await scripted(scope, {
      canary: (socket) => socket.write(ok),
      smuggled: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nEVIL'),
      // Answers when it has the end of the body, so that what comes behind would stand on the same connection.
      attack: (socket) => setTimeout(() => socket.write(ok), 5),
    })
    gateway = await wireGateway(scope, upstream.port)
    await gateway.request({ host: 'wire.test', path: '/canary' })
    base = await holdings(gateway)
  })

  for (const [what, head, body, status = 400] of REFUSED)
    it(`refuses ${what}`, async () => {
      using client = await gateway.connect()
      client.send(`POST /attack HTTP/1.1\r\n${HOST}${head}\r\n\r\n${body}`)
      const answer = await client.response()
      assert.equal(answer.status, status, answer.text)
      assert.equal(answer.header('connection'), 'close')
      await client.closed()
      const canary = await gateway.request({ host: 'wire.test', path: '/canary' })
      assert.equal(canary.text, 'canary')
    })

  it('reads an underscore for no hyphen: such a field is no framing, and the upstream is told the true one', async () => {
    using client = await gateway.connect()
    client.send(
      `POST /attack HTTP/1.1\r\n${HOST}content_length: ${HIDDEN.length}\r\ntransfer_encoding: chunked\r\n\r\n`,
    )
    assert.equal((await client.response()).text, 'canary')
  })

  it('gives a body that looks like a request to the upstream as a body', async () => {
    using client = await gateway.connect()
    client.send(`POST /attack HTTP/1.1\r\n${HOST}content-length: 15\r\n\r\nGET /x HTTP/1.1`)
    assert.equal((await client.response()).text, 'canary')
    client.send(`GET /canary HTTP/1.1\r\n${HOST}\r\n`)
    assert.equal((await client.response()).text, 'canary')
  })

  it('refuses a second Host by an absolute target', async () => {
    using client = await gateway.connect()
    client.send(`GET http://wire.test/canary HTTP/1.1\r\nhost: other.test\r\n\r\n`)
    assert.equal((await client.response()).json().reason, 'BadHost')
  })

  it('answers a request pipelined behind a refused one with nothing', async () => {
    using client = await gateway.connect()
    client.send(`GET /canary HTTP/1.1\r\n${HOST}\r\nGET /canary HTTP/1.1\r\nx : y\r\n\r\n${HIDDEN}`)
    assert.equal((await client.response()).text, 'canary')
    assert.equal((await client.response()).status, 400)
    await client.closed()
  })

  it('never let the hidden request through', () => {
    for (const { text } of upstream.arrived) assert.doesNotMatch(text, /^GET \/smuggled/m)
  })

  it('says so in the access log, one line for each', async () => {
    const refused = REFUSED.length + 1
    await eventually(() => {
      const lines = gateway.accessLog.filter((line) => line.reason === 'BadRequest' || line.status === 501)
      assert.equal(lines.length, refused)
    })
  })

  it('leaves nothing open', () => nothingLeft(gateway, base))
})
