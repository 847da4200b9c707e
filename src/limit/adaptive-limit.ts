/**
 * How many requests an endpoint may have to answer at a time, found out by what they take: a gradient between its
 * latency now and its latency while it is not busy, as of Netflix's concurrency limits (`Gradient2Limit`, "Performance
 * Under Load", 2018) and Envoy's adaptive concurrency filter. Both come from congestion control: what waits in a queue
 * of the server makes everything slower and nothing sooner (Little's law; TCP Vegas, Brakmo & Peterson 1995).
 *
 * - A window closes with enough observations. Where the latency is above the tolerance, the limit is multiplied by the
 *   gradient, plus room for a queue of its square root; where it is not and the limit is needed, the limit grows.
 * - Responses that say "too much" (429, 503) and time-outs are congestion too: more than a tenth of them lowers the
 *   limit by a tenth, as in AIMD.
 * - The latency of an endpoint that is not busy cannot be seen while it is. A long average of what is seen drifts
 *   upward under lasting overload, and the limit with it; so it is measured now and then, as by Envoy and BBR
 *   (PROBE_RTT, Cardwell et al. 2016): for a moment the endpoint gets a quarter of its limit. That happens only where
 *   requests have met the limit, and not to all endpoints at a time.
 *
 * All workers share what they know. The limit is a mark in the state of the endpoint (`SLOT_STATE.full`) that is set
 * where a request starts and cleared where one ends, so every balancer passes over it at no cost to others. Workers
 * that start requests in the same instant may exceed it by one each.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { ConcurrencyWindow, EndpointConcurrency } from '../shared-memory/endpoint-concurrency.ts'
import { type EndpointTable, SLOT_STATE } from '../shared-memory/endpoint-table.ts'
import { timeSince } from '../shared-memory/time-words.ts'

export interface AdaptiveLimitConfig {
  /** From 1. */
  readonly minRequests: number
  readonly maxRequests: number
  /** Above 1: a latency of so many times that of an endpoint that is not busy is no congestion. */
  readonly tolerance: number
}

/** A window lasts for so long and has so many observations, at least. */
const WINDOW: Milliseconds = 100
const OBSERVATIONS = 25
/** An endpoint of which nothing is known is taken to bear so many, or twice what it has. */
const INITIAL = 100
/** Weight of one window. */
const SMOOTHING = 0.3
const LEAST_GRADIENT = 0.5
/** Share of refusals that is congestion, and what remains of the limit then. */
const DROPPED = 0.1
const BACK_OFF = 0.9
/** Instead of a latency: nothing is known, and the first window is over. */
const FIRST_WINDOW = -1
/** Weights of one window in the latency of an endpoint that is not busy. */
const SOONER = 0.2
const LATER = 0.1
/**
 * That is measured with this part of the limit. First what was under way ends, which takes so many times the mean
 * latency: of requests that begin together the quick ones are answered first. Then it lasts for so many times that.
 */
const MEASURED_PART = 0.25
const SETTLED = 2
const MEANS = 3
const LEAST_MEASUREMENT: Milliseconds = 50
const LONGEST_MEASUREMENT: Milliseconds = 3_000
/** Fewer requests in that time make it longer, up to twice as long, and fewer than these say nothing. */
const MEASURED = 20
const LEAST_MEASURED = 5
/** A latency of this part of another one is a lower one. */
const FALLS = 0.75
/** Time between two measurements, three quarters to five quarters of it; and where the limit has changed much. */
const MEASURE_EVERY: Milliseconds = 30_000
const MEASURE_SOON: Milliseconds = 2_000
const MUCH_LESS = 0.7

export class AdaptiveLimits {
  readonly #table: EndpointTable
  readonly #cells: EndpointConcurrency

  constructor(table: EndpointTable) {
    this.#table = table
    this.#cells = table.concurrency
  }

  /** Requests that the endpoint may have to answer now. */
  limitOf(slot: number, { minRequests, maxRequests }: AdaptiveLimitConfig): number {
    const known = this.#cells.limit(slot)
    if (known === 0) return maxRequests
    const limit = Math.min(known, maxRequests) * MEASURED_PART ** this.#cells.depth(slot)
    return Math.max(minRequests, Math.floor(limit))
  }

  /** The endpoint has one more request to answer. */
  started(worker: number, slot: number, config: AdaptiveLimitConfig): void {
    const { unanswered } = this.#table
    unanswered.add(worker, slot, 1)
    const requests = unanswered.sum(slot)
    if (this.#cells.limit(slot) === 0) this.#begin(slot, requests, config)
    this.#cells.raisePeak(slot, requests)
    if (requests >= this.limitOf(slot, config)) this.#table.setFull(slot, true)
  }

  /**
   * It has one fewer: exactly once for each that started.
   *
   * @param config as it is now; undefined: it has no such limit any more
   */
  ended(worker: number, slot: number, config: AdaptiveLimitConfig | undefined): void {
    this.#table.unanswered.add(worker, slot, -1)
    this.#clear(slot, config)
  }

  /**
   * What one request has met there. Before {@link AdaptiveLimits.ended}.
   *
   * @param latency milliseconds for which the endpoint had all of the request
   * @param dropped it was refused for lack of room, or not answered in time
   * @param now monotonic, of a clock that all threads share
   */
  observe(slot: number, latency: Milliseconds, dropped: boolean, config: AdaptiveLimitConfig, now: Milliseconds): void {
    const cells = this.#cells
    const since = cells.measuringSince(slot)
    // What began before a measurement says nothing in it.
    const counts = since === 0 || timeSince(since, now) >= (cells.measuringFor(slot) * SETTLED) / MEANS
    if (counts) cells.observe(slot, latency, dropped)
    const over = since === 0 ? cells.isOver(slot, OBSERVATIONS, WINDOW, now) : this.#isMeasured(slot, now)
    if (!over) return
    const window = cells.close(slot, this.#table.unanswered.sum(slot), now)
    if (window === undefined) return
    if (since === 0) this.#judge(slot, window, config, now)
    else this.#measured(slot, window, config, now)
    this.#clear(slot, config)
  }

  #isMeasured(slot: number, now: Milliseconds): boolean {
    const duration = this.#cells.measuringFor(slot) * (1 + SETTLED / MEANS)
    return this.#cells.isOver(slot, MEASURED, duration, now) || this.#cells.isOver(slot, 0, 2 * duration, now)
  }

  #begin(slot: number, requests: number, config: AdaptiveLimitConfig): void {
    const limit = Math.max(INITIAL, 2 * Math.max(requests, this.#table.inFlight(slot)))
    this.#cells.setLimit(slot, within(limit, config))
  }

  #judge(slot: number, window: ConcurrencyWindow, config: AdaptiveLimitConfig, now: Milliseconds): void {
    const cells = this.#cells
    const before = cells.limit(slot)
    const limit = within(this.#next(slot, before, window, config), config)
    cells.setLimit(slot, limit)
    // Only where requests have met the limit is it worth to refuse some for a while.
    if (window.peak >= Math.floor(before) && this.#isDue(slot, limit < before, limit, config, now))
      this.#measure(slot, 1, window.mean, 0, now)
  }

  #isDue(slot: number, less: boolean, limit: number, { minRequests }: AdaptiveLimitConfig, now: Milliseconds): boolean {
    const last = this.#cells.measuredAt(slot)
    if (last === 0) return less
    const soon = limit <= minRequests || (less && limit < MUCH_LESS * this.#cells.measuredLimit(slot))
    return timeSince(last, now) >= (soon ? MEASURE_SOON : MEASURE_EVERY * (0.75 + 0.5 * scatter(slot, last)))
  }

  #next(slot: number, limit: number, window: ConcurrencyWindow, { tolerance }: AdaptiveLimitConfig): number {
    const cells = this.#cells
    const { count, dropped, mean, peak } = window
    if (dropped > DROPPED * count) return limit * BACK_OFF
    const base = cells.base(slot)
    if (base <= 0) {
      // In the first window only those have ended that were quick.
      cells.setBase(slot, base === 0 ? FIRST_WINDOW : mean)
      return limit
    }
    const gradient = Math.max(LEAST_GRADIENT, Math.min((tolerance * base) / mean, 1))
    if (mean < base) cells.setBase(slot, base + (mean - base) * SOONER)
    else if (gradient === 1 && peak < limit * MEASURED_PART) cells.setBase(slot, base + (mean - base) * LATER)
    if (gradient === 1) return peak < limit / 2 ? limit : limit + Math.max(Math.sqrt(limit), limit / 8)
    const next = limit + (limit * gradient + Math.sqrt(limit) - limit) * SMOOTHING
    // Latency that comes of something else: the limit stays above what is needed.
    return peak < limit / 2 ? Math.max(next, Math.min(limit, 2 * peak)) : next
  }

  #measure(slot: number, depth: number, mean: Milliseconds, before: Milliseconds, now: Milliseconds): void {
    const duration = Math.min(Math.max(MEANS * mean, LEAST_MEASUREMENT), LONGEST_MEASUREMENT)
    this.#cells.measure(slot, depth, duration, before, now)
    // What has been observed since the window closed began before.
    this.#cells.close(slot, this.#table.unanswered.sum(slot), now)
  }

  /**
   * With fewer requests it may still have been busy: where the latency is another one than before, even fewer show
   * whether it falls with them, until it does not.
   */
  #measured(slot: number, { count, dropped, mean }: ConcurrencyWindow, config: AdaptiveLimitConfig, now: number): void {
    const cells = this.#cells
    if (count - dropped < LEAST_MEASURED) return cells.measured(slot, now)
    const before = cells.before(slot)
    const base = cells.base(slot)
    const falls = mean < FALLS * (before === 0 ? base : before)
    const unsure = falls || (before === 0 && mean > config.tolerance * base)
    if (unsure && this.limitOf(slot, config) > config.minRequests)
      return this.#measure(slot, cells.depth(slot) + 1, mean, mean, now)
    cells.setBase(slot, mean)
    cells.measured(slot, now)
  }

  /** Whoever ends a request looks whether there is room: the last one that does finds every mark that was set. */
  #clear(slot: number, config: AdaptiveLimitConfig | undefined): void {
    if ((this.#table.state(slot) & SLOT_STATE.full) === 0) return
    if (config === undefined || this.#table.unanswered.sum(slot) < this.limitOf(slot, config))
      this.#table.setFull(slot, false)
  }
}

function within(limit: number, { minRequests, maxRequests }: AdaptiveLimitConfig): number {
  return Math.max(minRequests, Math.min(limit, maxRequests))
}

/** 0 … 1, another one for other endpoints at other times. */
function scatter(slot: number, time: number): number {
  return ((Math.imul(slot + 1, 0x9e3779b1) ^ Math.imul(time, 0x85ebca6b)) >>> 0) / 0x1_0000_0000
}
