/** A request that an endpoint with an adaptive limit has to answer: it counts until the head of its response. */
import type { Endpoint } from '../balance/endpoint.ts'
import type { Reason } from '../lib/reason.ts'
import type { LinkedBackend } from '../link/linked-tables.ts'
import type { ExchangeContext } from './exchange-context.ts'

/** What a server says or does that has no room. */
const NO_ROOM: readonly number[] = [429, 503]
const TIMEOUTS: readonly Reason[] = ['ConnectTimeout', 'ResponseHeadTimeout', 'BackendRequestTimeout', 'RequestTimeout']

export class Unanswered {
  readonly #context: ExchangeContext
  readonly #backend: LinkedBackend
  readonly #slot: number
  #counts = false

  /** It counts from now on. */
  constructor(context: ExchangeContext, backend: LinkedBackend, endpoint: Endpoint) {
    this.#context = context
    this.#backend = backend
    this.#slot = endpoint.slot
    this.resume()
  }

  /** The client sends its body, at its own pace: meanwhile the endpoint has nothing to answer. */
  pause(): void {
    if (!this.#counts) return
    this.#counts = false
    const { adaptiveLimits, worker } = this.#context
    adaptiveLimits.ended(worker, this.#slot, this.#backend.plan.adaptiveLimit)
  }

  resume(): void {
    const config = this.#backend.plan.adaptiveLimit
    if (this.#counts || config === undefined) return
    this.#counts = true
    const { adaptiveLimits, worker } = this.#context
    adaptiveLimits.started(worker, this.#slot, config)
  }

  /** @param latency milliseconds for which the endpoint had all of the request; -1 where it had not */
  answered(status: number, latency: number): void {
    if (latency >= 0) this.#observe(latency, NO_ROOM.includes(status))
    this.pause()
  }

  /** It ends without an answer, or has been answered. */
  over(failure: Reason | null): void {
    if (this.#counts && failure !== null && TIMEOUTS.includes(failure)) this.#observe(0, true)
    this.pause()
  }

  #observe(latency: number, dropped: boolean): void {
    const config = this.#backend.plan.adaptiveLimit
    const { adaptiveLimits, timers } = this.#context
    if (config !== undefined) adaptiveLimits.observe(this.#slot, latency, dropped, config, timers.now)
  }
}

/** @returns null for an endpoint without such a limit, which nearly all are */
export function countUnanswered(context: ExchangeContext, backend: LinkedBackend, to: Endpoint): Unanswered | null {
  return backend.plan.adaptiveLimit === undefined ? null : new Unanswered(context, backend, to)
}
