/**
 * What requests to an endpoint have cost lately, learned by all workers together: the moving average of Peak EWMA
 * (Finagle, `com.twitter.finagle.loadbalancer.PeakEwma`, 2015; linkerd2-proxy, `tower::load::PeakEwma`). A latency
 * above the average replaces it at once, lower ones pull it down by exponential decay in time; while nothing is
 * observed it decays towards zero, so that an endpoint that was slow is tried again.
 *
 * Besides, the share of requests that failed is kept, which Finagle leaves to failure accrual: a server that fails at
 * once looks fast. `cost` is the expected time until a request has succeeded, a failure being priced like
 * {@link FAILURE_PRICE} of waiting.
 *
 * Two words for each slot, the bits of floating-point values, and two times, which are doubles: an endpoint serves for
 * longer than the 25 days of which 32 bits of milliseconds tell before from after. Neither are ever torn. Writers do
 * not wait for each other: of two observations in the same microsecond one may be lost.
 */
const SLOT_BYTES = 24
/** Words: */
const WORDS = SLOT_BYTES / Int32Array.BYTES_PER_ELEMENT
const LATENCY = 0
const FAILURES = 1
/** Doubles, behind the words: */
const DOUBLES = SLOT_BYTES / Float64Array.BYTES_PER_ELEMENT
/** Monotonic milliseconds of the last observation. */
const OBSERVED = 1
/** When the endpoint began to serve, by the same clock; 0 = unknown. */
const SINCE = 2

/** Milliseconds after which an observation weighs 1/e, as in Finagle and linkerd. */
export const DECAY = 10_000
/** Milliseconds of latency that a failed request is as bad as. */
export const FAILURE_PRICE = 250
/** Weight of one request in the share of failures: five failures in a row are a share of 28 %. */
const FAILURE_WEIGHT = 1 / 16
/** The share is never taken for more: an endpoint that always fails costs at most 50 times the price. */
const MOST_FAILURES = 0.98
/** Milliseconds. What took no measurable time is not unknown. */
const LEAST = 0.01

/** For the conversion between floating-point values and their bits; of this thread. */
const FLOAT = new Float32Array(1)
const BITS = new Int32Array(FLOAT.buffer)

export class EndpointLatency {
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #times: Float64Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
    this.#times = new Float64Array(buffer)
  }

  static allocate(slots: number): SharedArrayBuffer {
    return new SharedArrayBuffer(slots * SLOT_BYTES)
  }

  /**
   * One request of the endpoint was answered, or failed by its fault.
   *
   * @param latency until the head of the response, or until the failure
   * @param now monotonic milliseconds, of a clock that all threads share
   */
  observe(slot: number, latency: number, failed: boolean, now: number): void {
    const at = slot * WORDS
    const elapsed = this.#elapsed(slot, now)
    const kept = Math.exp(-elapsed / DECAY)
    const before = this.#read(at + LATENCY)
    const measured = Math.max(latency, LEAST)
    // A quick failure says nothing of how quick a response is, a late one does.
    if (measured >= before || (before === 0 && !failed)) this.#write(at + LATENCY, measured)
    else if (!failed) this.#write(at + LATENCY, Math.max(before * kept + measured * (1 - kept), LEAST))
    const share = this.#read(at + FAILURES) * kept
    this.#write(at + FAILURES, share + ((failed ? 1 : 0) - share) * FAILURE_WEIGHT)
    this.#times[slot * DOUBLES + OBSERVED] = now
  }

  /** Expected milliseconds of a request with nothing else in flight; 0 = nothing is known. */
  cost(slot: number, now: number): number {
    const at = slot * WORDS
    const latency = this.#read(at + LATENCY)
    const failures = this.#read(at + FAILURES)
    if (latency === 0 && failures === 0) return 0
    const kept = Math.exp(-this.#elapsed(slot, now) / DECAY)
    const share = Math.min(failures * kept, MOST_FAILURES)
    return latency * kept + (share / (1 - share)) * FAILURE_PRICE
  }

  /** The average as it was at the last observation, for people. */
  latency(slot: number): number {
    return this.#read(slot * WORDS + LATENCY)
  }

  /** The endpoint serves from now on: its share of a slow start begins. */
  began(slot: number, now: number): void {
    // 0 means unknown.
    this.#times[slot * DOUBLES + SINCE] = now || 1
  }

  /** Milliseconds for which the endpoint has served; infinite where that is unknown. */
  age(slot: number, now: number): number {
    const since = this.#times[slot * DOUBLES + SINCE]!
    return since === 0 ? Number.POSITIVE_INFINITY : Math.max(now - since, 0)
  }

  /** What was learned of it is no more than what made it be left out: it is to be found out anew. */
  forget(slot: number): void {
    this.#write(slot * WORDS + LATENCY, 0)
    this.#write(slot * WORDS + FAILURES, 0)
  }

  /** The slot belongs to another endpoint from now on. */
  clear(slot: number): void {
    this.forget(slot)
    this.#times[slot * DOUBLES + OBSERVED] = 0
    this.#times[slot * DOUBLES + SINCE] = 0
  }

  /** Milliseconds since the last observation. */
  #elapsed(slot: number, now: number): number {
    return Math.max(now - this.#times[slot * DOUBLES + OBSERVED]!, 0)
  }

  #read(at: number): number {
    BITS[0] = Atomics.load(this.#words, at)
    return FLOAT[0]!
  }

  #write(at: number, value: number): void {
    FLOAT[0] = value
    Atomics.store(this.#words, at, BITS[0]!)
  }
}
