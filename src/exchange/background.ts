/** Begins exchanges that no client waits for, and gives their responses to whoever wants them. */
import { GatewayError } from '../lib/error.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import { FRAMING_FIELDS } from '../message/framing-fields.ts'
import type { ResponseHead } from '../message/head.ts'
import type {
  BackgroundRequest,
  BackgroundSink,
  BackgroundExchange as Begun,
  BackgroundExchanges as Exchanges,
} from '../policy/background.ts'
import type { Exchange } from '../policy/exchange.ts'
import type { Downstream, IncomingRequest, ResponseProgress } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import { forward, forwardTo } from './attempt-loop.ts'
import { ClientExchange } from './client-exchange.ts'
import { ProxyExchange } from './exchange.ts'

export class BackgroundExchanges implements Exchanges {
  readonly #nextTurn: (run: () => void) => void

  /** @param nextTurn runs a function in the next turn of the event loop, behind the request that is repeated */
  constructor(nextTurn: (run: () => void) => void) {
    this.#nextTurn = nextTurn
  }

  begin(cause: Exchange, request: BackgroundRequest, sink: BackgroundSink): Begun | null {
    if (!(cause instanceof ProxyExchange) || cause.ended || cause.opaque) return null
    if (cause.tables === null && cause.backend === null) return null
    const { unattended } = cause.context
    if (unattended.closed || !unattended.hasRoomFor(cause)) return null
    const client = new SinkClient(cause.downstream.peer, sink)
    const x = new BackgroundExchange(cause, incomingOf(cause, request), client)
    unattended.add(x, request.timeout, cause.context.timers.now)
    cause.context.waiting.add(x)
    this.#nextTurn(() => start(x, request.body))
    return client.of(x)
  }
}

function start(x: BackgroundExchange, body: Uint8Array | undefined): void {
  if (x.ended) return
  try {
    if (body !== undefined) {
      x.onRequestBody(Buffer.from(body.buffer, body.byteOffset, body.byteLength))
      x.onRequestEnd(null)
    }
    if (x.ended) return
    if (x.backend === null) forward(x)
    else forwardTo(x, x.backend)
  } catch (error) {
    x.fail(error)
  } finally {
    x.context.waiting.remove(x)
  }
}

function incomingOf(cause: ProxyExchange, { method, edit, body }: BackgroundRequest): IncomingRequest {
  const fields = cause.request.copy()
  for (const name of FRAMING_FIELDS) fields.remove(name)
  fields.remove('expect')
  edit?.(fields)
  const bodyLength = body?.length ?? 0
  if (bodyLength > 0) fields.set('content-length', `${bodyLength}`)
  // No stream of a client's connection, whatever that speaks.
  const protocol = 'HTTP/1.1' as const
  return { ...cause.incoming, protocol, method, fields, bodyLength, expectContinue: false, upgrade: null }
}

class BackgroundExchange extends ClientExchange {
  readonly #id: string

  constructor(cause: ProxyExchange, incoming: IncomingRequest, downstream: Downstream) {
    super(cause.context, downstream, incoming)
    this.background = true
    this.#id = cause.id
    this.host = cause.host
    this.path = cause.path
    this.query = cause.query
    this.originalPath = cause.originalPath
    this.clientAddress = cause.clientAddress
    this.trusted = cause.trusted
    this.forwarding = cause.forwarding
    this.tables = cause.tables
    // One that has been forwarded keeps the share of the split that it has got.
    if (cause.tables === null) this.backend = cause.backend
    this.ruleView = cause.ruleView
    this.draw = cause.draw
    this.matchedPrefix = cause.matchedPrefix
    this.upstreamHost = cause.upstreamHost
    this.linked = cause.linked
    this.shareAttributes(cause)
    Object.assign(this.deadline, cause.limits)
    this.linked!.enter()
    this.context.active++
  }

  override get id(): string {
    return this.#id
  }
}

/** Stands in the client's place. */
class SinkClient implements Downstream, ResponseProgress {
  readonly peer: Peer
  readonly lost = 0
  bodySent = 0
  room = true
  readonly #sink: BackgroundSink
  #x: BackgroundExchange | null = null
  /** The sink hears no more. */
  #over = false

  constructor(peer: Peer, sink: BackgroundSink) {
    this.peer = peer
    this.#sink = sink
  }

  /** @returns what whoever began the exchange does with it */
  of(x: BackgroundExchange): Begun {
    this.#x = x
    return {
      resume: () => {
        if (this.room) return
        this.room = true
        x.onClientDrain()
      },
      abort: () => {
        this.#over = true
        x.onClientGone('its response is not needed any more')
      },
    }
  }

  sendHead(head: ResponseHead): void {
    if (this.#over) return
    try {
      this.#sink.head(head)
    } catch (error) {
      this.#broken(error)
    }
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (this.#over) return
    this.bodySent += end - start
    try {
      this.room = this.#sink.data(bytes, start, end)
    } catch (error) {
      this.#broken(error)
    }
  }

  sendEnd(trailers: Fields | null): void {
    this.#last(() => this.#sink.end(trailers))
  }

  /** The response is the gateway's own: no upstream has given one. */
  sendComplete(): void {
    this.abort()
  }

  abort(): void {
    const { reason, detail } = this.#x!
    this.#last(() => this.#sink.fail(new GatewayError(reason ?? 'InternalError', detail)))
  }

  #last(tell: () => void): void {
    if (this.#over) return
    this.#over = true
    try {
      tell()
    } catch (error) {
      this.#x!.context.unexpected(error)
    }
  }

  #broken(error: unknown): void {
    const x = this.#x!
    x.context.unexpected(error)
    this.#over = true
    x.onClientGone('who was to have the response failed')
  }

  get progress(): ResponseProgress {
    return this
  }

  retract(): boolean {
    return false
  }

  sendEarlyEnd(): boolean {
    return false
  }

  sendInformational(): void {}
  endRest(): void {}
  flush(): void {}
  resumeBody(): void {}

  upgrade(): Duplex {
    throw new TypeError('an exchange without a client cannot switch protocols')
  }
}
