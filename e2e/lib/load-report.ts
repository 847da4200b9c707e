/** The result of a load; a failure is an unexpected response, or none. */
export interface LoadReport {
  readonly seconds: number
  readonly requests: number
  readonly failures: number
  /** `503 …` or the error's code, and how often. */
  readonly reasons: Readonly<Record<string, number>>
  /** The first failures: milliseconds since the start, which reason, which connection. */
  readonly first: readonly { readonly at: number; readonly reason: string }[]
  /** Connections opened; those that ended in order between two requests are replaced without a failure. */
  readonly connections: number
  /** Requests that were not sent in time because every connection was waiting. */
  readonly late: number
  /** Milliseconds. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly max: number }
  /** The longest pause between two good answers, in milliseconds. */
  readonly longestGap: number
  /** How often each backend instance answered, where it says who it is. */
  readonly served: Readonly<Record<string, number>>
}
