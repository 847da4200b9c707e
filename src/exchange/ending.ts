/** Ended: exactly once, whatever has happened; everything that the exchange holds is given back. */
import { runEnd } from '../policy/chain.ts'
import { recordExchange, summaryOf } from './access-record.ts'
import type { ProxyExchange } from './exchange.ts'

export function finish(x: ProxyExchange): void {
  if (x.ended) return
  x.ended = true
  const { context } = x
  context.timers.disarm(x)
  x.body?.abort()
  x.localBody?.abort()
  x.attempt?.close(x.reason)
  x.attempt = null
  x.fireSignal()
  x.share?.exit()
  if (x.counted) context.endpoints.release(context.worker, x.backend!.slot)
  const { linked } = x
  if (linked !== null) {
    if (linked.chain !== null) runEnd(linked.chain, x, summaryOf)
    linked.leave()
  }
  context.active--
  recordExchange(x)
}

/** The response is out, and the rest of the request's body has gone to the upstream or goes no further. */
export function endRest(x: ProxyExchange): void {
  x.downstream.endRest()
  finish(x)
}
