/** A span or moment in milliseconds. */
export type Milliseconds = number

/** Time is passed in, so that everything above the edges can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For dates, logs and expiry that a person reads. */
  wall(): Milliseconds
  /** Monotonic milliseconds since an arbitrary moment; for deadlines and durations. */
  monotonic(): Milliseconds
}

/** A source of chance: uniform in [0, 1). */
export type Random = () => number
