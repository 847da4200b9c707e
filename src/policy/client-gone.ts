/** Asks the filters of an exchange whether it goes on when its client leaves. */
import type { Milliseconds } from '../lib/clock.ts'
import type { Chain } from './chain.ts'
import type { Exchange } from './exchange.ts'

/** @returns the longest time that a filter asks for which was entered; 0 = it ends */
export function runClientGone(chain: Chain, x: Exchange): Milliseconds {
  let longest = 0
  for (const hook of chain.clientGone ?? []) {
    if (hook.position >= x.entered) break
    try {
      longest = Math.max(longest, hook.run(x))
    } catch (error) {
      chain.report(hook.name, error)
    }
  }
  return longest
}
