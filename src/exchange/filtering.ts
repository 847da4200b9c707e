/** Runs the request filters of the rule, once they are warm; they pass the request or respond themselves. */
import { GatewayError } from '../lib/error.ts'
import type { WarmUp } from '../link/warm-up.ts'
import { type Chain, type ChainResult, runRequest } from '../policy/chain.ts'
import { forward } from './attempt-loop.ts'
import { followCall } from './credential-lease.ts'
import type { ProxyExchange } from './exchange.ts'
import { respond } from './local-response.ts'

export function filterRequest(x: ProxyExchange): void {
  const { chain } = x
  const { pending } = x.linked!
  if (chain === null) return forward(x)
  if (pending !== null) return awaitWarmUp(x, chain, pending)
  runFilters(x, chain)
}

/** No filter has been entered: one that is not warm sees nothing of the exchange, and a refusal passes none. */
function awaitWarmUp(x: ProxyExchange, chain: Chain, pending: WarmUp): void {
  if (pending.failed) throw notWarm()
  x.context.waiting.add(x)
  x.watch()
  const cancel = pending.wait(() => {
    try {
      if (pending.failed) throw notWarm()
      runFilters(x, chain)
    } catch (error) {
      x.fail(error)
    }
  })
  // The client may go, or a deadline pass: such exchanges do not pile up here.
  x.signal.addEventListener('abort', cancel)
}

function notWarm(): GatewayError {
  return new GatewayError('InternalError', 'a filter of its policies could not be warmed up')
}

function runFilters(x: ProxyExchange, chain: Chain): void {
  const result = runRequest(chain, x)
  if (result instanceof Promise) {
    x.deciding = true
    x.context.waiting.add(x)
    x.watch()
    result.then(
      (late) => decided(x, late),
      (error: unknown) => {
        x.context.waiting.remove(x)
        x.fail(error)
      },
    )
  } else decided(x, result)
}

function decided(x: ProxyExchange, result: ChainResult): void {
  try {
    // A deadline may have passed meanwhile, so that its local response is being sent.
    if (x.ended || x.answering || result?.type === 'ended') return
    x.deciding = false
    if (result?.type === 'respond') respond(x, result.response, result.from)
    else {
      followCall(x)
      forward(x)
    }
  } catch (error) {
    x.fail(error)
  } finally {
    if (x.waits) x.context.waiting.remove(x)
  }
}
