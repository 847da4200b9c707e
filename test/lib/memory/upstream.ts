/** Upstreams in memory: a connector, the sessions it opens, and the requests as a script of the test serves them. */
import type { Endpoint } from '../../../src/balance/endpoint.ts'
import { GatewayError } from '../../../src/lib/error.ts'
import type { Fields } from '../../../src/message/fields.ts'
import type { Connector, PendingConnection, SessionOwner, UpstreamSession } from '../../../src/transport/connector.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../../../src/transport/upstream.ts'
import type { FieldMap, ServedRequest, TunnelEnd, UpstreamScript } from '../../suite/transport-rig.ts'
import { Channel, pieces } from './channel.ts'
import { MemoryTunnel } from './duplex.ts'
import { laidOut, readFields } from './fields.ts'

export class MemoryConnector implements Connector {
  /** By port. */
  readonly scripts: Map<number, UpstreamScript>
  /** Requests that each connection made from now on carries at a time. */
  capacity: number
  /** Connections that were made so far. */
  connections = 0
  readonly open = new Set<MemorySession>()

  constructor(scripts: Map<number, UpstreamScript>, capacity: number) {
    this.scripts = scripts
    this.capacity = capacity
  }

  connect(endpoint: Endpoint, owner: SessionOwner): PendingConnection {
    const script = this.scripts.get(endpoint.port) ?? 'refusing'
    let cancelled = false
    queueMicrotask(() => {
      if (cancelled || script === 'deaf') return
      if (script === 'refusing') {
        owner.connectFailed(new GatewayError('ConnectFailure', `${endpoint.authority}: refused`))
        return
      }
      this.connections++
      const session = new MemorySession(script, this.capacity, owner, () => this.open.delete(session))
      this.open.add(session)
      owner.connected(session)
    })
    return { cancel: () => (cancelled = true) }
  }
}

/** Of several requests at a time, each a stream of its own; of one, a request that is given up ends the connection. */
export class MemorySession implements UpstreamSession {
  readonly #script: (request: ServedRequest) => void
  readonly #owner: SessionOwner
  readonly #closed: () => void
  readonly streams = new Set<MemoryStream>()
  readonly idleTimeout = 0
  capacity: number
  /** It takes no more requests. */
  leaving = false
  #open = true

  constructor(script: (request: ServedRequest) => void, capacity: number, owner: SessionOwner, closed: () => void) {
    this.#script = script
    this.capacity = capacity
    this.#owner = owner
    this.#closed = closed
  }

  get active(): number {
    return this.streams.size
  }

  get usable(): boolean {
    return this.#open && !this.leaving && this.streams.size < this.capacity
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler, reused: boolean): void {
    const stream = new MemoryStream(request, handler, this)
    this.streams.add(stream)
    queueMicrotask(() => this.#script(stream.served))
    handler.onStream(stream, reused)
  }

  /** @param broken nothing on this connection is to be believed any more */
  ended(stream: MemoryStream, broken: boolean): void {
    if (!this.streams.delete(stream)) return
    if (broken && this.capacity === 1) this.destroy()
    else if (this.#open) this.#owner.available()
  }

  destroy(): void {
    if (!this.#open) return
    this.#open = false
    this.#closed()
    this.#owner.closed()
    const streams = [...this.streams]
    this.streams.clear()
    for (const stream of streams) stream.lost('closed')
  }
}

export class MemoryStream implements UpstreamStream {
  readonly #session: MemorySession
  readonly #request: Channel
  readonly #response: Channel
  #handler: UpstreamHandler | null
  readonly served: Served
  /** The gateway has sent all of the request; the upstream all of its response. */
  #requestEnded: boolean
  #responseEnded = false
  #answering = false
  readonly takesRest = true

  constructor(request: UpstreamRequest, handler: UpstreamHandler, session: MemorySession) {
    this.#session = session
    this.#handler = handler
    this.#requestEnded = request.bodyLength === 0
    this.served = new Served(request, this)
    this.#request = new Channel(() => this.#handler?.onDrain())
    this.#response = new Channel(() => this.served.drained())
    if (this.#requestEnded) this.served.bodyEnded({})
  }

  // ---- the gateway ----

  write(chunk: Uint8Array): boolean {
    if (this.#requestEnded) return true
    const copy = Buffer.from(chunk)
    return this.#request.push(copy.length, () => this.served.take(copy))
  }

  end(trailers: Fields | null): void {
    if (this.#requestEnded) return
    this.#requestEnded = true
    const read = readFields(trailers)
    this.#request.push(0, () => this.served.bodyEnded(read))
    if (!this.#responseEnded) return
    // As over HTTP/1.1: a connection that answered before it had the request is not used again.
    this.#handler = null
    this.#session.ended(this, true)
  }

  get sending(): boolean {
    return this.#responseEnded && !this.#requestEnded
  }

  pause(): void {
    this.#response.pause()
  }

  resume(): void {
    this.#response.resume()
  }

  abort(): void {
    this.#handler = null
    this.#cut()
    this.served.gone = true
    this.#session.ended(this, true)
  }

  // ---- the upstream ----

  readBody(paused: boolean): void {
    if (paused) this.#request.pause()
    else this.#request.resume()
  }

  get unsent(): number {
    return this.#response.buffered
  }

  /** @returns false: wait */
  send(bytes: Buffer): boolean {
    return this.#response.push(bytes.length, () => {
      const read = Buffer.from(bytes)
      this.#handler?.onData(read, 0, read.length)
      // Whoever keeps what was only lent to him finds this.
      read.fill('#')
      this.#handler?.onBatchEnd()
    })
  }

  sendHead(status: number, pairs: FieldMap, bodyLength: number | undefined): void {
    this.#response.push(0, () => {
      this.#answering = true
      const { fields, bytes } = laidOut(pairs)
      if (status === 101) return
      if (status < 200) this.#handler?.onInformational(status, fields)
      else this.#handler?.onHead({ status, fields, bodyLength })
      bytes.fill('#')
      this.#handler?.onBatchEnd()
    })
  }

  sendEnd(pairs: FieldMap): void {
    this.#response.push(0, () => {
      const handler = this.#handler
      if (handler === null) return
      this.#responseEnded = true
      const { fields, bytes } = laidOut(pairs)
      if (this.#requestEnded) {
        this.#handler = null
        this.#session.ended(this, false)
      }
      handler.onEnd(fields.count === 0 ? null : fields)
      bytes.fill('#')
      handler.onBatchEnd()
    })
  }

  sendUpgrade(pairs: FieldMap): TunnelEnd {
    const tunnel = new MemoryTunnel(() => this.#session.ended(this, true))
    this.#response.push(0, () => {
      const handler = this.#handler
      this.#handler = null
      handler?.onUpgrade({ status: 101, fields: laidOut(pairs).fields, bodyLength: 0 }, tunnel)
    })
    return tunnel.outer
  }

  /** Behind what was sent before. */
  sendReset(): void {
    this.#response.push(0, () => {
      if (this.#session.capacity === 1) return this.#session.destroy()
      this.lost('reset')
      this.#session.ended(this, true)
    })
  }

  lost(how: string): void {
    const handler = this.#handler
    this.#handler = null
    this.#cut()
    this.served.gone = true
    handler?.onError(new GatewayError(this.#answering ? 'UpstreamTruncated' : 'ResetBeforeResponse', how))
  }

  #cut(): void {
    this.#request.cut()
    this.#response.cut()
  }
}

class Served implements ServedRequest {
  readonly #stream: MemoryStream
  readonly method: string
  readonly target: string
  readonly fields: FieldMap
  readonly #body: Buffer[] = []
  readonly #whole = Promise.withResolvers<string>()
  readonly #waiting: Buffer[] = []
  #ending: FieldMap | null = null
  received = 0
  trailers: FieldMap = {}
  gone = false

  constructor(request: UpstreamRequest, stream: MemoryStream) {
    this.#stream = stream
    this.method = request.method
    this.target = request.target
    const fields = readFields(request.fields)
    for (const block of [request.forwarding, request.passed])
      for (let i = 0; i < block.pairs.length; i += 2) fields[block.pairs[i]!] = block.pairs[i + 1]!
    fields['x-request-id'] = request.id
    if (request.acceptsTrailers) fields.te = 'trailers'
    if (request.host !== undefined) fields.host = request.host
    if (request.upgrade !== null) fields.upgrade = request.upgrade
    this.fields = fields
  }

  take(bytes: Buffer): void {
    this.received += bytes.length
    this.#body.push(bytes)
  }

  bodyEnded(trailers: FieldMap): void {
    this.trailers = trailers
    this.#whole.resolve(Buffer.concat(this.#body).toString('latin1'))
  }

  body(): Promise<string> {
    return this.#whole.promise
  }

  pause(): void {
    this.#stream.readBody(true)
  }

  resume(): void {
    this.#stream.readBody(false)
  }

  interim(status: number, fields: FieldMap): void {
    this.#stream.sendHead(status, fields, 0)
  }

  head(status: number, fields: FieldMap = {}): void {
    const length = fields['content-length']
    const bodyless = this.method === 'HEAD' || status === 204 || status === 304
    this.#stream.sendHead(status, fields, bodyless ? 0 : length === undefined ? undefined : Number(length))
  }

  write(bytes: string | Buffer): void {
    this.#waiting.push(...pieces(bytes))
    this.drained()
  }

  drained(): void {
    while (this.#waiting.length > 0) if (!this.#stream.send(this.#waiting.shift()!)) return
    if (this.#ending !== null) this.#stream.sendEnd(this.#ending)
    this.#ending = null
  }

  get unsent(): number {
    let waiting = this.#stream.unsent
    for (const part of this.#waiting) waiting += part.length
    return waiting
  }

  end(trailers: FieldMap = {}): void {
    this.#ending = trailers
    if (this.#waiting.length === 0) this.drained()
  }

  respond(status: number, body = '', fields: FieldMap = {}): void {
    const bodyless = this.method === 'HEAD' || status === 204 || status === 304
    this.head(status, status === 204 ? fields : { 'content-length': `${body.length}`, ...fields })
    if (!bodyless) this.write(body)
    this.end()
  }

  reset(): void {
    this.#stream.sendReset()
  }

  upgrade(protocol: string): TunnelEnd {
    return this.#stream.sendUpgrade({ 'x-upgraded': protocol })
  }
}
