/** Upgrades on sockets while a filter takes its time over the 101: what comes meanwhile is neither lost nor misread. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { Filter } from '../../src/policy/filter.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import type { RawClient } from '../feature/raw-client.ts'
import { ASKING, SWITCHES } from '../lib/websocket-lines.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type Scope, toUp } from '../worker/test-plane.ts'

const ASK = `GET / HTTP/1.1\r\nhost: w.test\r\n${ASKING}\r\n`

interface Awaited {
  readonly gateway: InProcess
  /** The filter is asked about the 101. */
  readonly asked: Promise<void>
  readonly decide: () => void
  readonly upstream: Promise<Socket>
  /** What came to the upstream behind the request's head. */
  readonly received: () => string
  readonly ended: Promise<void>
}

async function awaited(t: Scope, idle = '5s'): Promise<Awaited> {
  const asked = Promise.withResolvers<void>()
  const decided = Promise.withResolvers<void>()
  const upstream = Promise.withResolvers<Socket>()
  const ended = Promise.withResolvers<void>()
  let received = ''
  const { port } = await rawBackend(t, (socket) => {
    socket.once('end', () => ended.resolve())
    socket.once('close', () => ended.resolve())
    socket.on('error', () => {})
    onHead(socket, () => {
      socket.on('data', (chunk: Buffer) => (received += chunk.toString()))
      socket.write(SWITCHES)
      upstream.resolve(socket)
    })
  })
  const filter: Filter = {
    name: 'slow',
    async onResponse(_x, head) {
      if (head.status !== 101) return undefined
      asked.resolve()
      await decided.promise
      return undefined
    },
  }
  const gateway = await inProcess(t, {
    upstreams: [port],
    rules: toUp({ timeouts: { idle, tunnelIdle: '5s' }, retry: { attempts: 0 } }),
    filters: [{ phase: 'plugin', filter }],
  })
  const { promise } = upstream
  return {
    gateway,
    asked: asked.promise,
    decide: decided.resolve,
    upstream: promise,
    received: () => received,
    ended: ended.promise,
  }
}

/** The other side has ended its direction; what came before is unread. */
function over(client: RawClient): Promise<void> {
  return new Promise((resolve) => {
    if (client.socket.readableEnded || client.socket.destroyed) resolve()
    else client.socket.once('end', resolve).once('close', resolve)
  })
}

describe('an upgrade that a filter takes its time over', () => {
  it('loses nothing that either side has said meanwhile, its end included', async (t) => {
    const { gateway, asked, decide, upstream, received, ended } = await awaited(t)
    using client = await gateway.connect()
    client.send(`${ASK}early of the client`)
    await asked
    const up = await upstream
    up.write('early of the upstream')
    client.send(', and more')
    client.end()
    decide()
    assert.equal((await client.response()).status, 101)
    await ended
    assert.equal(received(), 'early of the client, and more')
    up.end(', and more')
    await over(client)
    assert.equal(client.unread.toString(), 'early of the upstream, and more')
    await gateway.nothingLeft()
  })

  it('carries a megabyte that came at once to a client that reads late', async (t) => {
    const { gateway, asked, decide, upstream } = await awaited(t)
    using client = await gateway.connect()
    client.send(ASK)
    await asked
    const up = await upstream
    up.write(Buffer.alloc(4 << 20, 'x'))
    client.socket.pause()
    decide()
    await new Promise((resolve) => setImmediate(resolve))
    client.socket.resume()
    assert.equal((await client.response()).status, 101)
    up.end()
    await over(client)
    assert.equal(client.unread.length, 4 << 20)
    await gateway.nothingLeft()
  })

  it('ends with its upstream, which has reset it by then', async (t) => {
    const { gateway, asked, decide, upstream } = await awaited(t)
    using client = await gateway.connect()
    client.send(ASK)
    await asked
    const up = await upstream
    up.resetAndDestroy()
    await once(up, 'close')
    decide()
    await over(client)
    client.end()
    await gateway.nothingLeft()
  })

  it('ends at the upstream when the client goes', async (t) => {
    const { gateway, asked, decide, ended } = await awaited(t)
    const client = await gateway.connect()
    client.send(ASK)
    await asked
    client.socket.resetAndDestroy()
    await ended
    decide()
    await gateway.nothingLeft()
  })

  it('is refused where that takes too long', async (t) => {
    const { gateway, asked, decide, ended } = await awaited(t, '200ms')
    using client = await gateway.connect()
    client.send(`${ASK}GET /smuggled HTTP/1.1\r\nhost: w.test\r\n\r\n`)
    await asked
    const { status } = await client.response()
    assert.equal(status, 504)
    await ended
    decide()
    client.socket.destroy()
    await gateway.nothingLeft()
  })
})
