/** One upstream address, as balancers and pools use it. Created once per identity; survives table changes. */
export interface Endpoint {
  /** `address:port`, IPv6 in brackets, as in the access log. */
  readonly authority: string
  readonly address: string
  readonly port: number
  /** Row in the shared endpoint table: in-flight counts and state live there, exact across workers. */
  readonly slot: number
  /** 1 … 1,000,000. */
  weight: number
  /** Draining endpoints are used only when nothing else is left. */
  state: 'ready' | 'draining'
  readonly zone?: string
  /** The zones whose clients it is meant for, with commas between them; absent: its own. */
  readonly serves?: string
  readonly hostname?: string
}

/** State of endpoints that balancers read and other parts own. */
export interface EndpointGauge {
  /** Requests in flight on the endpoint, over all workers of the replica. */
  inFlight(slot: number): number
  /** False as soon as control or an outlier detector withdraws the endpoint, before a new set arrives. */
  eligible(slot: number): boolean
  /**
   * Expected milliseconds of a request with nothing else in flight, as all workers have learned; 0 = nothing is known.
   *
   * @param now monotonic milliseconds
   */
  cost(slot: number, now: number): number
  /** Milliseconds for which the endpoint has been ready; infinite where that is unknown. */
  age(slot: number, now: number): number
}
