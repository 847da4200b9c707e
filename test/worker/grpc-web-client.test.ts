/** gRPC-Web with the client that browsers use, over HTTP/1.1, and a server of gRPC. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GrpcWebClientBase, MethodDescriptor, MethodType, type RpcError } from 'grpc-web'
import { type EchoScript, echoServer } from '../grpc/echo-service.ts'
import { XmlHttpRequest } from '../lib/xml-http-request.ts'
import { until } from '../socket/sockets.ts'
import { grpcGateway } from './grpc-gateway.ts'
import type { InProcess } from './in-process.ts'
import type { Scope } from './test-plane.ts'

Object.assign(globalThis, { XMLHttpRequest: XmlHttpRequest })

type Metadata = Record<string, string>

const method = (name: string, type: string): MethodDescriptor<Uint8Array, Uint8Array> =>
  new MethodDescriptor(
    `/test.Echo/${name}`,
    type,
    Uint8Array as never,
    Uint8Array as never,
    (message: Uint8Array) => message,
    (message: Uint8Array) => message,
  )

const UNARY = method('Unary', MethodType.UNARY)
const DOWNLOAD = method('Download', MethodType.SERVER_STREAMING)

class WebClient {
  readonly #client: GrpcWebClientBase
  readonly #origin: string

  constructor(port: number, format: 'text' | 'binary') {
    this.#client = new GrpcWebClientBase({ format })
    this.#origin = `http://127.0.0.1:${port}`
  }

  unary(message: string, meta: Metadata = {}): Promise<string | RpcError> {
    return new Promise((resolve) => {
      this.#client.rpcCall(`${this.#origin}/test.Echo/Unary`, Buffer.from(message), meta, UNARY, (error, response) =>
        resolve(error ?? Buffer.from(response).toString()),
      )
    })
  }

  download(asked: string, meta: Metadata = {}) {
    return this.#client.serverStreaming(`${this.#origin}/test.Echo/Download`, Buffer.from(asked), meta, DOWNLOAD)
  }
}

async function gatewayTo(scope: Scope, script: EchoScript = {}): Promise<InProcess> {
  const server = await echoServer(scope, script)
  return grpcGateway(scope, { upstreams: [server.port] })
}

for (const format of ['text', 'binary'] as const)
  describe(`the official client of gRPC-Web, in ${format}`, () => {
    it('gets messages and statuses of unary calls', async (t) => {
      const gateway = await gatewayTo(t)
      const client = new WebClient(gateway.port, format)
      for (const message of ['', 'a', 'hello', 'x'.repeat(100_001)]) {
        const response = await client.unary(message)
        // The client takes an empty message for none.
        if (message !== '') assert.equal(response, message)
      }
      const error = (await client.unary('', { 'x-status': '5' })) as RpcError
      assert.deepEqual([error.code, error.message], [5, 'status 5 für alle'])
      await until(() => gateway.log().length === 5)
      assert.deepEqual(
        gateway.log().map((line) => [line.status, line.grpcStatus, line.protocol]),
        [0, 0, 0, 0, 5].map((code) => [200, code, 'HTTP/1.1']),
      )
    })

    it('gets the status of what the gateway refuses', async (t) => {
      const gateway = await grpcGateway(t, { upstreams: [] })
      const error = (await new WebClient(gateway.port, format).unary('x')) as RpcError
      assert.equal(error.code, 14)
      assert.match(error.message, /^The backend has no usable endpoint \(NoEndpoint, request /)
    })
  })

describe('the official client of gRPC-Web, streaming in text', () => {
  it('gets each message as it comes, and the status', async (t) => {
    const sendNext = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const gateway = await gatewayTo(t, {
      async download(call) {
        call.write(Buffer.from('first'))
        await sendNext[0]!.promise
        call.write(Buffer.from('the second'))
        await sendNext[1]!.promise
        call.end()
      },
    })
    const stream = new WebClient(gateway.port, 'text').download('')
    const messages: string[] = []
    // Each is sent once the one before has come.
    stream.on('data', (message) => {
      messages.push(Buffer.from(message).toString())
      sendNext[messages.length - 1]!.resolve()
    })
    const status = await new Promise<number>((resolve) => stream.on('status', ({ code }) => resolve(code)))
    assert.deepEqual([messages, status], [['first', 'the second'], 0])
  })

  it('gets 1,000 messages', async (t) => {
    const gateway = await gatewayTo(t)
    const stream = new WebClient(gateway.port, 'text').download('1000 101')
    let count = 0
    stream.on('data', (message) => {
      assert.equal(message.length, 101)
      count++
    })
    await new Promise<void>((resolve) => stream.on('end', resolve))
    assert.equal(count, 1_000)
  })

  it('gets DEADLINE_EXCEEDED at the deadline that it states', async (t) => {
    let cancelled = 0
    const gateway = await gatewayTo(t, {
      download(call) {
        call.write(Buffer.from('first'))
        call.on('cancelled', () => cancelled++)
      },
    })
    const stream = new WebClient(gateway.port, 'text').download('', { deadline: String(Date.now() + 300) })
    const error = await new Promise<RpcError>((resolve) => stream.on('error', resolve))
    assert.equal(error.code, 4)
    await until(() => cancelled === 1)
  })

  it('cancels the call at the server', async (t) => {
    const cancelled = Promise.withResolvers<void>()
    const gateway = await gatewayTo(t, {
      download(call) {
        call.write(Buffer.from('first'))
        call.on('cancelled', () => cancelled.resolve())
      },
    })
    const stream = new WebClient(gateway.port, 'text').download('')
    await new Promise((resolve) => stream.on('data', resolve))
    stream.cancel()
    await cancelled.promise
    await until(() => gateway.log().length === 1)
    assert.equal(gateway.log()[0]!.reason, 'ClientGone')
  })
})
