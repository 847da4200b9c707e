/** Abilities of filters where the bytes on the wire matter; test/suite/filter.ts tries them on every transport. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { BodySink, BodySource, BodyStepFactory } from '../../src/message/body.ts'
import { Fields } from '../../src/message/fields.ts'
import type { Filter, RequestBodyStep } from '../../src/policy/filter.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { AGREEING, ASKING } from '../lib/websocket-lines.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type Scope, toUp } from '../worker/test-plane.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** Answers the first request of each connection once its body is there as announced; keeps all bytes as they came. */
async function recording(scope: Scope): Promise<{ port: number; bytes: () => string }> {
  let all = ''
  const { port } = await rawBackend(scope, (socket) => {
    socket.on('data', (chunk: Buffer) => {
      all += chunk.toString('latin1')
      if (isComplete(all)) socket.write(OK)
    })
  })
  return { port, bytes: () => all }
}

function isComplete(text: string): boolean {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return false
  const body = text.slice(end + 4)
  const length = /content-length: (\d+)/.exec(text)?.[1]
  return length === undefined ? !text.includes('chunked') || body.endsWith('0\r\n\r\n') : body.length >= Number(length)
}

function gatewayWith(t: Scope, filter: Filter, upstreams: readonly number[], rules = toUp()): Promise<InProcess> {
  return inProcess(t, { upstreams, rules, filters: [{ phase: 'plugin', filter }] })
}

/** Puts other bytes in place of each chunk. */
function mapped(map: (text: string) => string): BodyStepFactory {
  return (sink, resume) => ({
    data: (chunk) => sink.write(Buffer.from(map(Buffer.from(chunk).toString()))),
    end: (trailers) => sink.end(trailers),
    drained: resume,
    abort() {},
  })
}

describe('the length of a request body that a filter changes', () => {
  const cases: readonly [string, RequestBodyStep, RegExp, string][] = [
    ['another number', { step: mapped((text) => text + text), length: 10 }, /content-length: 10\r\n/, 'hellohello'],
    [
      'unknown',
      { step: mapped((text) => text + text), length: 'unknown' },
      /transfer-encoding: chunked\r\n/,
      'a\r\nhellohello\r\n0\r\n\r\n',
    ],
    ['kept', { step: mapped((text) => text.toUpperCase()), length: 'kept' }, /content-length: 5\r\n/, 'HELLO'],
    ['none', { step: mapped(() => ''), length: 0 }, /content-length: 0\r\n/, ''],
  ]
  for (const [what, step, framing, body] of cases)
    it(`is announced anew: ${what}`, async (t) => {
      const upstream = await recording(t)
      const gateway = await gatewayWith(t, { name: 'change', requestBody: () => step }, [upstream.port])
      using client = await gateway.connect()
      client.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 5\r\n\r\nhello')
      assert.equal((await client.response()).status, 200)
      const [head = '', ...rest] = upstream.bytes().split(/(?<=\r\n\r\n)/)
      assert.match(head, framing)
      assert.equal(head.match(/content-length|transfer-encoding/g)?.length, 1, head)
      assert.equal(rest.join(''), body)
    })

  for (const [what, lie] of [
    ['more', (text: string) => `${text}GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n`],
    ['fewer', (text: string) => text.slice(1)],
  ] as const)
    for (const length of ['kept', 5] as const)
      it(`never leads to ${what} bytes than were announced (${length})`, async (t) => {
        const upstream = await recording(t)
        const filter: Filter = { name: 'liar', requestBody: () => ({ step: mapped(lie), length }) }
        const gateway = await gatewayWith(t, filter, [upstream.port])
        using client = await gateway.connect()
        // A connection that is there takes the first bytes at once.
        await client.request()
        client.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 5\r\n\r\nhello')
        assert.equal((await client.response()).status, 500)
        client.end()
        await gateway.nothingLeft()
        assert.doesNotMatch(upstream.bytes(), /smuggled/)
        assert.equal(gateway.upstreamConnections, 0, 'a connection with half a request is not used again')
      })
})

describe('a filter that reads the body of the request', () => {
  const reading = (max: number, seen: string[]): Filter => ({
    name: 'reader',
    async onRequest(x) {
      seen.push(Buffer.from(await x.readBody(max)).toString())
      seen.push(Buffer.from(await x.readBody(max)).toString())
      return undefined
    },
  })

  for (const [what, request] of [
    ['of a length', 'content-length: 5\r\n\r\nhello'],
    ['in chunks', 'transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n'],
    ['of length 0', 'content-length: 0\r\n\r\n'],
  ])
    it(`has all of it before it decides, and it still goes upstream: ${what}`, async (t) => {
      const seen: string[] = []
      const upstream = await recording(t)
      const gateway = await gatewayWith(t, reading(5, seen), [upstream.port])
      using client = await gateway.connect()
      client.send(`POST / HTTP/1.1\r\nhost: w.test\r\n${request}`)
      assert.equal((await client.response()).status, 200)
      const text = what === 'of length 0' ? '' : 'hello'
      assert.deepEqual(seen, [text, text])
      assert.ok(upstream.bytes().includes(text))
      client.end()
      await gateway.nothingLeft()
    })

  it('lets the client send what it asks leave for', async (t) => {
    const seen: string[] = []
    const upstream = await recording(t)
    const gateway = await gatewayWith(t, reading(5, seen), [upstream.port])
    using client = await gateway.connect()
    client.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n')
    assert.equal((await client.response()).status, 100)
    client.send('hello')
    assert.equal((await client.response()).status, 200)
    assert.doesNotMatch(upstream.bytes(), /expect/)
  })

  for (const [what, request] of [
    ['announced', 'content-length: 6\r\n\r\n'],
    ['in chunks', 'transfer-encoding: chunked\r\n\r\n6\r\nhello!\r\n'],
  ])
    it(`answers 413 over its bound, ${what}, and holds nothing`, async (t) => {
      const upstream = await recording(t)
      const gateway = await gatewayWith(t, reading(5, []), [upstream.port])
      using client = await gateway.connect()
      client.send(`POST / HTTP/1.1\r\nhost: w.test\r\n${request}`)
      const response = await client.response()
      assert.equal(response.status, 413)
      client.end()
      await gateway.nothingLeft()
      assert.equal(upstream.bytes(), '')
      assert.deepEqual(
        gateway.log().map(({ reason }) => reason),
        ['BodyTooLarge'],
      )
    })

  it('holds a body that comes byte by byte in few pieces', async (t) => {
    const seen: string[] = []
    const upstream = await recording(t)
    const gateway = await gatewayWith(t, reading(20_000, seen), [upstream.port])
    using client = await gateway.connect()
    const text = 'abcdefghij'.repeat(2_000)
    client.send('POST / HTTP/1.1\r\nhost: w.test\r\ntransfer-encoding: chunked\r\n\r\n')
    client.send(`${[...text].map((letter) => `1\r\n${letter}\r\n`).join('')}0\r\n\r\n`)
    assert.equal((await client.response()).status, 200)
    assert.deepEqual(seen, [text, text])
    assert.ok(upstream.bytes().includes(text))
  })

  it('ends with its client, and with a deadline', async (t) => {
    const upstream = await recording(t)
    const rules = toUp({ timeouts: { idle: '100ms' } })
    const gateway = await gatewayWith(t, reading(5, []), [upstream.port], rules)
    using slow = await gateway.connect()
    slow.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 5\r\n\r\nhe')
    assert.equal((await slow.response()).status, 504)
    slow.end()
    using going = await gateway.connect()
    going.send('POST / HTTP/1.1\r\nhost: w.test\r\ncontent-length: 5\r\n\r\nhe')
    while (gateway.holdings.exchanges === 0) await new Promise((resolve) => setImmediate(resolve))
    going.reset()
    await gateway.nothingLeft()
    assert.equal(upstream.bytes(), '')
  })
})

describe('an upgrade that filters see', () => {
  const UPGRADE = `GET / HTTP/1.1\r\nhost: w.test\r\n${ASKING}\r\n`
  const agreeing = (scope: Scope) =>
    rawBackend(scope, (socket) =>
      onHead(socket, () => {
        socket.write(`HTTP/1.1 101 X\r\n${AGREEING}x-secret: 1\r\n\r\nearly`)
        socket.on('data', (chunk: Buffer) => socket.write(chunk))
        socket.on('end', () => socket.end())
      }),
    )

  for (const [how, pause] of [
    ['at once', false],
    ['after a while', true],
  ] as const) {
    it(`passes with the fields that they leave, decided ${how}`, async (t) => {
      const statuses: number[] = []
      const filter: Filter = {
        name: 'see',
        onResponse(_, head) {
          statuses.push(head.status)
          head.fields.remove('x-secret')
          head.fields.set('x-seen', '1')
          return pause ? new Promise((resolve) => setTimeout(resolve, 20)).then(() => undefined) : undefined
        },
      }
      const upstream = await agreeing(t)
      const gateway = await gatewayWith(t, filter, [upstream.port])
      using client = await gateway.connect()
      client.send(UPGRADE)
      const response = await client.response()
      assert.equal(response.status, 101)
      assert.deepEqual([response.header('x-seen'), response.header('x-secret')], ['1', undefined])
      assert.deepEqual(statuses, [101])
      client.send('bytes')
      while (client.unread.toString() !== 'earlybytes') await new Promise((resolve) => setImmediate(resolve))
      client.end()
      await gateway.nothingLeft()
    })

    it(`can be refused before it happens, decided ${how}`, async (t) => {
      const refusal = { status: 403, fields: new Fields(), body: Buffer.from('no') }
      const filter: Filter = {
        name: 'refuse',
        onResponse(_, head, local) {
          if (local !== null || head.status !== 101) return undefined
          const decision = { type: 'replace', response: refusal } as const
          return pause ? new Promise((resolve) => setTimeout(resolve, 20)).then(() => decision) : decision
        },
      }
      const upstream = await agreeing(t)
      const gateway = await gatewayWith(t, filter, [upstream.port])
      using client = await gateway.connect()
      client.send(UPGRADE)
      const response = await client.response()
      assert.deepEqual([response.status, response.text], [403, 'no'])
      client.end()
      await gateway.nothingLeft()
      assert.equal(upstream.sockets.size, 0)
      assert.deepEqual(
        gateway.log().map(({ status }) => status),
        [403],
      )
    })
  }

  it('is given up when nobody decides in time: the upstream is let go', async (t) => {
    const filter: Filter = {
      name: 'never',
      onResponse: (_, __, local) => (local === null ? new Promise(() => {}) : undefined),
    }
    const upstream = await agreeing(t)
    const gateway = await gatewayWith(t, filter, [upstream.port], toUp({ timeouts: { idle: '60ms' } }))
    using client = await gateway.connect()
    client.send(UPGRADE)
    assert.equal((await client.response()).status, 504)
    client.end()
    await gateway.nothingLeft()
    assert.equal(gateway.upstreamConnections, 0)
  })
})

describe('a response of a filter that is a stream', () => {
  /** Delivers pieces, one a turn, as long as they are taken. */
  function pieces(list: readonly string[], length: number | undefined, log: string[] = []): BodySource {
    return {
      length,
      start(sink: BodySink) {
        let at = 0
        let over = false
        const next = (): void => {
          if (over) return
          const piece = list[at++]
          if (piece === undefined) {
            over = true
            return sink.end(null)
          }
          if (sink.write(Buffer.from(piece))) setImmediate(next)
          else log.push('paused')
        }
        setImmediate(next)
        return {
          resume: () => setImmediate(next),
          abort() {
            over = true
            log.push('aborted')
          },
        }
      },
    }
  }
  const responding = (body: () => BodySource): Filter => ({
    name: 'stream',
    onRequest: () => ({ type: 'respond', response: { status: 200, fields: new Fields(), body: body() } }),
  })

  for (const [what, length, framing] of [
    ['of a known length', 6, 'length'],
    ['of an unknown length', undefined, 'chunked'],
  ] as const)
    it(`reaches the client ${what}`, async (t) => {
      const gateway = await gatewayWith(
        t,
        responding(() => pieces(['ab', 'cd', 'ef'], length)),
        [],
      )
      using client = await gateway.connect()
      for (let i = 0; i < 2; i++) {
        const response = await client.request()
        assert.deepEqual([response.text, response.framing], ['abcdef', framing])
      }
      const head = await client.request({ method: 'HEAD' })
      assert.deepEqual([head.status, head.text], [200, ''])
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual(
        gateway.log().map(({ bytesOut }) => bytesOut),
        [6, 6, 0],
      )
    })

  for (const [what, list] of [
    ['longer', ['ab', 'cdefg']],
    ['shorter', ['ab', 'c']],
  ] as const)
    it(`is cut when it is ${what} than it states`, async (t) => {
      const log: string[] = []
      const gateway = await gatewayWith(
        t,
        responding(() => pieces(list, 6, log)),
        [],
      )
      using client = await gateway.connect()
      await assert.rejects(client.request())
      await gateway.nothingLeft()
      assert.equal(gateway.log()[0]?.reason, 'InternalError')
      assert.equal(log[0], 'aborted')
    })

  it('waits for a client that does not read, and is aborted when it goes', async (t) => {
    const log: string[] = []
    const big = 'x'.repeat(256 * 1024)
    const gateway = await gatewayWith(
      t,
      responding(() => pieces(Array(1_000).fill(big), undefined, log)),
      [],
    )
    using client = await gateway.connect()
    client.socket.pause()
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    while (!log.includes('paused')) await new Promise((resolve) => setImmediate(resolve))
    client.reset()
    await gateway.nothingLeft()
    assert.equal(log.at(-1), 'aborted')
  })

  it('is an error of the gateway when it cannot begin', async (t) => {
    const source: BodySource = {
      length: 3,
      start() {
        throw new Error('the store is away')
      },
    }
    const gateway = await gatewayWith(
      t,
      responding(() => source),
      [],
    )
    using client = await gateway.connect()
    await assert.rejects(client.request())
    await gateway.nothingLeft()
    assert.match(String(gateway.errors[0]), /the store is away/)
  })
})
