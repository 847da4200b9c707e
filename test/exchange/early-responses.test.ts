/** Responses that are complete while the client still sends its request. */
import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { rawBackend } from '../feature/backends.ts'
import { eventually } from '../feature/harness.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type Scope, toUp } from '../worker/test-plane.ts'

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const PART = 'x'.repeat(1_000)

interface Upstream {
  /** What each connection got. */
  readonly heard: string[]
  readonly sockets: Socket[]
  readonly closed: ('end' | 'reset' | undefined)[]
}

/** An upstream that answers as soon as a head is there, and reads on. */
async function gatewayTo(
  scope: Scope,
  answer: string | ((socket: Socket) => void),
  policies: Parameters<typeof toUp>[0] = {},
): Promise<{ gateway: InProcess; up: Upstream }> {
  const up: Upstream = { heard: [], sockets: [], closed: [] }
  const { port } = await rawBackend(scope, (socket, number) => {
    up.heard[number] = ''
    up.sockets[number] = socket
    let answered = false
    socket.on('data', (bytes: Buffer) => {
      up.heard[number] += bytes.toString('latin1')
      if (answered || !up.heard[number]!.includes('\r\n\r\n')) return
      answered = true
      if (typeof answer === 'string') socket.write(answer)
      else answer(socket)
    })
    socket.on('end', () => {
      up.closed[number] ??= 'end'
      socket.end()
    })
    socket.on('error', () => {
      up.closed[number] = 'reset'
    })
  })
  const gateway = await inProcess(scope, { upstreams: [port], rules: toUp({ retry: { attempts: 0 }, ...policies }) })
  return { gateway, up }
}

const post = (framing: string, path = '/up'): string => `POST ${path} HTTP/1.1\r\nhost: w.test\r\n${framing}\r\n\r\n`
const LONG = 'content-length: 1000000'
const CHUNKED = 'transfer-encoding: chunked'

describe('a complete response while the body is still coming', () => {
  for (const framing of [LONG, CHUNKED])
    it(`does not cut the upstream: it gets the rest, and both clients and log are told of no close (${framing})`, async (t) => {
      const { gateway, up } = await gatewayTo(t, OK)
      using client = await gateway.connect()
      client.send(post(framing))
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.text, answer.header('connection')], [200, 'ok', undefined])
      const chunk = framing === LONG ? PART : `3e8\r\n${PART}\r\n`
      for (let i = 0; i < 1_000; i++) client.send(chunk)
      // Pipelined behind: it waits for its turn.
      client.send(`${framing === LONG ? '' : '0\r\nx-sum: 1\r\n\r\n'}${post('content-length: 0', '/next')}`)
      assert.equal((await client.response()).text, 'ok')
      const [first] = up.heard
      assert.equal(first!.replace(/[^x]/g, '').length >= 1_000_000, true)
      if (framing === CHUNKED) assert.match(first!, /\r\n0\r\nx-sum: 1\r\n\r\n$/)
      // An upstream that answers before it has read may take the rest for the next request: it gets none on this
      // connection.
      assert.equal(up.heard.length, 2)
      assert.match(up.heard[1]!, /^POST \/next /)
      await eventually(() => assert.equal(up.closed[0], 'end'))
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual(
        gateway.log().map((line) => [line.status, line.reason, line.bytesIn, line.bytesOut]),
        [
          [200, undefined, 1_000_000, 2],
          [200, undefined, 0, 2],
        ],
      )
    })

  for (const [what, head] of [
    ['says close', 'HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n'],
    ['speaks HTTP/1.0', 'HTTP/1.0 413 x\r\ncontent-length: 2\r\n\r\n'],
    ['ends its response by closing', 'HTTP/1.1 413 x\r\n\r\n'],
  ] as const)
    for (const framing of [LONG, CHUNKED])
      it(`tells the client close where the upstream ${what} (${framing})`, async (t) => {
        const { gateway } = await gatewayTo(t, (socket) => socket.end(`${head}no`))
        using client = await gateway.connect()
        client.send(post(framing))
        const answer = await client.response()
        assert.deepEqual([answer.status, answer.text, answer.header('connection')], [413, 'no', 'close'])
        // The response is not destroyed by what the client has sent meanwhile.
        client.send(PART)
        client.end()
        await client.closed()
        await gateway.nothingLeft()
        assert.deepEqual([gateway.log()[0]!.status, gateway.log()[0]!.reason], [413, undefined])
      })

  it('keeps the connection where so little is to come that it can be dropped', async (t) => {
    const { gateway } = await gatewayTo(t, (socket) =>
      socket.end('HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno'),
    )
    using client = await gateway.connect()
    for (let i = 0; i < 3; i++) {
      client.send(post('content-length: 60000'))
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.header('connection')], [413, undefined])
      client.send(Buffer.alloc(60_000, 0x78))
    }
  })

  it('keeps the connection where the body is complete by then', async (t) => {
    const { gateway } = await gatewayTo(t, (socket) => {
      if (socket.listenerCount('data') === 1)
        socket.on(
          'data',
          (bytes: Buffer) =>
            bytes.includes('0\r\n\r\n') &&
            socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'),
        )
    })
    using client = await gateway.connect()
    client.send(post(CHUNKED))
    client.send('1\r\na\r\n')
    await eventually(() => assert.equal(gateway.upstreamConnections, 1))
    setTimeout(() => client.send('0\r\n\r\n'), 50)
    assert.equal((await client.response()).header('connection'), undefined)
  })

  it('tells close instead of 100, and gives the upstream no body', async (t) => {
    const { gateway, up } = await gatewayTo(t, OK)
    using client = await gateway.connect()
    client.send(post(`${LONG}\r\nexpect: 100-continue`))
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.header('connection')], [200, 'close'])
    await eventually(() => assert.equal(up.closed[0], 'reset'))
    client.end()
    await gateway.nothingLeft()
  })

  it('goes on after 100 Continue', async (t) => {
    const { gateway, up } = await gatewayTo(t, `HTTP/1.1 100 Continue\r\n\r\n${OK}`)
    using client = await gateway.connect()
    client.send(post(`content-length: 100000\r\nexpect: 100-continue`))
    assert.equal((await client.response()).status, 100)
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.header('connection')], [200, undefined])
    client.send('x'.repeat(100_000))
    await eventually(() => assert.equal(up.heard[0]!.replace(/[^x]/g, '').length >= 100_000, true))
  })

  it('goes on for HTTP/1.0, kept alive or not', async (t) => {
    for (const [option, said] of [
      ['connection: keep-alive\r\n', 'keep-alive'],
      ['', 'close'],
    ]) {
      const { gateway, up } = await gatewayTo(t, OK)
      using client = await gateway.connect()
      client.send(`POST /up HTTP/1.0\r\nhost: w.test\r\n${option}content-length: 100000\r\n\r\n`)
      const answer = await client.response()
      assert.deepEqual([answer.text, answer.header('connection')], ['ok', said])
      client.send('x'.repeat(100_000))
      await eventually(() => assert.equal(up.heard[0]!.replace(/[^x]/g, '').length >= 100_000, true))
      if (said === 'close') await client.closed()
    }
  })

  it('of unknown length ends with the close for HTTP/1.0, and the rest still goes on', async (t) => {
    const { gateway, up } = await gatewayTo(
      t,
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    )
    using client = await gateway.connect()
    client.send('POST /up HTTP/1.0\r\nhost: w.test\r\ncontent-length: 100000\r\n\r\n')
    const answer = await client.response()
    assert.deepEqual([answer.text, answer.framing], ['ok', 'close'])
    client.send('x'.repeat(100_000))
    await eventually(() => assert.equal(up.heard[0]!.replace(/[^x]/g, '').length >= 100_000, true))
    client.end()
    await gateway.nothingLeft()
  })

  for (const how of ['end', 'destroy', 'resetAndDestroy'] as const)
    it(`closes gently where an upstream that did not say so takes no more (${how})`, async (t) => {
      const { gateway, up } = await gatewayTo(t, OK)
      using client = await gateway.connect()
      client.send(post(LONG))
      assert.equal((await client.response()).text, 'ok')
      up.sockets[0]![how]()
      await client.closed()
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual([gateway.log()[0]!.status, gateway.log()[0]!.reason], [200, undefined])
    })

  for (const how of ['end', 'reset'] as const)
    it(`is no failure when the client then disconnects (${how}); the upstream is reset`, async (t) => {
      const { gateway, up } = await gatewayTo(t, OK)
      using client = await gateway.connect()
      client.send(post(LONG))
      assert.equal((await client.response()).text, 'ok')
      client[how]()
      await gateway.nothingLeft()
      assert.deepEqual([gateway.log()[0]!.status, gateway.log()[0]!.reason], [200, undefined])
      await eventually(() => assert.equal(up.closed[0], 'reset'))
    })

  it('is one the client went away from where it had not all of it', async (t) => {
    const big = 'y'.repeat(120_000)
    const { gateway } = await gatewayTo(t, (socket) => {
      for (let i = 0; i < 100; i++)
        socket.write(i === 0 ? `HTTP/1.1 200 OK\r\ncontent-length: ${big.length * 100}\r\n\r\n${big}` : big)
    })
    using client = await gateway.connect()
    client.socket.pause()
    client.send(post(LONG))
    await eventually(() => assert.equal(gateway.upstreamConnections, 1))
    client.reset()
    await gateway.nothingLeft()
    const line = gateway.log()[0]!
    assert.equal(line.reason, 'ClientGone')
    assert.ok(Number(line.bytesOut) < big.length * 100)
  })

  it('is not destroyed by a client that half-closes before it has read it', async (t) => {
    const big = 'y'.repeat(3_000_000)
    const { gateway } = await gatewayTo(t, `HTTP/1.1 200 OK\r\ncontent-length: ${big.length}\r\n\r\n${big}`)
    using client = await gateway.connect()
    client.socket.pause()
    client.send(post(LONG))
    await eventually(() => assert.equal(gateway.upstreamConnections, 1))
    setTimeout(() => client.socket.resume(), 50)
    const answer = await client.response()
    client.end()
    assert.equal(answer.body.length, big.length)
    await gateway.nothingLeft()
  })

  it('waits for the rest no longer than the idle time, and then closes without a reset', async (t) => {
    const { gateway, up } = await gatewayTo(t, OK, { timeouts: { idle: '100ms' } })
    using client = await gateway.connect()
    client.send(post(LONG))
    assert.equal((await client.response()).text, 'ok')
    await client.closed()
    client.end()
    await gateway.nothingLeft()
    await eventually(() => assert.equal(up.closed[0], 'reset'))
    assert.deepEqual([gateway.log()[0]!.status, gateway.log()[0]!.reason], [200, undefined])
  })

  it('does not let a body grow beyond its limit', async (t) => {
    const { gateway, up } = await gatewayTo(t, OK, { limits: { maxRequestBytes: 5_000 } } as object)
    using client = await gateway.connect()
    client.send(post(CHUNKED))
    assert.equal((await client.response()).text, 'ok')
    for (let i = 0; i < 10; i++) client.send(`3e8\r\n${PART}\r\n`)
    await eventually(() => assert.equal(up.closed[0], 'reset'))
    assert.doesNotMatch(up.heard[0]!, /0\r\n\r\n$/)
    client.end()
    await gateway.nothingLeft()
  })

  it('does not let a malformed chunk through', async (t) => {
    const { gateway, up } = await gatewayTo(t, OK)
    using client = await gateway.connect()
    client.send(post(CHUNKED))
    assert.equal((await client.response()).text, 'ok')
    client.send('1\r\na\r\nzz\r\n')
    await client.closed()
    await eventually(() => assert.equal(up.closed[0], 'reset'))
  })

  it('holds a client back that sends faster than the upstream reads', async (t) => {
    const { gateway, up } = await gatewayTo(t, (socket) => {
      socket.write(OK)
      socket.pause()
    })
    using client = await gateway.connect()
    client.send(post('content-length: 20000000'))
    assert.equal((await client.response()).text, 'ok')
    client.send(Buffer.alloc(20_000_000, 0x78))
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.ok(client.socket.writableLength > 5_000_000, `${client.socket.writableLength} left`)
    up.sockets[0]!.resume()
    await eventually(() => assert.ok(up.heard[0]!.length > 20_000_000))
    client.end()
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.bytesIn, 20_000_000)
  })

  it('is what a client of Node gets, with the connection used again', async (t) => {
    const { gateway } = await gatewayTo(t, OK)
    const status = await new Promise<number>((resolve, reject) => {
      const request = httpRequest({
        port: gateway.port,
        host: '127.0.0.1',
        method: 'POST',
        headers: { host: 'w.test' },
      })
      request.on('error', reject)
      request.on('response', (response) => {
        response.resume()
        setTimeout(() => request.end('end'), 20)
        response.on('end', () => resolve(response.statusCode!))
      })
      request.write(PART)
    })
    assert.equal(status, 200)
  })
})
