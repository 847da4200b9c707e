import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { tcpConnector } from '../../src/connector/tcp-connector.ts'
import { directOrigin, Forwarding } from '../../src/exchange/forwarding.ts'
import { CHUNKED } from '../../src/http/framing.ts'
import { H1Session } from '../../src/http1/upstream-h1.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import type { Duplex } from '../../src/message/duplex.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import type { ResponseHead } from '../../src/message/head.ts'
import { normalizeHost } from '../../src/pattern/host.ts'
import { bulkTurns, PIECE } from '../../src/socket/bulk-turns.ts'
import { openTcp } from '../../src/socket/outgoing-socket.ts'
import type { SessionOwner, UpstreamSession } from '../../src/transport/connector.ts'
import type { UpstreamHandler, UpstreamRequest } from '../../src/transport/upstream.ts'
import { listening, until } from '../socket/sockets.ts'

class Owner implements SessionOwner {
  readonly limits = { head: 4_000, headers: 20, uri: 0 }
  readonly events: string[] = []
  readonly ready = Promise.withResolvers<H1Session>()

  connected(session: UpstreamSession): void {
    this.ready.resolve(session as H1Session)
  }
  connectFailed(error: GatewayError): void {
    this.ready.reject(error)
  }
  available(): void {
    this.events.push('available')
  }
  closed(): void {
    this.events.push('closed')
  }
}

/** What came of one request. */
class Result implements UpstreamHandler {
  readonly informational: number[] = []
  status = 0
  fields: Record<string, string> = {}
  body = ''
  trailers: Record<string, string> = {}
  error: GatewayError | null = null
  ends = 0
  /** Behind the end: the rest of the request goes nowhere. */
  restLost = false
  tunnel: Duplex | null = null
  readonly over: Promise<this>
  #over!: (self: this) => void

  constructor() {
    this.over = new Promise((resolve) => {
      this.#over = resolve
    })
  }
  onStream(): void {}
  onInformational(status: number): void {
    this.informational.push(status)
  }
  onHead(head: ResponseHead): void {
    this.status = head.status
    head.fields.forEach((name, value) => {
      this.fields[name] = value
    })
  }
  onData(bytes: Buffer, start: number, end: number): void {
    this.body += bytes.latin1Slice(start, end)
  }
  onEnd(trailers: Fields | null): void {
    trailers?.forEach((name, value) => {
      this.trailers[name] = value
    })
    this.#end()
  }
  onError(error: GatewayError): void {
    if (this.ends > 0 && this.error === null) {
      this.restLost = true
      return
    }
    this.error = error
    this.#end()
  }
  onDrain(): void {}
  onBatchEnd(): void {}
  onUpgrade(_: ResponseHead, duplex: Duplex): void {
    this.tunnel = duplex
    this.#end()
  }
  #end(): void {
    assert.equal(++this.ends, 1, 'ended twice')
    this.#over(this)
  }
}

interface Served {
  readonly result: Result
  readonly owner: Owner
  readonly connection: H1Session
  /** What the upstream received so far. */
  readonly received: () => string
}

function request(parts: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    method: 'GET',
    target: '/',
    host: 'h.test',
    fields: new Fields(),
    bodyLength: 0,
    forwarding: new Forwarding(['127.0.0.1'], directOrigin('http', 'h.test', normalizeHost('h.test')), null, false)
      .block,
    id: 'the-id',
    passed: new FieldBlock([]),
    acceptsTrailers: false,
    upgrade: null,
    ...parts,
  }
}

/** Sends one request to an upstream that answers with `answer` to the first bytes that arrive. */
async function served(
  t: TestContext,
  answer: (socket: Socket) => void,
  parts: Partial<UpstreamRequest> = {},
): Promise<Served> {
  let received = ''
  const { port } = await listening(t, (socket) => {
    socket.once('data', () => answer(socket))
    socket.on('data', (bytes: Buffer) => (received += bytes.toString('latin1')))
  })
  const owner = new Owner()
  tcpConnector.connect({ address: '127.0.0.1', port, authority: '' } as Endpoint, owner)
  const connection = await owner.ready.promise
  t.after(() => connection.destroy())
  const result = new Result()
  connection.dispatch(request(parts), result, false)
  return { result, owner, connection, received: () => received }
}

const says = (text: string) => (socket: Socket) => void socket.write(Buffer.from(text, 'latin1'))
const saysAndCloses = (text: string) => (socket: Socket) => void socket.end(Buffer.from(text, 'latin1'))

describe('a connection to an upstream', () => {
  /** RFC 9112 §6.3: the text of a response, what is made of it, whether the connection is used again. */
  const GOOD: readonly (readonly [text: string, body: string, again: boolean, parts?: Partial<UpstreamRequest>])[] = [
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab', 'ab', true],
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', '', true],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n', 'ab', true],
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nab', 'ab', false],
    ['HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab', 'ab', false],
    ['HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nab', 'ab', true],
    ['HTTP/1.1 204 No Content\r\n\r\n', '', true],
    ['HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n', '', true],
    ['HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n', '', true, { method: 'HEAD' }],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', '', true, { method: 'HEAD' }],
    // Lies: what is behind the end is nobody's.
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc', 'ab', false],
    ['HTTP/1.1 304 Not Modified\r\ncontent-length: 2\r\n\r\nab', '', false],
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab', '', false, { method: 'HEAD' }],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nx', '', false],
  ]
  for (const [text, body, again, parts] of GOOD)
    it(`${parts?.method ?? 'GET'} ${JSON.stringify(text)}: ${JSON.stringify(body)}, ${again ? 'kept' : 'closed'}`, async (t) => {
      const { result, owner } = await served(t, says(text), parts)
      await result.over
      assert.deepEqual([result.error, result.body], [null, body])
      assert.deepEqual(owner.events, [again ? 'available' : 'closed'])
    })

  it('reads the same from a response that comes byte by byte', async (t) => {
    const text =
      'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx: y\r\n\r\n' +
      '3;e=f\r\nabc\r\n1\r\nd\r\n0\r\nx-sum: 6\r\n\r\n'
    const { result, owner } = await served(t, (socket) => {
      socket.setNoDelay(true)
      let at = 0
      const next = (): void => {
        socket.write(text[at++]!)
        if (at < text.length) setImmediate(next)
      }
      next()
    })
    await result.over
    assert.deepEqual([result.error, result.informational, result.status, result.body], [null, [103], 200, 'abcd'])
    assert.deepEqual([result.fields, result.trailers, owner.events], [{ x: 'y' }, { 'x-sum': '6' }, ['available']])
  })

  it('is read to its end when nothing can be sent, however long it waits for its turn among others', async (t) => {
    const whole = 20 * PIECE
    const { port } = await listening(t, (socket) => {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${whole}\r\n\r\n`)
        socket.write(Buffer.alloc(whole, 'x'))
      })
    })
    const outgoing = openTcp('127.0.0.1', port)
    await once(outgoing.socket, 'connect')
    const session = new H1Session(outgoing, new Owner())
    let over = false
    let broken = false
    t.after(() => {
      over = true
      session.destroy()
    })
    // Others that have a turn of their own each; whoever looks less often may miss that it waits.
    for (let i = 0; i < 10; i++) {
      const other = (): void => {
        if (over) return
        if (outgoing.waits && !broken) {
          broken = true
          const error = Object.assign(new Error('the peer reads no more'), { code: 'EPIPE', syscall: 'write' })
          outgoing.socket.destroy(error)
        }
        bulkTurns.ended(0)
        bulkTurns.wait(other)
      }
      other()
    }
    const result = new Result()
    session.dispatch(request({ method: 'POST', bodyLength: 1_000 }), result, false)
    await result.over
    assert.deepEqual([broken, result.error, result.status, result.body.length], [true, null, 200, whole])
  })

  it('ends a body without length at the close, and not at a reset', async (t) => {
    const whole = await served(t, saysAndCloses('HTTP/1.0 200 OK\r\n\r\nabc'))
    await whole.result.over
    assert.deepEqual([whole.result.error, whole.result.body, whole.owner.events], [null, 'abc', ['closed']])
    const cut = await served(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\nabc')
      setTimeout(() => socket.resetAndDestroy(), 50)
    })
    await cut.result.over
    assert.deepEqual(
      [cut.result.error?.reason, cut.result.body, cut.owner.events],
      ['UpstreamTruncated', 'abc', ['closed']],
    )
  })

  const BROKEN: readonly (readonly [what: string, answer: (socket: Socket) => void, reason: string])[] = [
    ['closes at once', (socket) => socket.end(), 'ResetBeforeResponse'],
    ['resets at once', (socket) => socket.resetAndDestroy(), 'ResetBeforeResponse'],
    ['closes within the head', saysAndCloses('HTTP/1.1 200 OK\r\nx'), 'UpstreamTruncated'],
    ['closes behind an interim response', saysAndCloses('HTTP/1.1 103 x\r\n\r\n'), 'UpstreamTruncated'],
    ['closes within a body', saysAndCloses('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab'), 'UpstreamTruncated'],
    [
      'closes within chunks',
      saysAndCloses('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n'),
      'UpstreamTruncated',
    ],
    ['sends garbage', says('what?\r\n'), 'UpstreamProtocolError'],
    [
      'sends a bad chunk',
      says('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'),
      'UpstreamProtocolError',
    ],
    [
      'switches unasked',
      says('HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
      'UpstreamProtocolError',
    ],
    ['sends interim responses without end', says('HTTP/1.1 103 x\r\n\r\n'.repeat(101)), 'UpstreamProtocolError'],
    ['sends too long a head', says(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(4_000)}\r\n\r\n`), 'UpstreamHeadTooLarge'],
    ['sends a head without end', says(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(4_000)}`), 'UpstreamHeadTooLarge'],
  ]
  for (const [what, answer, reason] of BROKEN)
    it(`that ${what} is ${reason}, reported once, and closed once`, async (t) => {
      const { result, owner, connection } = await served(t, answer)
      await result.over
      assert.equal(result.error?.reason, reason)
      connection.destroy()
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.deepEqual([result.ends, owner.events], [1, ['closed']])
    })

  it('sends the head as one, Host first, forwarding and id behind the fields of the client', async (t) => {
    const fields = Fields.from({ accept: 'x' })
    const { result, received } = await served(t, says('HTTP/1.1 204 x\r\n\r\n'), { fields, acceptsTrailers: true })
    await result.over
    assert.equal(
      received(),
      'GET / HTTP/1.1\r\nhost: h.test\r\naccept: x\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n' +
        'x-forwarded-host: h.test\r\nx-forwarded-port: 80\r\nx-request-id: the-id\r\nte: trailers\r\nconnection: te\r\n\r\n',
    )
  })

  it('sends a body of unknown length in chunks, with its trailers', async (t) => {
    const { result, received, connection } = await served(t, () => {}, { method: 'POST', bodyLength: CHUNKED })
    connection.write(Buffer.from('abc'))
    connection.write(Buffer.alloc(0))
    connection.write(Buffer.alloc(20, 'x'))
    connection.end(Fields.from({ 'x-sum': '1' }))
    connection.write(Buffer.from('too late'))
    connection.end(null)
    for (let i = 0; i < 100 && !received().endsWith('\r\n\r\n'); i++)
      await new Promise((resolve) => setTimeout(resolve, 5))
    const [head, ...rest] = received().split('\r\n\r\n')
    assert.match(head!, /transfer-encoding: chunked/)
    assert.equal(rest.join('\r\n\r\n'), `3\r\nabc\r\n14\r\n${'x'.repeat(20)}\r\n0\r\nx-sum: 1\r\n\r\n`)
    assert.equal(result.ends, 0)
    connection.abort()
  })

  it('does not use a connection again on which a request is not yet complete', async (t) => {
    const answer = says('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno')
    const { result, owner, connection, received } = await served(t, answer, {
      method: 'POST',
      bodyLength: 10,
    })
    await result.over
    assert.deepEqual([result.error, result.body, owner.events, connection.sending], [null, 'no', [], true])
    connection.write(Buffer.from('0123456789'))
    connection.end(null)
    assert.equal(connection.usable, false)
    await until(() => owner.events.length > 0)
    assert.deepEqual([owner.events, result.restLost], [['closed'], false])
    await until(() => received().endsWith('\r\n\r\n0123456789'))
  })

  it('says when an upstream that has answered takes no more of the request', async (t) => {
    for (const behind of ['end', 'destroy', 'resetAndDestroy', 'bytes'] as const) {
      const ended = Promise.withResolvers<void>()
      const { result, owner, connection } = await served(
        t,
        (socket) => {
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno')
          void ended.promise.then(() => (behind === 'bytes' ? socket.write('HTTP/1.1 200 OK\r\n') : socket[behind]()))
        },
        { method: 'POST', bodyLength: 10 },
      )
      await result.over
      ended.resolve()
      await until(() => result.restLost)
      assert.deepEqual([result.error, owner.events, connection.sending], [null, ['closed'], true])
    }
  })

  it('stops sending to an upstream that announces its close', async (t) => {
    for (const head of ['HTTP/1.1 200 OK\r\nconnection: close\r\n', 'HTTP/1.0 200 OK\r\n']) {
      const { result, owner, connection } = await served(t, says(`${head}content-length: 2\r\n\r\nno`), {
        method: 'POST',
        bodyLength: 10,
      })
      await result.over
      assert.deepEqual(
        [result.error, owner.events, connection.sending, connection.takesRest],
        [null, ['closed'], false, false],
      )
    }
  })

  it('reads the whole answer of an upstream that closes while the request is still sent, also a slow reader', async (t) => {
    for (const pause of [false, true]) {
      // No more than the systems of both sides hold: what a reset catches on its way is lost for everybody.
      const body = 'x'.repeat(30_000)
      const { result, connection, owner } = await served(
        t,
        (socket) => {
          socket.pause()
          socket.write(`HTTP/1.1 413 x\r\ncontent-length: ${body.length}\r\n\r\n${body}`, () => socket.destroy())
        },
        { method: 'POST', bodyLength: 1_000_000_000 },
      )
      if (pause) {
        connection.pause()
        setTimeout(() => connection.resume(), 100)
      }
      // In a turn of its own, as a client's bytes come: the write fails before the answer is read.
      const chunk = Buffer.alloc(100_000)
      const pour = setInterval(() => connection.write(chunk), 1)
      await result.over
      clearInterval(pour)
      assert.deepEqual([result.error, result.status, result.body.length], [null, 413, body.length])
      await until(() => owner.events.length > 0)
      assert.deepEqual(owner.events, ['closed'])
    }
  })

  it('fails once nothing is left to be read of an upstream that closed while the request was sent', async (t) => {
    for (const [said, reason] of [
      ['', 'ResetBeforeResponse'],
      ['HTTP/1.1 200 OK\r\n', 'UpstreamTruncated'],
      ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc', 'UpstreamTruncated'],
    ] as const) {
      const { result, connection, owner } = await served(
        t,
        (socket) => {
          socket.pause()
          socket.write(said, () => socket.destroy())
        },
        { method: 'POST', bodyLength: 1_000_000_000 },
      )
      const chunk = Buffer.alloc(100_000)
      const pour = setInterval(() => connection.write(chunk), 1)
      await result.over
      clearInterval(pour)
      assert.deepEqual([result.error?.reason, owner.events], [reason, ['closed']])
    }
  })

  it('hands the connection over when the upstream agrees to switch, with what came behind', async (t) => {
    const text = 'HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: Tunnel\r\n\r\nearly'
    const answer = (socket: Socket): void => {
      socket.write(text)
      socket.on('data', (bytes: Buffer) => void socket.write(`you said ${bytes.toString()}`))
    }
    const { result, received, owner } = await served(t, answer, { upgrade: 'tunnel' })
    await result.over
    assert.match(received(), /\r\nconnection: upgrade\r\nupgrade: tunnel\r\n\r\n$/)
    assert.deepEqual(owner.events, [])
    const said: string[] = []
    const closed = Promise.withResolvers<void>()
    result.tunnel!.start({
      onData: (bytes) => said.push(Buffer.from(bytes).toString()),
      onEnd: () => {},
      onDrain: () => {},
      onClose: () => closed.resolve(),
    })
    assert.deepEqual(said, ['early'])
    result.tunnel!.write(Buffer.from('ping'))
    await until(() => said.length > 1)
    assert.equal(said[1], 'you said ping')
    result.tunnel!.destroy()
    await closed.promise
    assert.deepEqual(owner.events, ['closed'])
  })

  it('does not switch to what was not asked for', async (t) => {
    const text = 'HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n'
    const { result } = await served(t, says(text), { upgrade: 'websocket' })
    await result.over
    assert.equal(result.error?.reason, 'UpstreamProtocolError')
  })

  it('reports nothing after it was aborted, and resets', async (t) => {
    let ended = ''
    const { result, owner, connection } = await served(t, (socket) => {
      socket.on('error', (error) => (ended = (error as NodeJS.ErrnoException).code ?? ''))
      socket.on('end', () => (ended = 'FIN'))
      setTimeout(() => connection.abort(), 10)
    })
    for (let i = 0; i < 100 && ended === ''; i++) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual([result.ends, ended, owner.events], [0, 'ECONNRESET', ['closed']])
  })
})
