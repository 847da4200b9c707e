/** Streams of a client's HTTP/2 connection side by side: priorities (RFC 9218), and tunnels that end early (RFC 8441). */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import { acceptOf } from '../../src/message/websocket-handshake.ts'
import { data, Flag, FrameType, frame, headers, settings, uint32, windowUpdate } from '../http/raw-frames.ts'
import { type FieldList, RawH2, request } from '../lib/raw-h2.ts'
import { listening, until } from '../socket/sockets.ts'
import { inProcess } from './in-process.ts'
import { toUp } from './test-plane.ts'

const ACK = frame({ type: FrameType.SETTINGS, flags: Flag.ACK })

describe('responses of one HTTP/2 connection', () => {
  it('go out by the urgency of the request, of PRIORITY_UPDATE, and of the response before both', async (t) => {
    const body = 'b'.repeat(9_000)
    const { port } = await listening(t, (socket) =>
      socket.on('data', (bytes: Buffer) => {
        for (const head of bytes.toString('latin1').split('\r\n\r\n').slice(0, -1)) {
          const priority = head.startsWith('GET /server') ? 'priority: u=1\r\n' : ''
          socket.write(`HTTP/1.1 200 OK\r\n${priority}content-length: 9000\r\n\r\n${body}`)
        }
      }),
    )
    const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ retry: { attempts: 0 } }) })
    const client = await RawH2.connect(t, gateway.port, 4, 0)
    const update = (stream: number, value: string): Buffer =>
      frame({ type: FrameType.PRIORITY_UPDATE, payload: Buffer.concat([uint32(stream), Buffer.from(value)]) })
    const asked: readonly (readonly [string, FieldList])[] = [
      ['/', []],
      ['/', [['priority', 'u=5']]],
      ['/', [['priority', 'u=2']]],
      ['/server', [['priority', 'u=7']]],
      ['/', []],
      ['/', [['priority', 'u=6, i']]],
    ]
    client.send(ACK, update(9, 'u=0'))
    for (const [i, [path, fields]] of asked.entries()) client.get(2 * i + 1, path, fields)
    await until(() => client.log.heads.size === asked.length, 'all heads')
    // The last one becomes the first while its response waits.
    client.send(update(11, 'u=0'), windowUpdate(0, 1 << 20), settings(4, 1 << 20))
    await until(() => client.lines.filter((line) => line.endsWith(' end')).length === asked.length, 'all responses')
    const order = client.lines.flatMap((line) => /^data (\d+) length=9000/.exec(line)?.[1] ?? [])
    assert.deepEqual(order, ['9', '11', '7', '5', '1', '3'])
    client.socket.end()
    await gateway.nothingLeft()
  })
})

describe('a stream of HTTP/2 whose response is complete', () => {
  const priority = (stream: number, payload: string): Buffer => frame({ type: FrameType.PRIORITY, stream, payload })

  for (const [what, code, frames] of [
    ['PRIORITY of four bytes', 'FRAME_SIZE_ERROR', [priority(1, '\0\0\0\0'), priority(1, '\0\0\0\0')]],
    ['PRIORITY on itself', 'PROTOCOL_ERROR', [priority(1, '\0\0\0\x01\x10')]],
    ['WINDOW_UPDATE by 0', 'PROTOCOL_ERROR', [windowUpdate(1, 0)]],
  ] as const)
    it(`is reset once by ${what}: ${code}, and the connection goes on`, async (t) => {
      const { port } = await listening(t, (socket) =>
        socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')),
      )
      const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ retry: { attempts: 0 } }) })
      const client = await RawH2.connect(t, gateway.port)
      client.send(ACK)
      client.get(1, '/', [])
      await client.sees('data "ok" end')
      client.send(...frames)
      client.get(3, '/', [])
      await until(() => client.lines.filter((line) => line === 'data "ok" end').length === 2, 'the second response')
      const resets = client.lines.filter((line) => line.startsWith('reset'))
      assert.deepEqual(resets, [`reset 1 ${code}`])
      client.socket.end()
      await gateway.nothingLeft()
    })

  it('is no stream once it is forgotten, or was never opened: the connection ends', async (t) => {
    const gateway = await inProcess(t, { upstreams: [], rules: toUp({}) })
    const client = await RawH2.connect(t, gateway.port)
    client.send(ACK, priority(5, '\0\0\0\0'))
    await until(() => client.lines.some((line) => line.startsWith('goaway')), 'GOAWAY')
    assert.match(client.lines.find((line) => line.startsWith('goaway'))!, /FRAME_SIZE_ERROR/)
    await gateway.nothingLeft()
  })
})

describe('a tunnel over HTTP/2', () => {
  const CONNECT: FieldList = [
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    ...request().slice(1),
    ['sec-websocket-version', '13'],
  ]

  for (const [what, opening] of [
    ['with its request', [headers(1, CONNECT, { end: true })]],
    ['before it is open', [headers(1, CONNECT, { end: false }), data(1, '', true)]],
    ['behind bytes that came before it was open', [headers(1, CONNECT, { end: false }), data(1, 'early', true)]],
  ] as const)
    it(`hears that its client has ended ${what}`, async (t) => {
      let received = ''
      let ended = false
      const { port } = await listening(t, (socket: Socket) => {
        let head = ''
        socket.on('data', (bytes: Buffer) => {
          if (head.includes('\r\n\r\n')) received += bytes.toString('latin1')
          else head += bytes.toString('latin1')
          const key = /sec-websocket-key: (\S+)/i.exec(head)?.[1]
          if (key === undefined || received !== '') return
          const accept = `sec-websocket-accept: ${acceptOf(key)}\r\n`
          // Late, so that the client's end comes first.
          setTimeout(
            () => socket.write(`HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: websocket\r\n${accept}\r\n`),
            30,
          )
        })
        socket.on('end', () => {
          ended = true
          socket.end('bye')
        })
      })
      const gateway = await inProcess(t, { upstreams: [port], rules: toUp({ retry: { attempts: 0 } }) })
      const client = await RawH2.connect(t, gateway.port)
      client.send(ACK, ...opening)
      await client.sees('head 1 200')
      await until(() => ended, 'the end at the upstream')
      await client.sees('data "bye"')
      await until(() => client.lines.some((line) => line.endsWith('" end')), 'the end at the client')
      assert.equal(received, what.startsWith('behind') ? 'early' : '')
      client.socket.end()
      await gateway.nothingLeft()
      assert.deepEqual(gateway.errors, [])
    })
})
