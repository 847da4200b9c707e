/** What goes on of a message: its meaning, in the one form that we write. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { eventually } from '../feature/harness.ts'
import { scripted } from '../feature/wire.ts'
import { ACCEPT, AGREEING, ASKING, KEY } from '../lib/websocket-lines.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type Scope, toUp } from '../worker/test-plane.ts'

const REQUEST = 'GET /up HTTP/1.1\r\nhost: w.test\r\n'

/** A gateway whose upstream says these bytes to every request, and what the upstream heard. */
async function gatewayTo(
  scope: Scope,
  says: string | ((socket: Socket) => void),
): Promise<{ gateway: InProcess; heard: () => string }> {
  const answer = (socket: Socket): void => {
    if (typeof says === 'function') says(socket)
    else socket.write(Buffer.from(says, 'latin1'))
  }
  const up = await scripted(scope, { up: answer })
  const rules = toUp({ retry: { attempts: 0 }, upgrades: ['websocket'] })
  const gateway = await inProcess(scope, { upstreams: [up.port], rules })
  return { gateway, heard: () => up.arrived.map((each) => each.text).join('') }
}

/** All that the client gets for these bytes until something matches. */
async function sent(gateway: InProcess, bytes: string, until: RegExp): Promise<string> {
  using client = await gateway.connect()
  client.send(bytes)
  return await eventually(() => {
    const text = client.unread.toString('latin1')
    assert.match(text, until)
    return text
  })
}

describe('white space around the value of a field', () => {
  const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'

  it('does not reach the upstream', async (t) => {
    const { gateway, heard } = await gatewayTo(t, OK)
    const fields = 'X-Behind: a b \t\r\nX-Before:\t  c\r\nX-Empty: \t \r\nX-Tight:d\r\nContent-Length: 0 \r\n'
    await sent(gateway, `${REQUEST}${fields}\r\n`, /200 OK/)
    assert.match(heard(), /\r\nX-Behind: a b\r\nX-Before: c\r\nX-Empty: \r\nX-Tight: d\r\nContent-Length: 0\r\n/)
    assert.doesNotMatch(heard().replace('X-Empty: ', ''), /[\t ]\r\n|:[\t ]{2}|:\t/)
  })

  it('does not reach the client, in final and interim responses and in 101', async (t) => {
    const { gateway } = await gatewayTo(
      t,
      'HTTP/1.1 103 Early Hints \r\nLink: </a> \t\r\n\r\nHTTP/1.1 200 OK  \r\nX-A:\t1 \r\nContent-Length:  0\t\r\n\r\n',
    )
    const text = await sent(gateway, `${REQUEST}\r\n`, /200 OK[\s\S]*\r\n\r\n/)
    assert.match(text, /103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 0\r\n/)
    assert.doesNotMatch(text, /[\t ]\r\n/)
    const other = await gatewayTo(
      t,
      `HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade \r\nSec-WebSocket-Accept: \t ${ACCEPT}\t\r\n\r\n`,
    )
    const switched = await sent(
      other.gateway,
      `${REQUEST}upgrade: websocket \r\nconnection: upgrade\t\r\nsec-websocket-key: ${KEY} \r\n\r\n`,
      /101 Sw[\s\S]*\r\n\r\n/,
    )
    assert.ok(switched.includes(`\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`))
  })

  it('is left out of trailers, both ways', async (t) => {
    const { gateway, heard } = await gatewayTo(t, (socket) =>
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked \r\n\r\n0\r\nX-Sum: \t2 \r\n\r\n'),
    )
    const body =
      'te: trailers\r\nconnection: te\r\ntransfer-encoding: chunked\t\r\n\r\n1\r\na\r\n0\r\nX-Sum:\t1 \r\n\r\n'
    const text = await sent(gateway, `POST /up HTTP/1.1\r\nhost: w.test\r\n${body}`, /0\r\n.*\r\n\r\n$/)
    assert.match(text, /\r\n0\r\nx-sum: 2\r\n\r\n$/)
    await eventually(() => assert.match(heard(), /\r\n0\r\nx-sum: 1\r\n\r\n$/))
  })
})

describe('a length that a status may not carry', () => {
  it('is not sent on with 1xx and 204', async (t) => {
    const { gateway } = await gatewayTo(
      t,
      `HTTP/1.1 102 Processing\r\ncontent-length: 0\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\nContent-Length: 0\r\n\r\n` +
        'HTTP/1.1 204 No Content\r\nCONTENT-LENGTH: 0\r\nx: y\r\n\r\n',
    )
    const text = await sent(gateway, `${REQUEST}\r\n`, /204 No[\s\S]*\r\n\r\n/)
    assert.doesNotMatch(text, /content-length|transfer-encoding/i)
    assert.match(text, /^HTTP\/1.1 102 Processing\r\n\r\nHTTP\/1.1 103 Early Hints\r\nlink: <\/a>\r\n\r\n/)
  })

  it('is not sent on with 101, and the bytes behind it are the tunnel', async (t) => {
    const { gateway } = await gatewayTo(t, `HTTP/1.1 101 x\r\ncontent-length: 0\r\n${AGREEING}\r\nhello`)
    const text = await sent(gateway, `${REQUEST}${ASKING}\r\n`, /hello/)
    assert.doesNotMatch(text, /content-length/i)
  })

  for (const status of ['101', '102', '103', '204'])
    for (const field of ['Content-Length: 5', 'Transfer-Encoding: chunked'])
      it(`makes ${status} with ${field} unusable`, async (t) => {
        const { gateway } = await gatewayTo(
          t,
          `HTTP/1.1 ${status} x\r\n${field}\r\n${AGREEING}\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n`,
        )
        const text = await sent(gateway, `${REQUEST}${ASKING}\r\n`, /^HTTP[\s\S]*\r\n\r\n/)
        assert.match(text, /^HTTP\/1.1 502 /)
      })

  it('stays with 304, with 205 and with an answer to HEAD', async (t) => {
    for (const [method, status, length] of [
      ['GET', '304', 7],
      ['GET', '205', 0],
      ['HEAD', '200', 7],
    ] as const) {
      const { gateway } = await gatewayTo(t, `HTTP/1.1 ${status} x\r\ncontent-length: ${length}\r\n\r\n`)
      const text = await sent(gateway, `${method} /up HTTP/1.1\r\nhost: w.test\r\n\r\n`, /\r\n\r\n/)
      assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text)
      assert.ok(text.includes(`\r\ncontent-length: ${length}\r\n`), text)
    }
  })
})

describe('chunk extensions', () => {
  const chunked = (extension: string): string => `1${extension}\r\na\r\n0${extension}\r\n\r\n`
  const post = (extension: string): string =>
    `POST /up HTTP/1.1\r\nhost: w.test\r\ntransfer-encoding: chunked\r\n\r\n${chunked(extension)}`
  const good = [' ;a', '\t;\ta', ';a = "b;\\"" ; c', ';a=b']
  const bad = [';', ' ', '; ', ';=b', ';a=', ';a;', ';a="b', ';a b', ' \t']

  for (const extension of good)
    it(`${JSON.stringify(extension)} are read and not passed on, both ways`, async (t) => {
      const { gateway, heard } = await gatewayTo(
        t,
        `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunked(extension)}`,
      )
      const text = await sent(gateway, post(extension), /0\r\n\r\n$/)
      assert.match(text, /^HTTP\/1.1 200 [\s\S]*\r\n\r\n1\r\na\r\n0\r\n\r\n$/)
      await eventually(() => assert.match(heard(), /\r\n\r\n1\r\na\r\n0\r\n\r\n$/))
    })

  for (const extension of bad) {
    it(`${JSON.stringify(extension)} are refused from a client`, async (t) => {
      const { gateway } = await gatewayTo(t, () => {})
      const text = await sent(gateway, post(extension), /\r\n\r\n/)
      assert.match(text, /^HTTP\/1.1 400 [\s\S]*\r\nconnection: close\r\n/)
    })
    it(`${JSON.stringify(extension)} are refused from an upstream`, async (t) => {
      const { gateway } = await gatewayTo(
        t,
        `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunked(extension)}`,
      )
      const text = await sent(gateway, `${REQUEST}\r\n`, /\r\n\r\n/)
      assert.match(text, /^HTTP\/1.1 502 /)
    })
  }
})
