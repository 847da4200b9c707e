/** Endpoints that speak HTTP/2 in clear: servers of node:http2. */
import { once } from 'node:events'
import {
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo } from 'node:net'
import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { realTimers } from '../socket/sockets.ts'
import type { FieldMap, Scope, ServedRequest, TunnelEnd } from '../suite/transport-rig.ts'
import { type ConnectionCounter, fieldMap, type SocketUpstreams } from './socket-rig.ts'

/** Requests that a connection carries at a time: as the servers announce. */
export const STREAMS = 4

export const H2C_UPSTREAMS: SocketUpstreams = { serve: serveH2c, connector: new H2cConnector(realTimers()) }

async function serveH2c(
  scope: Scope,
  script: (request: ServedRequest) => void,
  counter: ConnectionCounter,
): Promise<number> {
  const settings = { enableConnectProtocol: true, maxConcurrentStreams: STREAMS }
  const server = createServer({ settings })
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => {
    counter.connections++
    sessions.add(session)
    session.on('error', () => {})
    session.on('close', () => sessions.delete(session))
  })
  server.on('stream', (stream, headers) => script(new StreamServed(stream as ServerHttp2Stream, headers)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(() => {
    server.close()
    for (const session of sessions) session.destroy()
  })
  return (server.address() as AddressInfo).port
}

function fieldsOf(headers: IncomingHttpHeaders): FieldMap {
  const fields = Object.entries(headers).filter(([name]) => !name.startsWith(':'))
  return fieldMap(Object.fromEntries(fields))
}

class StreamServed implements ServedRequest {
  readonly #stream: ServerHttp2Stream
  readonly #body: Buffer[] = []
  readonly #whole = Promise.withResolvers<string>()
  readonly method: string
  readonly target: string
  readonly fields: FieldMap
  #trailers: FieldMap = {}
  #ending: FieldMap | null = null
  received = 0
  gone = false

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#stream = stream
    this.method = `${headers[':method']}`
    this.target = `${headers[':path']}`
    const protocol = headers[':protocol']
    // As scripts know them from HTTP/1.1.
    this.fields = {
      ...fieldsOf(headers),
      host: `${headers[':authority']}`,
      ...(protocol === undefined ? {} : { upgrade: `${protocol}` }),
    }
    stream.on('trailers', (trailers) => (this.#trailers = fieldsOf(trailers)))
    stream.on('wantTrailers', () => stream.sendTrailers({ ...this.#ending }))
    stream.on('error', () => {})
    stream.on('close', () => {
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) this.gone = true
    })
    if (protocol !== undefined) return
    stream.on('data', (part: Buffer) => {
      this.received += part.length
      this.#body.push(part)
    })
    stream.on('end', () => this.#whole.resolve(Buffer.concat(this.#body).toString('latin1')))
  }

  body(): Promise<string> {
    return this.#whole.promise
  }

  get trailers(): FieldMap {
    return this.#trailers
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  interim(status: number, fields: FieldMap): void {
    this.#stream.additionalHeaders({ ':status': status, ...fields })
  }

  head(status: number, fields: FieldMap = {}): void {
    const { trailer: _, ...others } = fields
    this.#stream.respond({ ':status': status, ...others }, { waitForTrailers: true })
  }

  write(bytes: string | Buffer): void {
    this.#stream.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  get unsent(): number {
    return this.#stream.writableLength
  }

  end(trailers: FieldMap = {}): void {
    this.#ending = trailers
    this.#stream.end()
  }

  respond(status: number, body = '', fields: FieldMap = {}): void {
    this.head(status, status === 204 ? fields : { 'content-length': `${body.length}`, ...fields })
    if (body !== '') this.write(body)
    this.end()
  }

  reset(): void {
    // Behind what was written before.
    setImmediate(() => this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR))
  }

  upgrade(protocol: string): TunnelEnd {
    this.#stream.respond({ ':status': 200, 'x-upgraded': protocol })
    return new StreamEnd(this.#stream)
  }
}

class StreamEnd implements TunnelEnd {
  readonly #stream: ServerHttp2Stream
  received = ''
  ended = false
  closed = false

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
    stream.on('data', (part: Buffer) => (this.received += part.toString('latin1')))
    stream.on('end', () => (this.ended = true))
    stream.on('close', () => {
      this.ended = true
      this.closed = true
    })
  }

  write(bytes: string | Buffer): void {
    this.#stream.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  end(): void {
    this.#stream.end()
  }

  destroy(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL)
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  get unsent(): number {
    return this.#stream.writableLength
  }
}
