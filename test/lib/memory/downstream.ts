/** Clients in memory: each request a stream of its own, as over HTTP/2. */
import { GatewayError } from '../../../src/lib/error.ts'
import type { Duplex } from '../../../src/message/duplex.ts'
import type { Fields } from '../../../src/message/fields.ts'
import type { ResponseHead } from '../../../src/message/head.ts'
import type { CompleteResponse } from '../../../src/message/local-response.ts'
import type {
  Downstream,
  DownstreamHandler,
  IncomingRequest,
  RequestHandler,
  ResponseProgress,
} from '../../../src/transport/downstream.ts'
import type { Peer } from '../../../src/transport/peer.ts'
import type {
  Asking,
  ClientRequest,
  FieldMap,
  ReceivedHead,
  ReceivedResponse,
  TunnelEnd,
} from '../../suite/transport-rig.ts'
import { Channel, pieces } from './channel.ts'
import { MemoryTunnel } from './duplex.ts'
import { laidOut, readFields } from './fields.ts'

export interface MemoryListener {
  readonly handler: RequestHandler
  readonly peer: Peer
  /** Streams that are open. */
  readonly open: Set<MemoryDownstream>
}

interface Held {
  readonly bytes: number
  readonly deliver: () => void
}

/** The gateway's side of one request. */
export class MemoryDownstream implements Downstream, ResponseProgress {
  readonly peer: Peer
  readonly client: MemoryRequest
  readonly #listener: MemoryListener
  readonly #request: Channel
  readonly #response: Channel
  #handler: DownstreamHandler | null = null
  /** What was gathered. */
  #held: Held[] = []
  #headOut = false
  #bodyless = false
  #taken = 0
  #gathered = 0
  #lost = 0
  #bodyOver: boolean
  #ended = false
  #over = false

  constructor(listener: MemoryListener, asking: Asking, client: MemoryRequest) {
    this.peer = listener.peer
    this.client = client
    this.#listener = listener
    this.#request = new Channel(() => client.drained())
    this.#response = new Channel(() => this.#handler?.onClientDrain())
    const request = incoming(asking)
    this.#bodyOver = request.bodyLength === 0
    listener.open.add(this)
    listener.handler.connectionOpened(this.peer.listener)
    queueMicrotask(() => {
      if (this.#over) return
      this.#bodyless = request.method === 'HEAD'
      const handler = listener.handler.begin(this, request)
      if (this.#ended) return
      this.#handler = handler
      if (this.#bodyOver) handler.onRequestEnd(null)
    })
  }

  // ---- the client ----

  /** @returns false: wait */
  receive(bytes: Buffer): boolean {
    return this.#request.push(bytes.length, () => {
      if (this.#handler?.onRequestBody(Buffer.from(bytes)) === false) this.#request.pause()
    })
  }

  receiveEnd(pairs: FieldMap): void {
    const { fields } = laidOut(pairs)
    this.#request.push(0, () => {
      this.#bodyOver = true
      this.#handler?.onRequestEnd(fields.count === 0 ? null : fields)
    })
  }

  get unread(): number {
    return this.#request.buffered
  }

  reading(paused: boolean): void {
    if (paused) this.#response.pause()
    else this.#response.resume()
  }

  vanish(): void {
    if (this.#over) return
    this.#lost = this.#response.buffered
    this.#close()
    const handler = this.#handler
    this.#handler = null
    this.#ended = true
    handler?.onClientGone('closed')
  }

  /** As a drain ends a connection at its deadline. */
  destroy(): void {
    this.#handler?.onRequestFailed(new GatewayError('ShuttingDown'))
    this.vanish()
  }

  #close(): void {
    if (this.#over) return
    this.#over = true
    this.#request.cut()
    this.#response.cut()
    this.#listener.open.delete(this)
    this.#listener.handler.connectionClosed(this.peer.listener)
    this.client.over()
  }

  // ---- the gateway ----

  sendInformational(status: number, fields: Fields | null): void {
    const head = { status, fields: readFields(fields) }
    this.#hold(0, () => this.client.interim.push(head))
    this.flush()
  }

  sendHead(head: ResponseHead): void {
    if (this.#ended) return
    const { status, bodyLength } = head
    if (status === 204 || status === 304) this.#bodyless = true
    const fields = readFields(head.fields)
    if (status === 204) delete fields['content-length']
    else if (bodyLength !== undefined && status !== 304 && !(this.#bodyless && bodyLength === 0))
      fields['content-length'] ??= `${bodyLength}`
    else if (bodyLength === undefined) delete fields['content-length']
    this.#hold(0, () => this.client.takeHead({ status, fields }))
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (this.#ended || this.#bodyless || start === end) return
    const copy = Buffer.from(bytes.subarray(start, end))
    this.#taken += copy.length
    this.#gathered += copy.length
    this.#hold(copy.length, () => this.client.take(copy))
    if (this.#gathered > 32 * 1024) this.flush()
  }

  get room(): boolean {
    return this.#ended || this.#response.room
  }

  sendEnd(trailers: Fields | null): void {
    if (this.#ended) return
    this.#end(trailers)
    this.#finish()
  }

  sendEarlyEnd(trailers: Fields | null): boolean {
    if (this.#ended) return false
    this.#end(trailers)
    return true
  }

  endRest(): void {
    if (!this.#ended) this.#finish()
  }

  #end(trailers: Fields | null): void {
    const read = readFields(trailers)
    this.#hold(0, () => this.client.takeEnd(read))
    this.flush()
  }

  #finish(): void {
    this.#ended = true
    this.#handler = null
    // A stream is closed once its response has been read.
    this.#response.push(0, () => this.#close())
  }

  sendComplete(response: CompleteResponse): void {
    const { status, fields, text } = response
    const body = text === undefined ? response.body : Buffer.from(text, 'latin1')
    this.sendHead({ status, fields, bodyLength: body?.length ?? 0 })
    if (body !== null) this.sendBody(Buffer.from(body), 0, body.length)
    this.sendEnd(null)
  }

  get progress(): ResponseProgress {
    return this
  }

  retract(): boolean {
    if (this.#headOut && this.client.began) return false
    if (this.#headOut && !this.#over) return false
    this.#held = []
    this.#taken = 0
    this.#gathered = 0
    return true
  }

  get bodySent(): number {
    return Math.max(0, this.#taken - this.#gathered - this.#lost)
  }

  get lost(): number {
    return this.#lost
  }

  #hold(bytes: number, deliver: () => void): void {
    if (!this.#ended) this.#held.push({ bytes, deliver })
  }

  flush(): void {
    const held = this.#held
    if (held.length === 0) return
    this.#held = []
    this.#gathered = 0
    this.#headOut = true
    for (const { bytes, deliver } of held) this.#response.push(bytes, deliver)
  }

  resumeBody(): void {
    if (!this.#ended) this.#request.resume()
  }

  abort(): void {
    if (this.#ended) return
    this.#ended = true
    this.#handler = null
    this.#lost = this.#response.buffered
    this.#close()
  }

  upgrade(head: ResponseHead, protocol: string): Duplex {
    const tunnel = new MemoryTunnel(() => this.#close())
    const received = { status: head.status, fields: { ...readFields(head.fields), upgrade: protocol } }
    this.#ended = true
    this.#handler = null
    this.#response.push(0, () => this.client.takeUpgrade(received, tunnel.outer))
    return tunnel
  }
}

function incoming(asking: Asking): IncomingRequest {
  const { method = 'GET', path = '/', fields: pairs = {}, length, body, upgrade = null } = asking
  const { fields } = laidOut(pairs)
  const bodyLength = length === 'unknown' ? -1 : (length ?? body?.length ?? 0)
  if (bodyLength > 0) fields.set('content-length', `${bodyLength}`)
  return {
    protocol: 'HTTP/2',
    method,
    authority: 'rig.test',
    authorityMoved: true,
    target: path,
    fields,
    bodyLength,
    expectContinue: false,
    acceptsTrailers: true,
    upgrade,
    cdnLoop: false,
  }
}

/** The client's side. */
export class MemoryRequest implements ClientRequest {
  readonly #downstream: MemoryDownstream
  readonly #wait: <T>(promise: Promise<T>) => Promise<T>
  readonly #head = Promise.withResolvers<ReceivedHead>()
  readonly #whole = Promise.withResolvers<ReceivedResponse>()
  readonly #upgraded = Promise.withResolvers<TunnelEnd>()
  readonly #waiting: Buffer[] = []
  #ending: FieldMap | null = null
  readonly #body: Buffer[] = []
  #received: ReceivedHead | null = null
  #paused = false
  readonly interim: ReceivedHead[] = []

  constructor(listener: MemoryListener, asking: Asking, wait: <T>(promise: Promise<T>) => Promise<T>) {
    this.#wait = wait
    for (const { promise } of [this.#head, this.#upgraded]) promise.catch(() => {})
    this.#downstream = new MemoryDownstream(listener, asking, this)
    if (asking.body !== undefined) {
      this.write(asking.body)
      this.end()
    }
  }

  write(bytes: string | Buffer): void {
    this.#waiting.push(...pieces(bytes))
    this.drained()
  }

  drained(): void {
    while (this.#waiting.length > 0) if (!this.#downstream.receive(this.#waiting.shift()!)) return
    if (this.#ending !== null) this.#downstream.receiveEnd(this.#ending)
    this.#ending = null
  }

  end(trailers: FieldMap = {}): void {
    this.#ending = trailers
    if (this.#waiting.length === 0) this.drained()
  }

  get unsent(): number {
    let waiting = this.#downstream.unread
    for (const part of this.#waiting) waiting += part.length
    return waiting
  }

  pause(): void {
    this.#paused = true
    if (this.began) this.#downstream.reading(true)
  }

  resume(): void {
    this.#paused = false
    this.#downstream.reading(false)
  }

  head(): Promise<ReceivedHead> {
    return this.#wait(this.#head.promise)
  }

  response(): Promise<ReceivedResponse> {
    return this.#wait(this.#whole.promise)
  }

  upgraded(): Promise<TunnelEnd> {
    return this.#wait(this.#upgraded.promise)
  }

  vanish(): void {
    this.#downstream.vanish()
  }

  // ---- what comes ----

  get began(): boolean {
    return this.#received !== null
  }

  takeHead(head: ReceivedHead): void {
    this.#received = head
    if (this.#paused) this.#downstream.reading(true)
    this.#head.resolve(head)
  }

  take(bytes: Buffer): void {
    this.#body.push(bytes)
  }

  takeEnd(trailers: FieldMap): void {
    const body = Buffer.concat(this.#body).toString('latin1')
    const length = this.#received!.fields['content-length']
    const { status } = this.#received!
    // A codec never sends more or less than it has promised.
    if (length !== undefined && body !== '' && Number(length) !== body.length)
      throw new Error(`${body.length} bytes of a body of ${length}`)
    this.#whole.resolve({ status, fields: this.#received!.fields, body, trailers, complete: true })
  }

  takeUpgrade(head: ReceivedHead, tunnel: TunnelEnd): void {
    this.#received = head
    this.#head.resolve(head)
    this.#upgraded.resolve(tunnel)
  }

  over(): void {
    const body = Buffer.concat(this.#body).toString('latin1')
    const { status, fields } = this.#received ?? { status: 0, fields: {} }
    this.#whole.resolve({ status, fields, body, trailers: {}, complete: false })
    this.#head.reject(new Error('no response'))
    this.#upgraded.reject(new Error(`not upgraded: ${status} ${body}`))
  }
}
