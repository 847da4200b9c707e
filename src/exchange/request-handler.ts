/**
 * The way of a request, from the top: admitted → routed → filtered → attempts → response → ended, each a file of this
 * room that calls the next and none before it. A plain request runs from its head to the upstream's connection in one
 * turn of the loop without a promise.
 */
import type { GatewayError } from '../lib/error.ts'
import type { CompleteResponse } from '../message/local-response.ts'
import { problemResponse } from '../policy/problem.ts'
import { makeRequestId } from '../policy/request-id/request-id.ts'
import type {
  Downstream,
  DownstreamHandler,
  IncomingRequest,
  RefusedRequest,
  RepeatedBytes,
  RequestHandler,
  TakeBuffer,
} from '../transport/downstream.ts'
import type { Peer, PeerListener } from '../transport/peer.ts'
import { recordRefusal } from './access-record.ts'
import { admit } from './admission.ts'
import { forward } from './attempt-loop.ts'
import { ClientExchange } from './client-exchange.ts'
import type { ExchangeContext } from './exchange-context.ts'
import { filterRequest } from './filtering.ts'
import { opaqueConnection, routeConnection } from './passthrough.ts'
import { route } from './routing.ts'

export class ProxyRequestHandler implements RequestHandler {
  readonly #context: ExchangeContext

  constructor(context: ExchangeContext) {
    this.#context = context
  }

  begin(downstream: Downstream, incoming: IncomingRequest): DownstreamHandler {
    const context = this.#context
    const x = new ClientExchange(context, downstream, incoming)
    context.active++
    if (incoming.protocol === 'HTTP/2') context.streams++
    context.metrics.exchangeStarted()
    try {
      if (admit(x) && route(x)) filterRequest(x)
    } catch (error) {
      x.fail(error)
    }
    return x
  }

  repeat(peer: Peer, bytes: Buffer, length: number, take: TakeBuffer): RepeatedBytes | string | null {
    const { clients, recurring } = this.#context
    const trusted = clients.trusts && clients.trustsPeer(peer)
    const repeat = recurring.find(peer, trusted, bytes, length)
    if (repeat === null) return null
    let client = peer.address
    let id = ''
    const { report } = recurring
    if (report !== null) {
      if (report.client >= 0) {
        const { address, hops } = clients.reported(recurring.value(bytes, report.client))
        // Other elements of the other lists are those that count.
        if (hops !== report.hops) return null
        client = address ?? client
      }
      if (report.id >= 0) id = recurring.value(bytes, report.id)
    }
    const response = repeat.again(peer, client, id, take)
    if (response === null) recurring.lapsed()
    return response
  }

  /**
   * A TLS connection that is not ended here: to the backends of the rule that its hostname has for it.
   *
   * @param serverName in normal form
   */
  passThrough(downstream: Downstream, serverName: string): DownstreamHandler {
    const context = this.#context
    const x = new ClientExchange(context, downstream, opaqueConnection(serverName))
    context.active++
    context.metrics.exchangeStarted()
    try {
      if (routeConnection(x)) forward(x)
    } catch (error) {
      x.fail(error)
    }
    return x
  }

  refused(peer: Peer, error: GatewayError, request: RefusedRequest): CompleteResponse {
    const context = this.#context
    const id = makeRequestId(context.random)
    context.metrics.exchangeStarted()
    const response = problemResponse(error.reason, { id })
    const bytesOut = request.method === 'HEAD' ? 0 : (response.body?.length ?? 0)
    recordRefusal(context, { peer, error, request, id, bytesOut })
    return response
  }

  connectionOpened(listener: PeerListener): void {
    this.#context.metrics.connectionOpened(listener.metricsRow)
  }

  connectionClosed(listener: PeerListener): void {
    this.#context.metrics.connectionClosed(listener.metricsRow)
  }
}
