/** A service of gRPC by grpc-js, with methods of all four kinds, and its client. Messages are bytes. */
import {
  type CallOptions,
  ChannelCredentials,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  ServerCredentials as Credentials,
  Metadata,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js'

const bytes = (message: Buffer): Buffer => message
const METHODS = { Unary: [false, false], Upload: [true, false], Download: [false, true], Chat: [true, true] } as const
export type EchoMethod = keyof typeof METHODS

const PATHS = Object.fromEntries(Object.keys(METHODS).map((name) => [name, `/test.Echo/${name}`]))

const DEFINITION = Object.fromEntries(
  Object.entries(METHODS).map(([name, [requestStream, responseStream]]) => [
    name,
    {
      path: PATHS[name]!,
      requestStream,
      responseStream,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  ]),
) as ServiceDefinition

/** What the service does with a call beyond echoing it. */
export interface EchoScript {
  unary?(call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void
  upload?(call: ServerReadableStream<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void
  download?(call: ServerWritableStream<Buffer, Buffer>): void
  chat?(call: ServerDuplexStream<Buffer, Buffer>): void
}

export class EchoServer {
  readonly port: number
  readonly #server: Server

  constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  /** Takes no more connections or calls; those under way go on. */
  drain(): Promise<void> {
    return new Promise((resolve) => this.#server.tryShutdown(() => resolve()))
  }

  /** Breaks off whatever is under way. */
  kill(): void {
    this.#server.forceShutdown()
  }
}

export async function echoServer(
  scope: { after(end: () => void): void },
  script: EchoScript = {},
  { options = {}, credentials = Credentials.createInsecure(), port = 0 }: EchoServerOptions = {},
): Promise<EchoServer> {
  const server = new Server({ 'grpc.max_receive_message_length': -1, ...options })
  server.addService(DEFINITION, {
    Unary: script.unary?.bind(script) ?? unary,
    Upload: script.upload?.bind(script) ?? upload,
    Download: script.download?.bind(script) ?? download,
    Chat: script.chat?.bind(script) ?? chat,
  })
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, got) => (error === null ? resolve(got) : reject(error))),
  )
  const echo = new EchoServer(server, bound)
  scope.after(() => echo.kill())
  return echo
}

export interface EchoServerOptions {
  readonly options?: ChannelOptions
  readonly credentials?: ServerCredentials
  readonly port?: number
}

/** Returns message and metadata; `x-status` asks for a status instead. */
function unary(call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void {
  const meta = new Metadata()
  for (const name of Object.keys(call.metadata.getMap()))
    if (name.startsWith('x-')) for (const value of call.metadata.get(name)) meta.add(name, value)
  const [wanted] = call.metadata.get('x-status')
  if (wanted !== undefined) {
    respond({ code: Number(wanted), details: `status ${wanted} für alle`, metadata: meta })
    return
  }
  call.sendMetadata(meta)
  const trailers = new Metadata()
  trailers.set('x-late-bin', Buffer.from([0, 1, 255]))
  respond(null, call.request, trailers)
}

/** Returns how many messages and bytes have come. */
function upload(call: ServerReadableStream<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void {
  let count = 0
  let size = 0
  call.on('data', (message: Buffer) => {
    count++
    size += message.length
  })
  call.on('end', () => respond(null, Buffer.from(`${count} ${size}`)))
}

/** Sends as many messages as asked: `COUNT SIZE`. */
function download(call: ServerWritableStream<Buffer, Buffer>): void {
  const [count = 0, size = 0] = call.request.toString().split(' ').map(Number)
  let sent = 0
  const go = (): void => {
    while (sent < count) {
      sent++
      if (!call.write(Buffer.alloc(size, sent))) return void call.once('drain', go)
    }
    call.end()
  }
  go()
}

/** Each message back, with back-pressure. */
function chat(call: ServerDuplexStream<Buffer, Buffer>): void {
  call.on('data', (message: Buffer) => {
    if (call.write(message)) return
    call.pause()
    call.once('drain', () => call.resume())
  })
  call.on('end', () => call.end())
}

export interface CallOutcome {
  readonly code: number
  readonly details: string
  readonly message: Buffer | undefined
  readonly metadata: Metadata | undefined
  readonly trailers: Metadata
}

export interface UnaryCall {
  readonly outcome: Promise<CallOutcome>
  cancel(): void
}

export class EchoClient extends Client {
  constructor(port: number, options: ChannelOptions = {}, credentials = ChannelCredentials.createInsecure()) {
    super(`127.0.0.1:${port}`, credentials, {
      'grpc.max_receive_message_length': -1,
      'grpc.enable_http_proxy': 0,
      // Clients to the same address share their connections otherwise.
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    })
  }

  unary(
    message: Uint8Array | string,
    meta: Readonly<Record<string, string | Buffer>> = {},
    options: CallOptions = {},
  ): UnaryCall {
    const { promise, resolve } = Promise.withResolvers<CallOutcome>()
    let head: Metadata | undefined
    let response: Buffer | undefined
    const asked = Buffer.from(message as string)
    const call = this.makeUnaryRequest(
      PATHS.Unary!,
      bytes,
      bytes,
      asked,
      metadataOf(meta),
      options,
      (_error, value) => {
        response = value
      },
    )
    call.on('metadata', (metadata) => (head = metadata))
    call.on('status', ({ code, details, metadata }) =>
      resolve({ code, details, message: response, metadata: head, trailers: metadata }),
    )
    return { outcome: promise, cancel: () => call.cancel() }
  }

  upload(
    done: (error: Error | null, response?: Buffer) => void,
    options: CallOptions = {},
  ): ClientWritableStream<Buffer> {
    return this.makeClientStreamRequest(PATHS.Upload!, bytes, bytes, new Metadata(), options, done)
  }

  download(count: number, size: number, options: CallOptions = {}): ClientReadableStream<Buffer> {
    const asked = Buffer.from(`${count} ${size}`)
    return this.makeServerStreamRequest(PATHS.Download!, bytes, bytes, asked, new Metadata(), options)
  }

  chat(options: CallOptions = {}): ClientDuplexStream<Buffer, Buffer> {
    return this.makeBidiStreamRequest(PATHS.Chat!, bytes, bytes, new Metadata(), options)
  }
}

export function metadataOf(values: Readonly<Record<string, string | Buffer>>): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(values)) metadata.set(name, value)
  return metadata
}
