/**
 * The queue M/M/c: what is known exactly of requests that arrive as a Poisson process, take exponential times, and are
 * worked on c at a time in the order of their arrival (Erlang 1917; Kleinrock, Queueing Systems 1, 1975, chapter 3).
 */
export interface Queue {
  /** Requests worked on at a time. */
  readonly parallel: number
  /** Milliseconds. */
  readonly mean: number
  /** Requests a millisecond; less than `parallel / mean`. */
  readonly rate: number
}

/** The share of requests that wait (Erlang's C formula). */
export function shareThatWaits({ parallel, mean, rate }: Queue): number {
  const offered = rate * mean
  // Erlang's B by its recursion, which overflows nowhere.
  let blocked = 1
  for (let i = 1; i <= parallel; i++) blocked = (offered * blocked) / (i + offered * blocked)
  return blocked / (1 - (offered / parallel) * (1 - blocked))
}

/** Mean milliseconds from arrival to response. */
export function meanTime(queue: Queue): number {
  const { parallel, mean, rate } = queue
  return mean + (shareThatWaits(queue) * mean) / (parallel - rate * mean)
}

/** Milliseconds within which this share of requests is answered. */
export function quantileOfTime(queue: Queue, share: number): number {
  let [low, high] = [0, 1]
  while (shareBeyond(queue, high) > 1 - share) high *= 2
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (shareBeyond(queue, middle) > 1 - share) low = middle
    else high = middle
  }
  return high
}

function shareBeyond(queue: Queue, time: number): number {
  const { parallel, mean, rate } = queue
  const scaled = time / mean
  const spare = parallel - 1 - rate * mean
  // Waiting and work are sums of exponential times; equal ones are the limit.
  const grown = Math.abs(spare) < 1e-9 ? scaled : (1 - Math.exp(-scaled * spare)) / spare
  return Math.exp(-scaled) * (1 + shareThatWaits(queue) * grown)
}
