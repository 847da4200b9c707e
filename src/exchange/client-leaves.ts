/** The client has left: its exchange ends, or goes on without it where a filter asks for that. */
import { runClientGone } from '../policy/client-gone.ts'
import type { ProxyExchange } from './exchange.ts'
import { clientGone } from './failure.ts'
import { NoClient } from './no-client.ts'

export function clientLeaves(x: ProxyExchange, detail: string): void {
  if (!goesOn(x, detail)) clientGone(x, detail)
}

function goesOn(x: ProxyExchange, detail: string): boolean {
  const { chain, context, downstream } = x
  if (chain === null || chain.clientGone === null || !isFetch(x) || !context.unattended.hasRoomFor(x)) return false
  const time = runClientGone(chain, x)
  // A filter may have ended it meanwhile.
  if (x.ended) return true
  if (!(time > 0)) return false
  const isTold = x.headSent && !downstream.progress.retract()
  x.left = { at: context.timers.now, status: isTold ? x.status : 0, detail }
  x.downstream = new NoClient(downstream)
  context.unattended.add(x, time, context.timers.now)
  // The client may have been the slow side.
  x.attempt?.clientDrained()
  if (!x.ended) x.watch()
  return true
}

/** It is a request, complete, whose response an upstream gives or is to give. */
function isFetch({ opaque, upgrade, call, restOnly, answering, localBody, body }: ProxyExchange): boolean {
  if (opaque || upgrade !== null || call !== null || restOnly || answering || localBody !== null) return false
  return body === null || body.complete
}
