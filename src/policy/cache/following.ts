/** A request waits for the head of a response that another request is fetching. */
import type { FillState, FillUnderWay } from '../../cache/response-memory.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Exchange } from '../exchange.ts'
import type { RequestDecision } from '../filter.ts'
import type { FilterServices } from '../services.ts'

type Decision = RequestDecision | Promise<RequestDecision>

/** What it does then. */
export interface Follower {
  /** The head is there. */
  begun(): Decision
  /** There is no more to wait for: it is stored, recorded or has failed. */
  over(state: FillState): Decision
  /** It has waited long enough. */
  late(): Decision
}

/** @param patience how long. @returns rejects with what the follower throws */
export function follow(
  x: Exchange,
  fetch: FillUnderWay,
  patience: Milliseconds,
  timers: FilterServices['timers'],
  follower: Follower,
): Promise<RequestDecision> {
  const { promise, resolve, reject } = Promise.withResolvers<RequestDecision>()
  let settled = false
  /** Callbacks of the memory must not throw. */
  const settle = (decide: () => Decision): void => {
    if (settled) return
    settled = true
    stopTimer()
    try {
      resolve(x.ended ? undefined : decide())
    } catch (error) {
      fetch.cancel()
      reject(error as Error)
    }
  }
  const stopTimer = timers.after(Math.max(0, patience), () => {
    if (!settled) fetch.cancel()
    settle(() => follower.late())
  })
  x.signal.addEventListener('abort', () => {
    if (!settled) fetch.cancel()
    settle(() => undefined)
  })
  const changed = (): void => {
    const { state } = fetch
    if (settled || state === 'waiting') return
    if (state === 'filling') return settle(() => follower.begun())
    fetch.cancel()
    settle(() => follower.over(state))
  }
  fetch.follow(changed)
  if (fetch.state !== 'waiting') timers.nextTurn(changed)
  return promise
}
