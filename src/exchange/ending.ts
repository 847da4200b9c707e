/** Ends an exchange exactly once, and releases everything that it holds. */
import type { NamespaceShare } from '../limit/upstream-budget.ts'
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
  if (x.incoming.protocol === 'HTTP/2') context.streams--
  leaveBackend(x)
  const { linked } = x
  if (linked !== null) {
    if (x.chain !== null) runEnd(x.chain, x, summaryOf)
    linked.leave()
  }
  context.active--
  if (x.unattendedUntil > 0) context.unattended.remove(x)
  if (x.waits) context.waiting.remove(x)
  if (!x.background) recordExchange(x)
}

/** Its places at the Backend are others' again. */
export function leaveBackend(x: ProxyExchange): void {
  if (x.share !== null) giveShare(x, x.share)
  x.share = null
  if (x.counted) x.backend!.requestPlaces.give()
  x.counted = false
}

export function giveShare({ incoming }: ProxyExchange, share: NamespaceShare): void {
  if (incoming.protocol === 'HTTP/2') share.exitStream()
  else share.exit()
}

/** The response is sent, and the rest of the request's body was forwarded or dropped. */
export function endRest(x: ProxyExchange): void {
  x.downstream.endRest()
  finish(x)
}
