/** A duration or point in time, in milliseconds. */
export type Milliseconds = number

/** Time is injected, so that the pure layers can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For dates, logs and visible expiry times. */
  wall(): Milliseconds
  /** Monotonic milliseconds since an arbitrary moment; for deadlines and durations. */
  monotonic(): Milliseconds
}

/** The contract of all timers: injected, so that tests and dry runs control the time. */
export interface TimerClock extends Clock {
  /** Runs once. @returns a function that cancels it, callable at any time */
  after(delay: Milliseconds, run: () => void): () => void
  /** Runs periodically. @returns a function that cancels it */
  every(interval: Milliseconds, run: () => void): () => void
  /** Runs in the next turn of the event loop, behind what is ready to run now. @returns cancels it */
  nextTurn(run: () => void): () => void
}

/** A random source, uniform in [0, 1). */
export type Random = () => number
