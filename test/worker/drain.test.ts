import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { onHead, rawBackend } from '../feature/backends.ts'
import { RawClient } from '../feature/raw-client.ts'
import { ASKING, SWITCHES } from '../lib/websocket-lines.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'

const HOST = 'host: w.test\r\n'
const GET = `GET / HTTP/1.1\r\n${HOST}\r\n`
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** Begins a drain; `drained` says when it was over. */
function draining(gateway: InProcess, grace: number): Promise<number> {
  const began = performance.now()
  return gateway.listeners.drain(grace, () => gateway.plane.context.active).then(() => performance.now() - began)
}

describe('before a drain', () => {
  it('serves on, and ends each connection with its next answer', async (t) => {
    const upstream = await rawBackend(t, (socket) => onHead(socket, () => socket.write(OK)))
    const gateway = await inProcess(t, { upstreams: [upstream.port] })
    using kept = await gateway.connect()
    assert.equal((await kept.request({ host: 'w.test' })).header('connection'), undefined)
    gateway.listeners.leave()
    using fresh = await gateway.connect()
    for (const client of [kept, fresh]) {
      const answer = await client.request({ host: 'w.test' })
      assert.deepEqual([answer.text, answer.header('connection')], ['ok', 'close'])
      await client.closed()
      client.end()
    }
    await gateway.nothingLeft()
  })
})

describe('a drain', () => {
  it('closes idle connections at once, and does not wait', async (t) => {
    const gateway = await inProcess(t, { rules: { all: {} } })
    using used = await gateway.connect()
    using fresh = await gateway.connect()
    await used.request({ host: 'w.test' })
    await until(() => gateway.holdings.connections === 2)
    const drained = draining(gateway, 10_000)
    await Promise.all([used.closed(), fresh.closed()])
    used.end()
    fresh.end()
    assert.ok((await drained) < 2_000)
    await gateway.nothingLeft()
  })

  it('accepts no connection, and sends Connection: close on open ones', async (t) => {
    const sockets: Socket[] = []
    const upstream = await rawBackend(t, (socket) => onHead(socket, () => sockets.push(socket)))
    const gateway = await inProcess(t, { upstreams: [upstream.port] })
    using client = await gateway.connect()
    client.send(GET)
    await until(() => sockets.length === 1)
    const { port } = gateway
    const drained = draining(gateway, 10_000)
    await assert.rejects(RawClient.connect(port), /ECONNREFUSED/)
    sockets[0]!.write(OK)
    const answer = await client.response()
    assert.deepEqual([answer.text, answer.header('connection')], ['ok', 'close'])
    await client.closed()
    client.end()
    assert.ok((await drained) < 3_000)
    assert.deepEqual(
      gateway.log().map((line) => line.reason),
      [undefined],
    )
  })

  it('answers what has not been answered by its deadline with 503, and cuts what has', async (t) => {
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, (head) => {
        if (head.startsWith('GET /half')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc')
      }),
    )
    const gateway = await inProcess(t, { upstreams: [upstream.port] })
    using waiting = await gateway.connect()
    using half = await gateway.connect()
    waiting.send(GET)
    half.send(`GET /half HTTP/1.1\r\n${HOST}\r\n`)
    await until(() => gateway.holdings.exchanges === 2 && half.unread.length > 0)
    const took = await draining(gateway, 200)
    assert.ok(took >= 199 && took < 1_500, `${took} ms`)
    assert.deepEqual([(await waiting.response()).json().reason], ['ShuttingDown'])
    await assert.rejects(half.response())
    await gateway.nothingLeft()
    assert.deepEqual(
      gateway.log().map((line) => [line.status, line.reason]),
      [
        [503, 'ShuttingDown'],
        [200, 'ShuttingDown'],
      ],
    )
  })

  it('waits for tunnels as for anything else, and ends them on both sides at its deadline', async (t) => {
    const sockets: Socket[] = []
    const upstream = await rawBackend(t, (socket) => {
      sockets.push(socket)
      onHead(socket, () => socket.write(SWITCHES))
    })
    const gateway = await inProcess(t, { upstreams: [upstream.port] })
    using client = await gateway.connect()
    client.send(`GET / HTTP/1.1\r\n${HOST}${ASKING}\r\n`)
    assert.equal((await client.response()).status, 101)
    const { exchanges, connections, endpointInFlight } = gateway.holdings
    assert.deepEqual([exchanges, connections, endpointInFlight], [1, 1, 1])
    const gone = once(sockets[0]!, 'end')
    const took = await draining(gateway, 200)
    assert.ok(took >= 199)
    await gone
    await gateway.nothingLeft()
    const [line] = gateway.log()
    assert.deepEqual([line!.status, line!.reason], [101, 'ShuttingDown'])
  })

  it('counts tunnels among the connections that a listener takes', async (t) => {
    const upstream = await rawBackend(t, (socket) => onHead(socket, () => socket.write(SWITCHES)))
    const gateway = await inProcess(t, { upstreams: [upstream.port], connections: 1 })
    const client = await gateway.connect()
    client.send(`GET / HTTP/1.1\r\n${HOST}${ASKING}\r\n`)
    assert.equal((await client.response()).status, 101)
    using second = await gateway.connect()
    assert.equal((await second.request({ host: 'w.test' })).json().reason, 'ConnectionLimit')
    second.end()
    client.reset()
    await gateway.nothingLeft()
    using third = await gateway.connect()
    third.send('GET / HTTP/1.1\r\n\r\n')
    assert.equal((await third.response()).status, 400)
  })
})
