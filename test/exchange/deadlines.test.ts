import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Filter } from '../../src/policy/filter.ts'
import { closedPort, onHead, rawBackend } from '../feature/backends.ts'
import { deafPort, until } from '../socket/sockets.ts'
import { inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

const HOST = 'host: w.test\r\n'
const GET = `GET / HTTP/1.1\r\n${HOST}\r\n`

describe('deadlines of an exchange', () => {
  it('hold while a filter decides, and that filter sees nothing of the refusal', async (t) => {
    const passed: string[] = []
    const seen = (name: string, onRequest: Filter['onRequest']): Filter => ({
      name,
      ...(onRequest === undefined ? {} : { onRequest }),
      onResponse: () => void passed.push(`back ${name}`),
      onEnd: () => void passed.push(`end ${name}`),
    })
    const gateway = await inProcess(t, {
      upstreams: [1],
      rules: toUp({ timeouts: { request: '100ms' } }),
      filters: [
        { phase: 'access', filter: seen('first', () => undefined) },
        { phase: 'auth', filter: seen('slow', () => new Promise(() => {})) },
        { phase: 'rate-limit-after-auth', filter: seen('last', () => undefined) },
      ],
    })
    using client = await gateway.connect()
    const answer = await client.request({ host: 'w.test' })
    assert.deepEqual([answer.status, answer.json().reason], [504, 'RequestTimeout'])
    assert.deepEqual(passed, ['back first', 'end first', 'end slow'])
    client.end()
    await gateway.nothingLeft()
    assert.equal(gateway.log().length, 1)
  })

  it('end an exchange whose filter never decides by its idle time, where that is all there is', async (t) => {
    const gateway = await inProcess(t, {
      upstreams: [1],
      rules: toUp({ timeouts: { idle: '100ms' } }),
      filters: [{ phase: 'auth', filter: { name: 'never', onRequest: () => new Promise(() => {}) } }],
    })
    using client = await gateway.connect()
    const answer = await client.request({ host: 'w.test' })
    assert.equal(answer.json().reason, 'RequestTimeout')
    client.end()
    await gateway.nothingLeft()
  })

  it('drop the verdict that comes after the refusal', async (t) => {
    let decide = (): void => {}
    const upstream = await rawBackend(t, () => assert.fail('nothing may be sent upstream'))
    const gateway = await inProcess(t, {
      upstreams: [upstream.port],
      rules: toUp({ timeouts: { request: '60ms' } }),
      filters: [
        {
          phase: 'auth',
          filter: { name: 'late', onRequest: () => new Promise((resolve) => (decide = () => resolve(undefined))) },
        },
      ],
    })
    using client = await gateway.connect()
    assert.equal((await client.request({ host: 'w.test' })).status, 504)
    decide()
    client.end()
    await gateway.nothingLeft()
    assert.equal(gateway.log().length, 1)
  })

  it('hold while connecting', async (t) => {
    const gateway = await inProcess(t, {
      upstreams: [await deafPort(t)],
      rules: toUp({ timeouts: { request: '100ms' } }),
    })
    using client = await gateway.connect()
    const began = performance.now()
    assert.equal((await client.request({ host: 'w.test' })).json().reason, 'RequestTimeout')
    assert.ok(performance.now() - began < 1_500)
  })

  it('are not waited for where another try would begin behind them: the failure is told at once', async (t) => {
    const gateway = await inProcess(t, {
      upstreams: [await closedPort()],
      rules: toUp({ timeouts: { request: '10s' }, retry: { attempts: 5, backoff: '30s' } }),
    })
    using client = await gateway.connect()
    const began = performance.now()
    assert.equal((await client.request({ host: 'w.test' })).json().reason, 'ConnectFailure')
    assert.ok(performance.now() - began < 5_000)
    client.end()
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.attempts, 1)
  })

  it('let a client leave while the next try is waited for', async (t) => {
    const gateway = await inProcess(t, {
      upstreams: [await closedPort()],
      rules: toUp({ retry: { attempts: 5, backoff: '30s' } }),
    })
    const client = await gateway.connect()
    client.send(GET)
    await until(() => gateway.holdings.exchanges === 1)
    await delay(30)
    client.reset()
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'ClientGone')
  })

  it('try again after the back-off, at another endpoint', async (t) => {
    const good = await rawBackend(t, (socket) =>
      onHead(socket, () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')),
    )
    const gateway = await inProcess(t, {
      upstreams: [await closedPort(), good.port],
      backend: { loadBalancing: { algorithm: 'RoundRobin', slowStart: '0s', zoneAware: false } },
      rules: toUp({ retry: { attempts: 1, backoff: '20ms' } }),
    })
    using client = await gateway.connect()
    for (let i = 0; i < 4; i++) assert.equal((await client.request({ host: 'w.test' })).text, 'ok')
    // Each retry is a turn of the rotation, which began anywhere and so comes back to the first endpoint every time.
    const attempts = gateway.log().map((line) => line.attempts)
    assert.deepEqual(attempts.slice(1), [2, 2, 2])
    client.end()
    await gateway.nothingLeft()
  })
})

describe('the deadline that is due next', () => {
  it('is the idle time once the head has come, however long that might have taken', async (t) => {
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab')),
    )
    const gateway = await inProcess(t, {
      upstreams: [upstream.port],
      rules: toUp({ timeouts: { responseHead: '60s', idle: '100ms' } }),
    })
    using client = await gateway.connect()
    const began = performance.now()
    await assert.rejects(client.request({ host: 'w.test' }))
    assert.ok(performance.now() - began < 1_000)
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'IdleTimeout')
  })

  it('is that of the head once the body has been sent, however long that might have taken', async (t) => {
    const upstream = await rawBackend(t, () => {})
    const gateway = await inProcess(t, {
      upstreams: [upstream.port],
      rules: toUp({ timeouts: { responseHead: '100ms', idle: '60s' } }),
    })
    using client = await gateway.connect()
    const began = performance.now()
    const answer = await client.request({ host: 'w.test', method: 'POST', body: 'abc' })
    assert.equal(answer.json().reason, 'ResponseHeadTimeout')
    assert.ok(performance.now() - began < 1_000)
  })

  it('is the idle time while a body is sent, and blames the side that stalls', async (t) => {
    const reading = await rawBackend(t, (socket) => socket.resume())
    const deaf = await rawBackend(t, (socket) => socket.pause())
    for (const [port, bytes, reason] of [
      [reading.port, 3, 'RequestBodyTimeout'],
      [deaf.port, 20_000_000, 'IdleTimeout'],
    ] as const) {
      const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ timeouts: { idle: '150ms' } }) })
      using client = await gateway.connect()
      client.send(`POST / HTTP/1.1\r\n${HOST}content-length: 100000000\r\n\r\n`).send(Buffer.alloc(bytes))
      assert.equal((await client.response()).json().reason, reason)
    }
  })
})

describe('deadlines of a connection', () => {
  it('give a head its time from the first byte, on every request', async (t) => {
    const gateway = await inProcess(t, { requestHead: 2_000, keepAlive: 20_000, rules: { all: {} } })
    using client = await gateway.connect()
    await delay(300)
    for (let i = 0; i < 2; i++) {
      // Longer than the limit between requests, shorter within each head.
      client.send('GET / HTTP/1.1\r\n')
      await delay(250)
      client.send(`${HOST}\r\n`)
      assert.equal((await client.response()).text, 'ok')
      await delay(2_100)
    }
    const began = performance.now()
    client.send('GET / HT')
    const answer = await client.response()
    const took = performance.now() - began
    assert.deepEqual([answer.status, answer.json().reason], [408, 'RequestHeadTimeout'])
    assert.ok(took >= 1_999 && took < 10_000, `${took} ms`)
    await client.closed()
    await gateway.nothingLeft()
  })

  it('are not prolonged by dripping', async (t) => {
    const gateway = await inProcess(t, { requestHead: 150, rules: { all: {} } })
    using client = await gateway.connect()
    const drip = setInterval(() => client.send('x'), 20)
    t.after(() => clearInterval(drip))
    const began = performance.now()
    assert.equal((await client.response()).status, 408)
    assert.ok(performance.now() - began < 600)
  })

  it('close a silent connection and an idle one without a response', async (t) => {
    const gateway = await inProcess(t, { requestHead: 100, keepAlive: 100, rules: { all: {} } })
    using silent = await gateway.connect()
    using idle = await gateway.connect()
    await idle.request({ host: 'w.test' })
    // An empty line is a habit of old clients and no request.
    idle.send('\r\n')
    await Promise.all([silent.closed(), idle.closed()])
    await gateway.nothingLeft()
    assert.equal(gateway.log().length, 1)
  })

  it('give up a client that takes nothing of its last response', async (t) => {
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => socket.end(`HTTP/1.0 200 OK\r\n\r\n${'x'.repeat(20_000_000)}`)),
    )
    const gateway = await inProcess(t, {
      upstreams: [upstream.port],
      rules: toUp({ timeouts: { idle: '300ms' } }),
    })
    using client = await gateway.connect()
    client.socket.pause()
    client.send(GET)
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'IdleTimeout')
  })
})

describe('the patience of the gateway', { concurrency: true }, () => {
  it('ends where a filter holds up a refusal: the connection is cut', async (t) => {
    const gateway = await inProcess(t, {
      upstreams: [await closedPort()],
      filters: [{ phase: 'access', filter: { name: 'stuck', onResponse: () => new Promise(() => {}) } }],
    })
    using client = await gateway.connect()
    client.send(GET)
    await client.closed().catch(() => {})
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'ConnectFailure')
  })

  it('is long with a slow reader: it gets the whole of a last response', async (t) => {
    const size = 8_000_000
    const body = Buffer.alloc(size, 'headgate ')
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => socket.end(Buffer.concat([Buffer.from('HTTP/1.0 200 OK\r\n\r\n'), body]))),
    )
    const gateway = await inProcess(t, { upstreams: [upstream.port], keepAlive: 3_000 })
    using client = await gateway.connect()
    client.send(`GET / HTTP/1.1\r\n${HOST}connection: close\r\n\r\n`)
    // Nothing is read until all of it waits in the gateway and in the system's buffers, for longer than a lingering
    // close takes.
    client.socket.pause()
    const trickle = setInterval(() => {
      client.socket.resume()
      setTimeout(() => client.socket.pause(), 10)
    }, 200)
    await delay(4_500)
    clearInterval(trickle)
    client.socket.resume()
    const answer = await client.response()
    assert.equal(answer.body.equals(body), true)
    await gateway.nothingLeft()
  })
})
