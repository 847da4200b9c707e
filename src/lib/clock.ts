/** A span or moment in milliseconds. */
export type Milliseconds = number

/** Time is passed in, so that everything above the edges can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For dates, logs and expiry that a person reads. */
  wall(): Milliseconds
  /** Monotonic milliseconds since an arbitrary moment; for deadlines and durations. */
  monotonic(): Milliseconds
}

/** The contract of every timer: whatever waits takes one, so that tests and dry runs advance time themselves. */
export interface TimerClock extends Clock {
  /** Runs once. @returns cancels it; may be called at any time, also afterwards */
  after(delay: Milliseconds, run: () => void): () => void
  /** Runs again and again. @returns ends it */
  every(interval: Milliseconds, run: () => void): () => void
  /** Runs in the next turn of the event loop, behind what is ready to run now. @returns cancels it */
  nextTurn(run: () => void): () => void
}

/** A source of chance: uniform in [0, 1). */
export type Random = () => number
