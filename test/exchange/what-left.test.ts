/** What is logged and counted of a response is what has left for the client. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { BodySink, BodyStep } from '../../src/message/body.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { rawBackend } from '../feature/backends.ts'
import { eventually } from '../feature/harness.ts'
import type { RawClient } from '../feature/raw-client.ts'
import { scripted } from '../feature/wire.ts'
import { ASKING, SWITCHES } from '../lib/websocket-lines.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type AccessLine, type Scope, toUp } from '../worker/test-plane.ts'

const HEAD = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
const GET = 'GET /up HTTP/1.1\r\nhost: w.test\r\n\r\n'

async function gatewayTo(
  scope: Scope,
  serve: (socket: Socket) => void,
  filters: readonly Filter[] = [],
): Promise<InProcess> {
  const up = await scripted(scope, { up: serve })
  return inProcess(scope, {
    upstreams: [up.port],
    rules: toUp({ retry: { attempts: 0 }, upgrades: ['websocket'] }),
    filters: filters.map((filter) => ({ phase: 'compression' as const, filter })),
  })
}

/** The one line of the log, once there is one. */
async function line(gateway: InProcess): Promise<AccessLine> {
  await gateway.nothingLeft()
  const log = gateway.log()
  assert.equal(log.length, 1)
  assert.equal(gateway.bytesOut, log[0]!.bytesOut, 'the metric says what the log says')
  return log[0]!
}

/** All that comes until the connection is closed or reset. */
async function all(client: RawClient): Promise<string> {
  await eventually(() => assert.ok(client.socket.destroyed))
  return client.unread.toString('latin1')
}

describe('a body that breaks in the packet of its head', () => {
  const broken: readonly (readonly [what: string, body: string])[] = [
    ['a size', 'zz\r\n'],
    ['a size behind a good chunk', '3\r\nabc\r\nzz\r\n'],
    ['the end of a chunk', '3\r\nabcd\r\n'],
    ['an extension', '3;=\r\nabc\r\n0\r\n\r\n'],
    ['a trailer', '3\r\nabc\r\n0\r\nx : y\r\n\r\n'],
    ['the last line end', '3\r\nabc\r\n0\r\n\rx'],
  ]
  for (const [what, body] of broken)
    it(`by ${what} is 502, in the answer, in the log and in the metrics, and the connection goes on`, async (t) => {
      let times = 0
      const gateway = await gatewayTo(t, (socket) =>
        socket.write(times++ === 0 ? HEAD + body : `${HEAD}2\r\nok\r\n0\r\n\r\n`),
      )
      using client = await gateway.connect()
      client.send(GET)
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.json().reason], [502, 'UpstreamProtocolError'])
      client.send(GET)
      assert.equal((await client.response()).text, 'ok')
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual(
        gateway.log().map((each) => [each.status, each.reason, each.bytesOut]),
        [
          [502, 'UpstreamProtocolError', answer.body.length],
          [200, undefined, 2],
        ],
      )
      assert.equal(gateway.bytesOut, answer.body.length + 2)
    })

  it('is 502 behind interim responses too', async (t) => {
    const gateway = await gatewayTo(t, (socket) => socket.write(`HTTP/1.1 103 Early Hints\r\n\r\n${HEAD}zz\r\n`))
    using client = await gateway.connect()
    client.send(GET)
    assert.equal((await client.response()).status, 103)
    assert.equal((await client.response()).status, 502)
    client.end()
    assert.equal((await line(gateway)).status, 502)
  })

  it('is 502 for HTTP/1.0, with a length', async (t) => {
    const gateway = await gatewayTo(t, (socket) => socket.write(`${HEAD}3\r\nabc\r\nzz\r\n`))
    using client = await gateway.connect()
    client.send('GET /up HTTP/1.0\r\nhost: w.test\r\n\r\n')
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.framing], [502, 'length'])
    await client.closed()
  })

  it('does not matter to HEAD, which has none', async (t) => {
    const gateway = await gatewayTo(t, (socket) => socket.write(`${HEAD}zz\r\n`))
    using client = await gateway.connect()
    client.send(GET.replace('GET', 'HEAD'))
    assert.equal((await client.response('HEAD')).status, 200)
    client.end()
    assert.deepEqual([(await line(gateway)).status, gateway.bytesOut], [200, 0])
  })

  it('is not sent again: the request has been processed', async (t) => {
    const up = await scripted(t, { up: (socket) => socket.write(`${HEAD}zz\r\n`) })
    const rules = toUp({ retry: { attempts: 3, reasons: ['ResetBeforeResponse', 'ConnectFailure'] } })
    const gateway = await inProcess(t, { upstreams: [up.port], rules })
    using client = await gateway.connect()
    client.send(GET)
    assert.equal((await client.response()).status, 502)
    assert.equal(up.arrived.length, 1)
  })

  it('is cut where part of it has left, and that part is what counts', async (t) => {
    const part = 'x'.repeat(20_000)
    const gateway = await gatewayTo(t, (socket) => socket.write(`${HEAD}4e20\r\n${part}\r\nzz\r\n`))
    using client = await gateway.connect()
    client.send(GET)
    assert.ok((await all(client)).includes(part))
    assert.deepEqual([(await line(gateway)).status, gateway.bytesOut], [200, 20_000])
  })
})

describe('a body that breaks later', () => {
  it('counts what left before, and not what came with the fault', async (t) => {
    let up: Socket | undefined
    const gateway = await gatewayTo(t, (socket) => {
      up = socket
      socket.write(`${HEAD}1\r\na\r\n`)
    })
    using client = await gateway.connect()
    client.send(GET)
    await eventually(() => assert.match(client.unread.toString(), /1\r\na\r\n$/))
    up!.write('2\r\nbc\r\nzz\r\n')
    assert.match(await all(client), /\r\n\r\n1\r\na\r\n$/)
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.reason, entry.bytesOut], [200, 'UpstreamProtocolError', 1])
  })

  it('by a close before its length counts what left', async (t) => {
    const gateway = await gatewayTo(t, (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc'))
    using client = await gateway.connect()
    client.send(GET)
    assert.match(await all(client), /\r\n\r\nabc$/)
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.reason, entry.bytesOut], [200, 'UpstreamTruncated', 3])
  })
})

describe('a request whose body breaks in the packet of its head', () => {
  it('is 400 in the answer and in the log, and no whole request for the upstream', async (t) => {
    let heard = ''
    const up = await rawBackend(t, (socket) => socket.on('data', (bytes: Buffer) => void (heard += bytes.toString())))
    const gateway = await inProcess(t, { upstreams: [up.port] })
    using client = await gateway.connect()
    client.send('POST /up HTTP/1.1\r\nhost: w.test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n')
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.header('connection')], [400, 'close'])
    client.end()
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.bytesIn, entry.bytesOut], [400, 2, answer.body.length])
    assert.doesNotMatch(heard, /0\r\n\r\n$/)
  })
})

/** Holds the body back until it is told; `fail` throws in its place. */
function holding(fail: boolean): Filter {
  class Step implements BodyStep {
    readonly #sink: BodySink
    constructor(sink: BodySink) {
      this.#sink = sink
    }
    data(chunk: Uint8Array): boolean {
      if (fail) throw new Error('cannot')
      return this.#sink.write(chunk)
    }
    end(): void {
      if (fail) this.#sink.end(null)
    }
    drained(): void {}
    abort(): void {}
  }
  return {
    name: 'holding',
    responseBody: (_, head) => {
      if (head.status >= 500) return undefined
      head.bodyLength = undefined
      return (sink) => new Step(sink)
    },
  }
}

describe('a filter', () => {
  it('that breaks on the first bytes of a body makes it a 500', async (t) => {
    const gateway = await gatewayTo(t, (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab'), [
      holding(true),
    ])
    using client = await gateway.connect()
    client.send(GET)
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.json().reason], [500, 'InternalError'])
    client.end()
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.bytesOut], [500, answer.body.length])
  })

  it('that holds an answer back until the client has gone: status 0', async (t) => {
    const gateway = await inProcess(t, {
      rules: { all: {} },
      filters: [{ phase: 'compression', filter: holding(false) }],
    })
    const client = await gateway.connect()
    client.send(GET)
    while (gateway.holdings.exchanges === 0) await new Promise(setImmediate)
    client.reset()
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.reason, entry.bytesOut], [0, 'ClientGone', 0])
  })

  it('that holds an answer back beyond its time: status 0', async (t) => {
    const gateway = await inProcess(t, {
      rules: { all: { policies: { timeouts: { idle: '100ms' } } } },
      filters: [{ phase: 'compression', filter: holding(false) }],
    })
    using client = await gateway.connect()
    client.send(GET)
    assert.equal(await all(client), '')
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.reason, entry.bytesOut], [0, 'RequestTimeout', 0])
  })

  it('whose answer to HEAD has a body nobody sends: 0 bytes', async (t) => {
    const passing: Filter = {
      name: 'passing',
      responseBody: () => (sink) => ({
        data: (chunk) => sink.write(chunk),
        end: (trailers) => sink.end(trailers),
        drained: () => {},
        abort: () => {},
      }),
    }
    const gateway = await inProcess(t, {
      rules: { all: {} },
      filters: [{ phase: 'compression', filter: passing }],
    })
    using client = await gateway.connect()
    client.send(GET.replace('GET', 'HEAD'))
    await client.response('HEAD')
    client.end()
    assert.equal((await line(gateway)).bytesOut, 0)
  })
})

describe('a request that is refused by its head', () => {
  for (const [method, counts] of [
    ['GET', true],
    ['HEAD', false],
  ] as const)
    it(`counts the bytes of its answer to ${method}`, async (t) => {
      const gateway = await inProcess(t, { rules: { all: {} } })
      using client = await gateway.connect()
      client.send(`${method} / HTTP/1.1\r\nhost: w.test\r\nhost: w.test\r\n\r\n`)
      const answer = await client.response(method)
      client.end()
      const entry = await line(gateway)
      assert.deepEqual([entry.status, entry.bytesOut], [400, answer.body.length])
      assert.equal(answer.body.length > 0, counts)
    })
})

describe('a tunnel', () => {
  it('counts the bytes of both ways, those that came with the heads included', async (t) => {
    const up = await rawBackend(t, (socket) => {
      let text = ''
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString()
        if (text.endsWith('early')) {
          socket.write(`${SWITCHES}hello`)
        }
        if (text.endsWith('bye')) socket.end(' and good-bye')
      })
    })
    const rules = toUp({ upgrades: ['websocket'] })
    const gateway = await inProcess(t, { upstreams: [up.port], rules })
    using client = await gateway.connect()
    client.send(GET.replace('\r\n\r\n', `\r\n${ASKING}\r\n`))
    await eventually(() => assert.equal(up.sockets.size, 1))
    ;[...up.sockets][0]!.emit('data', Buffer.from('early'))
    await eventually(() => assert.match(client.unread.toString(), /hello$/))
    client.send('bye')
    client.end()
    await eventually(() => assert.match(client.unread.toString(), /hello and good-bye$/))
    const entry = await line(gateway)
    assert.deepEqual([entry.status, entry.bytesIn, entry.bytesOut], [101, 3, 18])
  })
})
