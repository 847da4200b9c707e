/** Events of an exchange: of its client and its deadlines, and the single exit for its failures. */
import type { GatewayError } from '../lib/error.ts'
import type { Fields } from '../message/fields.ts'
import { TRAILED } from '../policy/attribute.ts'
import type { Downstream, DownstreamHandler, IncomingRequest } from '../transport/downstream.ts'
import { nextAttempt, slow, timedOut } from './attempt-loop.ts'
import { clientLeaves } from './client-leaves.ts'
import { leaseDue } from './credential-lease.ts'
import { overdue } from './deadlines.ts'
import { ProxyExchange } from './exchange.ts'
import type { ExchangeContext } from './exchange-context.ts'
import { cut, fail } from './failure.ts'
import { isRecurring } from './recurring.ts'
import { RequestBody } from './request-body.ts'
import { partOf } from './split.ts'

export class ClientExchange extends ProxyExchange implements DownstreamHandler {
  constructor(context: ExchangeContext, downstream: Downstream, incoming: IncomingRequest) {
    super(context, downstream, incoming)
    if (incoming.bodyLength !== 0) this.body = new RequestBody(this)
  }

  get divided(): boolean {
    return this.ruleView!.divided
  }

  part(): string | null {
    return partOf(this)
  }

  get recurs(): boolean {
    return isRecurring(this)
  }

  onRequestBody(chunk: Buffer): boolean {
    if (this.ended) return true
    this.lastActivity = this.context.timers.now
    return this.body!.data(chunk)
  }

  onRequestEnd(trailers: Fields | null): void {
    if (this.ended || this.body === null) return
    if (trailers !== null) this.set(TRAILED, true)
    this.body.end(trailers)
  }

  onRequestFailed(error: GatewayError): void {
    fail(this, error)
  }

  onClientDrain(): void {
    if (this.ended) return
    this.lastActivity = this.context.timers.now
    this.attempt?.clientDrained()
    this.localBody?.drained()
  }

  /** Clients of gRPC over HTTP/1.1 are browsers, which end a connection to cancel its call. */
  onClientEnd(): boolean {
    return this.call === null
  }

  onClientGone(detail: string): void {
    if (!this.ended) clientLeaves(this, detail)
  }

  expired(now: number): void {
    if (this.ended) return
    const failure = overdue(this, now)
    if (this.answering) cut(this)
    else if (failure !== null) timedOut(this, failure)
    else if (this.leaseAt > 0 && now >= this.leaseAt) leaseDue(this)
    else if (this.retryAt > 0 && now >= this.retryAt) nextAttempt(this)
    else if (this.hedgeAt > 0 && now >= this.hedgeAt) slow(this)
    else this.watch()
  }

  fail(error: unknown): void {
    fail(this, error)
  }
}
