/** Runs the request filters of the rule, which pass the request or respond themselves. */
import { type ChainResult, runRequest } from '../policy/chain.ts'
import { forward } from './attempt-loop.ts'
import type { ProxyExchange } from './exchange.ts'
import { respond } from './local-response.ts'

export function filterRequest(x: ProxyExchange): void {
  const { chain } = x.linked!
  if (chain === null) return forward(x)
  const result = runRequest(chain, x)
  if (result instanceof Promise) {
    x.deciding = true
    x.watch()
    result.then(
      (late) => decided(x, late),
      (error: unknown) => x.fail(error),
    )
  } else decided(x, result)
}

function decided(x: ProxyExchange, result: ChainResult): void {
  // A deadline may have passed meanwhile, so that its local response is being sent.
  if (x.ended || x.answering || result?.type === 'ended') return
  x.deciding = false
  try {
    if (result?.type === 'respond') respond(x, result.response, result.from)
    else forward(x)
  } catch (error) {
    x.fail(error)
  }
}
