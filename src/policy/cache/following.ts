/** A request waits for the head of a response that another request is fetching. */
import type { FillState, FillUnderWay, HeldEntry, ResponseMemory } from '../../cache/response-memory.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Exchange } from '../exchange.ts'
import type { RequestDecision } from '../filter.ts'
import type { FilterServices } from '../services.ts'
import { followOf } from './claims.ts'
import type { PartPlace } from './part-place.ts'
import { KEY, type KeyRule } from './request-key.ts'

type Decision = RequestDecision | Promise<RequestDecision>

/** Who asks for a range so many bytes ahead of what has been fetched of the whole asks the origin for it. */
const MAX_AHEAD = 1024 * 1024

/**
 * A range is asked for, whose key is in `KEY`, and somebody is fetching the whole: it is read along.
 *
 * @returns held null: there is no head yet; null: nobody is, or it takes too long to get there
 */
export function wholeUnderWay(
  memory: ResponseMemory,
  { wholeLength, asked }: PartPlace,
  rule: KeyRule,
): { readonly fetch: FillUnderWay; readonly held: HeldEntry | null } | null {
  const fetch = followOf(memory, { bytes: KEY.bytes, length: wholeLength }, rule)
  if (fetch === null) return null
  if (fetch.state === 'waiting') return { fetch, held: null }
  const held = fetch.hold()
  if (held !== null && asked.first !== -1 && asked.first <= held.written + MAX_AHEAD) return { fetch, held }
  held?.release()
  fetch.cancel()
  return null
}

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
