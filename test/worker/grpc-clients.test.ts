/** gRPC with grpc-js at both ends, through the listeners and pools of a worker: HTTP/2 in clear text, one connection. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { type StatusObject, status } from '@grpc/grpc-js'
import { EchoClient, type EchoScript, type EchoServer, echoServer } from '../grpc/echo-service.ts'
import { until } from '../socket/sockets.ts'
import { grpcGateway } from './grpc-gateway.ts'
import type { InProcess } from './in-process.ts'
import { type InProcessOptions, type Scope, toUp } from './test-plane.ts'

interface World {
  readonly client: EchoClient
  readonly server: EchoServer
  readonly gateway: InProcess
}

async function world(scope: Scope, script: EchoScript = {}, options: InProcessOptions = {}): Promise<World> {
  const server = await echoServer(scope, script)
  const gateway = await grpcGateway(scope, { upstreams: [server.port], ...options })
  const client = new EchoClient(gateway.port)
  scope.after(() => client.close())
  return { client, server, gateway }
}

const KIB = 1024

describe('gRPC through a worker', () => {
  it('carries unary calls with metadata, binary too, and statuses with their texts', async (t) => {
    const { client, gateway } = await world(t)
    const large = 'm'.repeat(20 * KIB)
    const meta = { 'x-text': 'one', 'x-bytes-bin': Buffer.from([0, 255, 10, 13]), 'x-large': large }
    const fine = await client.unary('hello', meta).outcome
    assert.deepEqual([fine.code, fine.message?.toString()], [status.OK, 'hello'])
    assert.deepEqual(fine.metadata?.get('x-bytes-bin'), [Buffer.from([0, 255, 10, 13])])
    assert.deepEqual(fine.metadata?.get('x-large'), [large])
    assert.deepEqual(fine.trailers.get('x-late-bin'), [Buffer.from([0, 1, 255])])
    for (const code of [1, 2, 5, 8, 14, 16]) {
      const { code: got, details, trailers } = await client.unary('', { 'x-status': `${code}` }).outcome
      assert.deepEqual([got, details, trailers.get('x-status')], [code, `status ${code} für alle`, [`${code}`]])
    }
    await until(() => gateway.log().length === 7)
    assert.deepEqual(
      gateway.log().map((line) => [line.status, line.grpcStatus, line.protocol, line.reason]),
      [0, 1, 2, 5, 8, 14, 16].map((code) => [200, code, 'HTTP/2', undefined]),
    )
  })

  it('carries compressed messages and those of 8 MiB as they are', async (t) => {
    const { client, gateway } = await world(t)
    const zipping = new EchoClient(gateway.port, { 'grpc.default_compression_algorithm': 2 })
    t.after(() => zipping.close())
    const large = Buffer.alloc(8 * KIB * KIB, 'abcdefghij')
    for (const each of [client, zipping]) {
      const { code, message } = await each.unary(large).outcome
      assert.equal(code, status.OK)
      assert.ok(large.equals(message!))
    }
  })

  it('carries 10,000 messages both ways, each in its place', async (t) => {
    const { client } = await world(t)
    const chat = client.chat()
    let received = 0
    chat.on('data', (message: Buffer) => {
      assert.equal(message.readUInt32BE(0), received++)
    })
    const over = once(chat, 'end')
    for (let i = 0; i < 10_000; i++) {
      const message = Buffer.alloc(1 + (i % 300) + 4)
      message.writeUInt32BE(i)
      if (!chat.write(message)) await once(chat, 'drain')
    }
    chat.end()
    await over
    assert.equal(received, 10_000)
  })

  it('holds a server back whose client does not read', async (t) => {
    let sent = 0
    const { client } = await world(t, {
      download(call) {
        const message = Buffer.alloc(4 * KIB)
        const go = (): void => {
          while (sent < 10_000) {
            sent++
            if (!call.write(message)) return void call.once('drain', go)
          }
          call.end()
        }
        go()
      },
    })
    const stream = client.download(0, 0)
    await once(stream, 'readable')
    await standsStill(() => sent)
    assert.ok(sent < 2_000, `${sent} of 10,000 messages of 4 KiB were sent to a client that reads none`)
    let received = 0
    for await (const message of stream) received += (message as Buffer).length
    assert.equal(received, 10_000 * 4 * KIB)
  })

  it('holds a client back whose server does not read', async (t) => {
    const reading = Promise.withResolvers<void>()
    const { client } = await world(t, {
      upload(call, respond) {
        let size = 0
        void reading.promise.then(() => {
          call.on('data', (message: Buffer) => (size += message.length))
          call.on('end', () => respond(null, Buffer.from(`${size}`)))
        })
      },
    })
    const answered = Promise.withResolvers<string>()
    const stream = client.upload((error, response) =>
      error === null ? answered.resolve(response!.toString()) : answered.reject(error),
    )
    let sent = 0
    const message = Buffer.alloc(4 * KIB)
    const go = (): void => {
      while (sent < 10_000) {
        sent++
        if (!stream.write(message)) return void stream.once('drain', go)
      }
      stream.end()
    }
    go()
    await standsStill(() => sent)
    assert.ok(sent < 2_000, `${sent} of 10,000 messages of 4 KiB were taken for a server that reads none`)
    reading.resolve()
    assert.equal(await answered.promise, `${10_000 * 4 * KIB}`)
  })

  it('cancels a call at the server when its client does', async (t) => {
    const cancelled: string[] = []
    const begun: string[] = []
    const { client, gateway } = await world(t, {
      unary(call) {
        begun.push('unary')
        call.on('cancelled', () => cancelled.push('unary'))
      },
      chat(call) {
        begun.push('chat')
        call.on('cancelled', () => cancelled.push('chat'))
        call.write(Buffer.from('first'))
      },
    })
    const unary = client.unary('x')
    await until(() => begun.length === 1)
    unary.cancel()
    assert.equal((await unary.outcome).code, status.CANCELLED)
    await until(() => cancelled.length === 1)
    const chat = client.chat()
    chat.on('error', () => {})
    await once(chat, 'data')
    chat.cancel()
    await until(() => cancelled.length === 2)
    assert.deepEqual(cancelled, ['unary', 'chat'])
    await until(() => gateway.log().length === 2)
    assert.deepEqual(
      gateway.log().map((line) => [line.reason, line.grpcStatus]),
      [
        ['ClientGone', undefined],
        ['ClientGone', undefined],
      ],
    )
    // The connection serves on.
    const other = client.chat()
    other.on('error', () => {})
    await once(other, 'data')
    other.cancel()
  })

  it('carries 1,000 streams at a time on one connection of its client', async (t) => {
    // Requests at a time have a share of the connections that a worker takes.
    const { client, gateway } = await world(t, {}, { connections: 4_000 })
    const chats = Array.from({ length: 1_000 }, () => client.chat())
    await Promise.all(
      chats.map(async (chat, i) => {
        chat.write(Buffer.from(`${i}`))
        assert.equal(((await once(chat, 'data')) as [Buffer])[0].toString(), `${i}`)
      }),
    )
    assert.equal(gateway.holdings.connections, 1)
    assert.equal(gateway.plane.context.active, 1_000)
    await Promise.all(
      chats.map((chat) => {
        const over = endOf(chat)
        chat.resume()
        chat.end()
        return over
      }),
    )
    await until(() => gateway.log().length === 1_000)
    assert.ok(gateway.log().every((line) => line.grpcStatus === 0))
  })

  it('ends a call at its deadline, tells the server what is left of it, and cancels it there', async (t) => {
    const deadlines: number[] = []
    let cancelled = 0
    const { client, gateway } = await world(t, {
      unary(call) {
        deadlines.push(Number(call.getDeadline()) - Date.now())
        call.on('cancelled', () => cancelled++)
      },
    })
    const { code } = await client.unary('x', {}, { deadline: Date.now() + 300 }).outcome
    assert.equal(code, status.DEADLINE_EXCEEDED)
    assert.ok(deadlines[0]! <= 300, `${deadlines[0]} ms were left`)
    await until(() => cancelled === 1)
    await until(() => gateway.log().length === 1)
  })

  it('ends a call at the deadline of its rule, with the status of it', async (t) => {
    const { client, gateway } = await world(
      t,
      { unary() {} },
      { rules: toUp({ retry: { attempts: 0 }, timeouts: { request: '150ms' } }) },
    )
    const { code, details } = await client.unary('x').outcome
    assert.equal(code, status.DEADLINE_EXCEEDED)
    assert.match(details, /^The request did not finish in time \(RequestTimeout, request /)
    await until(() => gateway.log().length === 1)
    assert.deepEqual([gateway.log()[0]!.grpcStatus, gateway.log()[0]!.reason], [4, 'RequestTimeout'])
  })

  it('ends streams by UNAVAILABLE when the server dies within them', async (t) => {
    const { client, server, gateway } = await world(t, {
      chat(call) {
        call.write(Buffer.from('first'))
      },
    })
    const chats = Array.from({ length: 5 }, () => client.chat())
    for (const chat of chats) chat.on('error', () => {})
    await Promise.all(chats.map((chat) => once(chat, 'data')))
    const ends = chats.map((chat) => endOf(chat))
    server.kill()
    for (const end of await Promise.all(ends)) {
      assert.equal(end.code, status.UNAVAILABLE)
      assert.match(end.details, /UpstreamTruncated/)
    }
    await until(() => gateway.log().length === 5)
    for (const line of gateway.log()) assert.deepEqual([line.status, line.grpcStatus], [200, 14])
  })

  it('loses no call while its servers are replaced', async (t) => {
    const servers = [await echoServer(t), await echoServer(t)]
    const ports = (): number[] => servers.map(({ port }) => port)
    const gateway = await grpcGateway(t, { upstreams: ports(), rules: toUp() })
    const client = new EchoClient(gateway.port)
    t.after(() => client.close())
    let rolling = true
    let calls = 0
    const failed: string[] = []
    const load = Array.from({ length: 20 }, async () => {
      while (rolling) {
        const { code, details, message } = await client.unary(`${++calls}`).outcome
        if (code !== status.OK || message === undefined) failed.push(`${code} ${details}`)
      }
    })
    for (let round = 0; round < 4; round++) {
      const before = calls
      await until(() => calls > before + 200)
      servers.push(await echoServer(t))
      // As a pod ends: it is taken from the endpoints, and finishes what it has at the same time.
      const [leaving] = servers.splice(0, 1)
      const gone = leaving!.drain()
      await gateway.link({ upstreams: ports(), rules: toUp() })
      await gone
    }
    rolling = false
    await Promise.all(load)
    assert.deepEqual(failed, [])
    assert.ok(calls > 800)
  })

  it('takes it for no attack when a thousand calls run into their deadline, or are cancelled, at once', async (t) => {
    let begun = 0
    let cancelled = 0
    const silent = (call: { on(event: 'cancelled', listener: () => void): unknown }): void => {
      begun++
      call.on('cancelled', () => cancelled++)
    }
    const unary: EchoScript['unary'] = (call, respond) =>
      call.request.toString() === 'answer' ? respond(null, call.request) : silent(call)
    const after = Promise.withResolvers<void>()
    const { client } = await world(
      t,
      {
        unary,
        chat: silent,
        async download(call) {
          call.write(Buffer.from('before'))
          await after.promise
          call.write(Buffer.from('after'))
          call.end()
        },
      },
      { connections: 4_000 },
    )
    // On the same connection, which it does not outlive.
    const watched = client.download(0, 0)
    assert.deepEqual(await once(watched, 'data'), [Buffer.from('before')])
    const deadline = Date.now() + 1_500
    const calls = Array.from({ length: 1_000 }, () => client.unary('silence', {}, { deadline }).outcome)
    for (const { code } of await Promise.all(calls)) assert.equal(code, status.DEADLINE_EXCEEDED)
    await until(() => cancelled === begun)
    const before = begun
    const chats = Array.from({ length: 1_000 }, () => client.chat())
    const ends = chats.map((chat) => {
      chat.on('error', () => {})
      chat.write(Buffer.from('x'))
      return endOf(chat)
    })
    await until(() => begun === before + 1_000, 'the beginning of all streams')
    for (const chat of chats) chat.cancel()
    for (const { code } of await Promise.all(ends)) assert.equal(code, status.CANCELLED)
    assert.equal((await client.unary('answer').outcome).code, status.OK)
    after.resolve()
    assert.deepEqual(await once(watched, 'data'), [Buffer.from('after')])
    await until(() => cancelled === begun)
  })

  it('lets clients ping to keep their connection alive', async (t) => {
    const { gateway } = await world(t)
    const client = new EchoClient(gateway.port, {
      'grpc.keepalive_time_ms': 10,
      'grpc.keepalive_timeout_ms': 5_000,
      'grpc.keepalive_permit_without_calls': 1,
    })
    t.after(() => client.close())
    const chat = client.chat()
    chat.on('error', () => {})
    for (let i = 0; i < 20; i++) {
      chat.write(Buffer.from('ping'))
      await once(chat, 'data')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const end = endOf(chat)
    chat.end()
    chat.resume()
    assert.equal((await end).code, status.OK)
    assert.equal(gateway.holdings.connections, 1)
  })

  it('answers what it refuses as a call: no rule, no server, a request that is too large', async (t) => {
    const server = await echoServer(t)
    const gateway = await grpcGateway(t, {
      upstreams: [server.port],
      rules: {
        one: {
          matches: [{ path: { type: 'Exact', value: '/test.Echo/Unary' } }],
          backendRefs: [{ name: 'up', weight: 1, priority: 0 }],
          policies: { retry: { attempts: 0 }, limits: { maxRequestBytes: '100' } },
        },
      },
    })
    const client = new EchoClient(gateway.port)
    t.after(() => client.close())
    assert.equal((await client.unary('fits').outcome).code, status.OK)
    const large = await client.unary('x'.repeat(200)).outcome
    assert.deepEqual([large.code, /BodyTooLarge/.test(large.details)], [status.RESOURCE_EXHAUSTED, true])
    const chat = client.chat()
    const [error] = (await once(chat, 'error')) as [{ code: number; details: string }]
    assert.deepEqual([error.code, /RouteNotFound/.test(error.details)], [status.UNIMPLEMENTED, true])
    server.kill()
    const gone = await client.unary('fits').outcome
    assert.deepEqual([gone.code, /Connect|Reset/.test(gone.details)], [status.UNAVAILABLE, true])
  })
})

/** The status of a call; `once` would reject where it is an error. */
function endOf(call: ReturnType<EchoClient['chat']>): Promise<StatusObject> {
  return new Promise((resolve) => call.on('status', resolve))
}

/** Waits until a count has not moved for a while. */
async function standsStill(count: () => number): Promise<void> {
  let last = -1
  while (last !== count()) {
    last = count()
    await new Promise((resolve) => setTimeout(resolve, 150))
  }
}
