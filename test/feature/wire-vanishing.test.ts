import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type AccessLine, eventually, type Gateway, suiteScope } from './harness.ts'
import type { RawClient } from './raw-client.ts'
import { HOST, type Holdings, holdings, nothingLeft, type Scripted, scripted, wireGateway } from './wire.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const BIG = 30_000_000

/** How far a client goes before it vanishes. */
const CLIENTS: readonly (readonly [stage: string, go: (client: RawClient) => Promise<void> | void, logged: boolean])[] =
  [
    ['before the head', () => {}, false],
    ['in the request line', (client) => void client.send('GET /wait'), false],
    ['in the head', (client) => void client.send(`GET /wait HTTP/1.1\r\n${HOST}x: `), false],
    ['while the upstream works', (client) => void client.send(`GET /wait HTTP/1.1\r\n${HOST}\r\n`), true],
    ['before a body', (client) => void client.send(`POST /wait HTTP/1.1\r\n${HOST}content-length: 10\r\n\r\n`), true],
    ['in a body', (client) => void client.send(`POST /wait HTTP/1.1\r\n${HOST}content-length: 10\r\n\r\nabc`), true],
    [
      'in a chunk',
      (client) => void client.send(`POST /wait HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n5\r\nab`),
      true,
    ],
    [
      'between chunks',
      (client) => void client.send(`POST /wait HTTP/1.1\r\n${HOST}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n`),
      true,
    ],
    ['behind a body', (client) => void client.send(`POST /wait HTTP/1.1\r\n${HOST}content-length: 3\r\n\r\nabc`), true],
    [
      'while it is asked to go on',
      async (client) => {
        client.send(`POST /continue HTTP/1.1\r\n${HOST}content-length: 3\r\nexpect: 100-continue\r\n\r\n`)
        assert.equal((await client.response()).status, 100)
      },
      true,
    ],
    [
      'in a response',
      async (client) => {
        client.send(`GET /half HTTP/1.1\r\n${HOST}\r\n`)
        await eventually(() => assert.ok(client.unread.length > 0))
      },
      true,
    ],
    [
      'in a large response that it did not read',
      async (client) => {
        client.socket.pause()
        client.send(`GET /big HTTP/1.1\r\n${HOST}\r\n`)
        await delay(50)
      },
      true,
    ],
  ]

/** What an upstream does to the request it got, and what the client gets of it: a status, or a cut (0). */
const UPSTREAMS: readonly (readonly [name: string, act: (socket: Socket) => void, status: number, reason: string])[] = [
  ['fin-at-once', (socket) => void socket.end(), 502, 'ResetBeforeResponse'],
  ['reset-at-once', (socket) => void socket.resetAndDestroy(), 502, 'ResetBeforeResponse'],
  ['fin-in-head', (socket) => void socket.end('HTTP/1.1 200 O'), 502, 'UpstreamTruncated'],
  ['reset-in-head', (socket) => thenReset(socket, 'HTTP/1.1 200 OK\r\nx: '), 502, 'UpstreamTruncated'],
  ['fin-behind-hint', (socket) => void socket.end('HTTP/1.1 103 x\r\n\r\n'), 502, 'UpstreamTruncated'],
  [
    'fin-behind-head',
    (socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n'),
    0,
    'UpstreamTruncated',
  ],
  [
    'fin-in-body',
    (socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'),
    0,
    'UpstreamTruncated',
  ],
  [
    'reset-in-body',
    (socket) => thenReset(socket, 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'),
    0,
    'UpstreamTruncated',
  ],
  [
    'fin-in-chunk',
    (socket) => void socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nab'),
    0,
    'UpstreamTruncated',
  ],
  [
    'fin-before-last-chunk',
    (socket) => void socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n'),
    0,
    'UpstreamTruncated',
  ],
  ['reset-until-close', (socket) => thenReset(socket, 'HTTP/1.1 200 OK\r\n\r\nabc'), 0, 'UpstreamTruncated'],
]

function thenReset(socket: Socket, text: string): void {
  socket.write(text)
  setTimeout(() => socket.resetAndDestroy(), 30)
}

describe('sides that vanish', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let upstream: Scripted
  let base: Holdings
  before(async () => {
    const answers: Record<string, (socket: Socket) => void> = {
      ok: (socket) => socket.write(OK),
      wait: () => {},
      continue: (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'),
      half: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf'),
      big: (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${BIG}\r\n\r\n`)
        socket.write(Buffer.alloc(BIG))
      },
    }
    for (const [name, act] of UPSTREAMS) answers[name] = act
    upstream = await scripted(scope, answers)
    gateway = await wireGateway(scope, upstream.port)
    await gateway.request({ host: 'wire.test', path: '/ok' })
    await gateway.logged((line) => line.path === '/ok')
    base = await holdings(gateway)
  })

  for (const [stage, go, logged] of CLIENTS)
    it(`a client that resets ${stage} leaves nothing behind`, async () => {
      const from = gateway.accessLog.length
      const client = await gateway.connect()
      await go(client)
      if (logged) await eventually(async () => assert.equal((await holdings(gateway)).exchanges, 1))
      client.reset()
      await nothingLeft(gateway, base)
      assert.deepEqual(reasons(await lines(gateway, from, logged ? 1 : 0)), logged ? ['ClientGone'] : [])
    })

  for (const [stage, go] of CLIENTS.filter(([stage]) => /in a (body|chunk)|before a body|between chunks/.test(stage)))
    it(`a client that closes ${stage} leaves nothing behind`, async () => {
      const from = gateway.accessLog.length
      const client = await gateway.connect()
      await go(client)
      client.end()
      await nothingLeft(gateway, base)
      assert.deepEqual(reasons(await lines(gateway, from, 1)), ['ClientGone'])
    })

  it('a client that closes in the head is told so', async () => {
    const from = gateway.accessLog.length
    using client = await gateway.connect()
    client.send(`GET /ok HTTP/1.1\r\n${HOST}`).end()
    assert.equal((await client.response()).status, 400)
    await client.closed()
    await nothingLeft(gateway, base)
    assert.deepEqual(reasons(await lines(gateway, from, 1)), ['BadRequest'])
  })

  for (const [name, , status, reason] of UPSTREAMS)
    it(`an upstream that does ${name} is ${status === 0 ? 'a cut' : status} and ${reason}`, async () => {
      const from = gateway.accessLog.length
      using client = await gateway.connect()
      client.send(`GET /${name} HTTP/1.1\r\n${HOST}\r\n`)
      if (status === 0) await assert.rejects(final(client))
      else {
        assert.equal((await final(client)).status, status)
        // The client did nothing wrong: its connection serves on.
        assert.equal((await client.request({ host: 'wire.test', path: '/ok' })).text, 'ok')
      }
      client.socket.destroy()
      const [first] = await lines(gateway, from, status === 0 ? 1 : 2)
      assert.equal(first!.reason, reason)
      await nothingLeft(gateway, base)
    })

  it('an upstream that vanishes while a body is sent is 502, and no sending hangs', async () => {
    for (const name of ['fin-at-once', 'reset-at-once']) {
      using client = await gateway.connect()
      client.send(`POST /${name} HTTP/1.1\r\n${HOST}content-length: 5000000\r\n\r\n`).send(Buffer.alloc(2_000_000))
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.json().reason], [502, 'ResetBeforeResponse'])
    }
    await nothingLeft(gateway, base)
  })
})

async function final(client: RawClient): ReturnType<RawClient['response']> {
  for (;;) {
    const response = await client.response()
    if (response.status >= 200) return response
  }
}

/** The lines that were logged since there were `from`; waits for `count` of them, and a moment for more. */
async function lines(gateway: Gateway, from: number, count: number): Promise<readonly AccessLine[]> {
  await eventually(() => assert.ok(gateway.accessLog.length >= from + count))
  await delay(60)
  assert.equal(gateway.accessLog.length, from + count)
  return gateway.accessLog.slice(from)
}

function reasons(logged: readonly AccessLine[]): unknown[] {
  return logged.map((line) => line.reason)
}
