/** The exchange with clients that speak HTTP/2 in clear text: node:http2 at one end, node:http at the other. */
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type {
  Asking,
  ClientRequest,
  FieldMap,
  ReceivedHead,
  ReceivedResponse,
  TransportRig,
  TunnelEnd,
} from '../suite/transport-rig.ts'
import { fieldMap, type SocketClients, socketGateway } from './socket-rig.ts'

export const h2Rig: TransportRig = {
  capacity: 1,
  plainUpgrades: false,
  large: 24 * 1024 * 1024,
  gateway: (scope, options) => socketGateway(scope, options, (port) => H2Clients.connect(port)),
}

/** All requests of a gateway on one connection. */
export class H2Clients implements SocketClients {
  readonly #session: ClientHttp2Session

  constructor(session: ClientHttp2Session) {
    this.#session = session
  }

  static async connect(port: number): Promise<H2Clients> {
    const session = connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    // Extended CONNECT waits for them.
    await once(session, 'remoteSettings')
    return new H2Clients(session)
  }

  ask(asking: Asking): ClientRequest {
    return new StreamRequest(this.#session, asking)
  }

  leave(): void {
    if (!this.#session.closed) this.#session.close()
  }

  close(): void {
    this.#session.destroy()
  }
}

function withoutPseudo(headers: IncomingHttpHeaders): FieldMap {
  return fieldMap(Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(':'))))
}

class StreamRequest implements ClientRequest {
  readonly #stream: ClientHttp2Stream
  readonly #head = Promise.withResolvers<ReceivedHead>()
  readonly #whole = Promise.withResolvers<ReceivedResponse>()
  readonly #upgraded = Promise.withResolvers<TunnelEnd>()
  readonly #body: Buffer[] = []
  #received: ReceivedHead | null = null
  #trailers: FieldMap = {}
  #over = false
  #ending: FieldMap = {}
  readonly interim: ReceivedHead[] = []

  constructor(session: ClientHttp2Session, { method = 'GET', path = '/', fields, length, body, upgrade }: Asking) {
    for (const { promise } of [this.#head, this.#upgraded]) promise.catch(() => {})
    const headers: OutgoingHttpHeaders = {
      ':method': upgrade === undefined ? method : 'CONNECT',
      ':scheme': 'http',
      ':authority': 'rig.test',
      ':path': path,
      ...fields,
    }
    if (upgrade !== undefined) headers[':protocol'] = upgrade
    if (typeof length === 'number' || body !== undefined) headers['content-length'] = length ?? body!.length
    const endStream = length === undefined && body === undefined && upgrade === undefined
    // Node ends with a failed assertion where a stream that waits for trailers is reset.
    const stream = session.request(headers, { endStream, waitForTrailers: fields?.trailer !== undefined })
    this.#stream = stream
    stream.on('headers', (head) => this.interim.push({ status: head[':status']!, fields: withoutPseudo(head) }))
    stream.on('response', (head) => this.#respond(head, upgrade !== undefined))
    stream.on('trailers', (trailers) => (this.#trailers = withoutPseudo(trailers)))
    stream.on('wantTrailers', () => stream.sendTrailers({ ...this.#ending }))
    stream.on('end', () => this.#end(stream.rstCode === constants.NGHTTP2_NO_ERROR))
    stream.on('error', () => {})
    stream.on('close', () => this.#end(false))
    if (body !== undefined) this.write(body)
    if (length === undefined && upgrade === undefined) this.end()
  }

  #respond(headers: IncomingHttpHeaders & IncomingHttpStatusHeader, upgrade: boolean): void {
    const head = { status: headers[':status']!, fields: withoutPseudo(headers) }
    this.#received = head
    this.#head.resolve(head)
    if (upgrade && head.status === 200) {
      this.#upgraded.resolve(new StreamEnd(this.#stream))
      return
    }
    this.#stream.on('data', (part: Buffer) => this.#body.push(part))
    if (this.#over) this.#stream.pause()
  }

  #end(complete: boolean): void {
    const { status, fields } = this.#received ?? { status: 0, fields: {} }
    const body = Buffer.concat(this.#body).toString('latin1')
    this.#whole.resolve({ status, fields, body, trailers: this.#trailers, complete })
    this.#head.reject(new Error('no response'))
    this.#upgraded.reject(new Error(`not upgraded: ${status}`))
  }

  write(bytes: string | Buffer): void {
    this.#stream.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  end(trailers: FieldMap = {}): void {
    this.#ending = trailers
    this.#stream.end()
  }

  get unsent(): number {
    return this.#stream.writableLength
  }

  pause(): void {
    this.#over = true
    if (this.#received !== null) this.#stream.pause()
  }

  resume(): void {
    this.#over = false
    this.#stream.resume()
  }

  head(): Promise<ReceivedHead> {
    return this.#head.promise
  }

  response(): Promise<ReceivedResponse> {
    return this.#whole.promise
  }

  upgraded(): Promise<TunnelEnd> {
    return this.#upgraded.promise
  }

  vanish(): void {
    this.#stream.destroy(new Error('gone'))
  }
}

class StreamEnd implements TunnelEnd {
  readonly #stream: ClientHttp2Stream
  received = ''
  ended = false
  closed = false

  constructor(stream: ClientHttp2Stream) {
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
    this.#stream.destroy(new Error('gone'))
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
