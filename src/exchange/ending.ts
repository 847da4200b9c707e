/** Ends an exchange exactly once, and releases everything that it holds. */
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
  x.closeAttempts(x.reason)
  x.fireSignal()
  if (x.incoming.protocol === 'HTTP/2') {
    context.streams--
    x.share?.exitStream()
  } else x.share?.exit()
  if (x.counted) context.endpoints.release(context.worker, x.backend!.slot)
  const { linked } = x
  if (linked !== null) {
    if (x.chain !== null) runEnd(x.chain, x, summaryOf)
    linked.leave()
  }
  context.active--
  recordExchange(x)
}

/** The response is sent, and the rest of the request's body was forwarded or dropped. */
export function endRest(x: ProxyExchange): void {
  x.downstream.endRest()
  finish(x)
}
