/** Clients of HTTP/2 that mean well, and are busy with windows or with many requests: no defence hits them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { windowUpdate } from '../http/raw-frames.ts'
import { RawH2 } from '../lib/raw-h2.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'

const MiB = 1024 * 1024
/** Go's client gives back what it has read, on stream and connection, from so many bytes. */
const PIECE = 4_096

async function downloads(t: TestContext, bytes: number): Promise<InProcess> {
  const body = Buffer.alloc(bytes, 'u')
  const server = createServer((_, res) => res.end(body))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return await inProcess(t, { upstreams: [(server.address() as AddressInfo).port] })
}

/** Windows for so many bytes, piece by piece. */
function updates(stream: number, bytes: number): Buffer {
  const pair = [windowUpdate(0, PIECE), windowUpdate(stream, PIECE)]
  return Buffer.concat(Array.from({ length: Math.ceil(bytes / PIECE) }, () => pair).flat())
}

describe('a client of HTTP/2 that means well', () => {
  it('may give back its windows in pieces of 4 KiB', async (t) => {
    const SIZE = 32 * MiB
    const gateway = await downloads(t, SIZE)
    const client = await RawH2.connect(t, gateway.port)
    let given = 0
    client.socket.on('data', () => {
      if (client.received - given < 2 * PIECE) return
      client.send(updates(1, client.received - given))
      given = client.received
    })
    client.get(1)
    await until(() => client.received > SIZE || client.goaway !== undefined)
    assert.equal(client.goaway, undefined)
    client.socket.end()
    await gateway.nothingLeft()
  })

  it('may give back all at once what it has read after a pause', async (t) => {
    const SIZE = 4 * MiB
    const STREAMS = [1, 3, 5, 7]
    const gateway = await downloads(t, SIZE)
    const client = await RawH2.connect(t, gateway.port, 4, SIZE)
    client.send(windowUpdate(0, STREAMS.length * SIZE))
    for (const stream of STREAMS) client.get(stream)
    await until(() => client.received > STREAMS.length * SIZE)
    client.send(...STREAMS.map((stream) => updates(stream, SIZE)))
    client.get(9)
    await until(() => client.received > (STREAMS.length + 1) * SIZE || client.goaway !== undefined)
    assert.equal(client.goaway, undefined)
    client.socket.end()
    await gateway.nothingLeft()
  })

  it('may have more requests at a time than clients may have connections', async (t) => {
    const COUNT = 200
    const waiting: ServerResponse[] = []
    const server = createServer((_, res) => {
      if (waiting.push(res) === COUNT) for (const each of waiting) each.end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close().closeAllConnections())
    const gateway = await inProcess(t, { upstreams: [(server.address() as AddressInfo).port], connections: 2 })
    const client = await RawH2.connect(t, gateway.port)
    for (let i = 0; i < COUNT; i++) client.get(2 * i + 1)
    await until(() => client.log.heads.size === COUNT, 'all responses')
    assert.deepEqual(
      client.lines.filter((line) => line.startsWith('head ') && !line.includes(' 200')),
      [],
    )
    client.socket.end()
    await gateway.nothingLeft()
    assert.equal(gateway.plane.context.streams, 0)
  })
})
